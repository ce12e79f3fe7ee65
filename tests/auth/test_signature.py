import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.auth import keys
from app.days import MAX_TIMESTAMP
from app.storage.database import Database

from ..conftest import RunningServer, SetClock, run, serving
from ..support.signer import authorization

HOST = "localhost"
TARGET = f"/v1/analysis/metrics/page-statistics?start_timestamp=0&end_timestamp={MAX_TIMESTAMP}"


@pytest.fixture
def key(database: Database) -> dict[str, str]:
    return keys.create_signature_key(database, name="sdk", scopes=("read", "write"))


@pytest.fixture
def anonymous(app: Flask) -> FlaskClient:
    return app.test_client()


def status(client: FlaskClient, header: str, target: str = TARGET) -> int:
    return client.get(target, headers={"Authorization": header}).status_code


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-120, 401), (-60, 200), (0, 200), (60, 200), (120, 401)],
)
def test_a_signature_holds_for_its_minute_and_one_on_either_side(
    anonymous: FlaskClient, key: dict[str, str], clock: SetClock, seconds: int, expected: int
) -> None:
    at = clock.now() + seconds
    header = authorization(key, at=at, method="GET", host=HOST, target=TARGET)
    assert status(anonymous, header) == expected


def test_the_last_second_of_a_minute_and_the_first_of_the_next_are_different_minutes(
    anonymous: FlaskClient, key: dict[str, str], clock: SetClock
) -> None:
    header = authorization(key, at=59, method="GET", host=HOST, target=TARGET)
    clock.timestamp = 119
    assert status(anonymous, header) == 200
    clock.timestamp = 120
    assert status(anonymous, header) == 401


def test_a_signature_holds_over_the_host_without_its_port(
    anonymous: FlaskClient, key: dict[str, str], clock: SetClock
) -> None:
    for host in ("analysis.example.com:8000", "[::1]:8000", "127.0.0.1:1"):
        signed = {"method": "GET", "host": host.rpartition(":")[0], "target": TARGET}
        header = authorization(key, at=clock.now(), **signed)  # type: ignore[arg-type]
        told = {"Authorization": header, "Host": host}
        assert anonymous.get(TARGET, headers=told).status_code == 200
        told["Host"] = f"x{host}"
        assert anonymous.get(TARGET, headers=told).status_code == 401


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "PUT"},
        {"host": "localhost:80"},
        {"target": TARGET + "&x=1"},
        {"target": TARGET.replace("=0", "=00")},
        {"body": b" "},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_signature_covers_every_part_of_the_request(
    anonymous: FlaskClient, key: dict[str, str], clock: SetClock, changed: dict[str, str]
) -> None:
    signed = {"method": "GET", "host": HOST, "target": TARGET} | changed
    header = authorization(key, at=clock.now(), **signed)  # type: ignore[arg-type]
    assert status(anonymous, header) == 401


@pytest.mark.parametrize("name", ["SAASUS_SAAS_ID", "SAASUS_API_KEY", "SAASUS_SECRET_KEY"])
def test_each_of_the_three_values_must_be_right(
    anonymous: FlaskClient, key: dict[str, str], clock: SetClock, name: str
) -> None:
    wrong = key | {name: "wrong"}
    header = authorization(wrong, at=clock.now(), method="GET", host=HOST, target=TARGET)
    assert status(anonymous, header) == 401


@pytest.mark.parametrize(
    "parameters",
    [
        "",
        "Sig=00",
        "Sig=00, SaaSID=x, APIKey=y, More=z",
        "Sig=00, SaaSID=x, SaaSID=y",
        "Sig, SaaSID, APIKey",
        "Sig=\udcff, SaaSID=\udcff, APIKey=\udcff".encode("utf-8", "surrogateescape").decode(
            "latin-1"
        ),
        "," * 10_000,
    ],
)
def test_a_header_that_is_no_signature_is_refused(anonymous: FlaskClient, parameters: str) -> None:
    assert status(anonymous, f"SAASUSSIGV1 {parameters}") == 401


@pytest.mark.parametrize(
    ("told_as", "target", "expected"),
    [
        ("REQUEST_URI", "/v1/analysis/users/a%2fb/behavior-histories", 200),
        ("RAW_URI", "/v1/analysis/users/a%2fb/behavior-histories", 200),
        (None, "/v1/analysis/users/a%2fb/behavior-histories", 401),
        (None, "/v1/analysis/users/%E5%88%A9%20b/behavior-histories", 200),
    ],
)
def test_the_raw_target_is_what_a_server_tells_in_either_way(
    anonymous: FlaskClient,
    key: dict[str, str],
    clock: SetClock,
    told_as: str | None,
    target: str,
    expected: int,
) -> None:
    """Where it tells none, the path is encoded anew, as usual."""
    header = authorization(key, at=clock.now(), method="GET", host=HOST, target=target)
    told: dict[str, str | None] = {"REQUEST_URI": None, "RAW_URI": None}
    if told_as:
        told[told_as] = target
    answer = anonymous.get(target, headers={"Authorization": header}, environ_overrides=told)
    assert answer.status_code == expected


def test_an_upper_case_signature_is_refused(
    anonymous: FlaskClient, key: dict[str, str], clock: SetClock
) -> None:
    header = authorization(key, at=clock.now(), method="GET", host=HOST, target=TARGET)
    digest = header.split("Sig=")[1].split(",")[0]
    assert status(anonymous, header.replace(digest, digest.upper())) == 401


def test_a_revoked_signature_key_is_refused_and_its_secret_erased(
    anonymous: FlaskClient, database: Database, key: dict[str, str], clock: SetClock
) -> None:
    header = authorization(key, at=clock.now(), method="GET", host=HOST, target=TARGET)
    keys.revoke_key(database, "sdk")
    assert status(anonymous, header) == 401
    with database.reading() as connection:
        assert connection.execute("select secret from key").fetchall() == [(None,)]


def test_an_api_key_is_no_bearer_token(anonymous: FlaskClient, key: dict[str, str]) -> None:
    for value in key.values():
        assert status(anonymous, f"Bearer {value}") == 401


def signed_request(
    server: RunningServer,
    key: dict[str, str],
    method: str,
    target: str,
    body: bytes = b"",
    host: str | None = None,
) -> tuple[int, bytes]:
    """Send exactly these bytes over a socket, signed."""
    address = urlsplit(server.url).netloc
    host = host or address
    connection = http.client.HTTPConnection(address, timeout=10)
    header = authorization(
        key, at=int(time.time()), method=method, host=host, target=target, body=body
    )
    connection.putrequest(method, target, skip_host=True)
    connection.putheader("Host", host)
    connection.putheader("Authorization", header)
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, Path]]:
    path = tmp_path_factory.mktemp("served") / "served.db"
    with serving("--database", path) as running:
        yield running, path


@pytest.fixture(scope="module")
def server(served: tuple[RunningServer, Path]) -> RunningServer:
    return served[0]


@pytest.fixture(scope="module")
def served_key(served: tuple[RunningServer, Path]) -> dict[str, str]:
    made = run("keys", "create", "sdk", "--signature", "--database", served[1])
    return dict(line.split("=", 1) for line in made.stdout.splitlines())


@pytest.mark.parametrize(
    "target",
    [
        f"/v1/analysis/users/{quote('ユーザー é')}/behavior-histories",
        "/v1/analysis/users/%e3%83%a6/behavior-histories",
        "/v1/analysis/users/a%2Fb%2f/behavior-histories",
        "/v1/analysis/users/a+b%20c/behavior-histories",
        "/v1/analysis/userinfo/aggregated?start_date=2025-01-01&end_date=2025-01-31"
        "&tenant_ids=a&tenant_ids=b%2Cc&tenant_ids=d,e",
        "/v1/analysis/active-users?type=monthly&date_from=2025-01&unknown=%E3%81%82&&",
    ],
)
def test_the_raw_target_is_what_is_signed(
    server: RunningServer, served_key: dict[str, str], target: str
) -> None:
    status, content = signed_request(server, served_key, "GET", target)
    assert (status, content[:1]) == (200, b"{")


@pytest.mark.parametrize("host", ["api.example.com", "api.example.com:8443", "[::1]:9"])
def test_the_host_is_signed_as_sent(
    server: RunningServer, served_key: dict[str, str], host: str
) -> None:
    assert signed_request(server, served_key, "GET", TARGET, host=host)[0] == 200


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_the_raw_body_is_what_is_signed(
    server: RunningServer, served_key: dict[str, str], ensure_ascii: bool
) -> None:
    now = int(time.time())
    param = {
        "timestamp": now,
        "user_id": "ユーザー",
        "histories": [{"timestamp": now, "referer": "/頁?名=値 ☃"}],
    }
    body = json.dumps(param, ensure_ascii=ensure_ascii, indent=2).encode()
    assert signed_request(server, served_key, "PUT", "/v1/analysis/user-behavior-day", body) == (
        200,
        b"",
    )
    target = f"/v1/analysis/users/{quote('ユーザー')}/behavior-histories"
    _, content = signed_request(server, served_key, "GET", target)
    assert json.loads(content)["histories"][0]["histories"] == param["histories"]


@pytest.mark.slow
def test_the_key_of_the_environment_may_do_all_but_admin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {
        "SAASUS_SAAS_ID": "saas",
        "SAASUS_API_KEY": "api",
        "SAASUS_SECRET_KEY": "a secret of the environment",
    }
    for name, value in key.items():
        monkeypatch.setenv(name, value)
    with serving("--database", tmp_path / "served.db") as server:
        assert server.token == "", "no first key is needed"
        assert signed_request(server, key, "GET", TARGET)[0] == 200
        body = b'{"type": "create_tenant", "tenant_id": "t"}'
        assert signed_request(server, key, "POST", "/v1/analysis/ingest/events", body)[0] == 200
        wrong = key | {"SAASUS_SECRET_KEY": "another"}
        assert signed_request(server, wrong, "GET", TARGET)[0] == 401
    for file in tmp_path.iterdir():
        assert b"a secret of the environment" not in file.read_bytes()


@pytest.mark.parametrize("scheme", ["saasussigv1", "SaasusSigV1", "SAASUSSIGV1"])
def test_the_name_of_the_scheme_counts_in_any_case(
    anonymous: FlaskClient, key: dict[str, str], clock: SetClock, scheme: str
) -> None:
    header = authorization(key, at=clock.now(), method="GET", host=HOST, target=TARGET)
    assert status(anonymous, header.replace("SAASUSSIGV1", scheme)) == 200
    assert status(anonymous, header.replace("SAASUSSIGV1", f"{scheme}x")) == 401


def test_a_target_in_absolute_form_is_checked_as_it_was_sent(
    server: RunningServer, served_key: dict[str, str]
) -> None:
    """RFC 9112, 3.2.2: a proxy's form, and its host counts in the place of `Host`."""

    def ask(target: str, signed: str, name: str, host: str = "localhost") -> int:
        connection = http.client.HTTPConnection(netloc, timeout=60)
        connection.putrequest("GET", target, skip_host=True)
        connection.putheader("Host", host)
        at = int(time.time())
        header = authorization(served_key, at=at, method="GET", host=name, target=signed)
        connection.putheader("Authorization", header)
        connection.endheaders()
        found = connection.getresponse().status
        connection.close()
        return found

    netloc = urlsplit(server.url).netloc
    path = f"{TARGET}&x=%2F%e3%81%82:/&tenant=http://a/"
    absolute = f"http://{netloc}{path}"
    assert ask(absolute, path, netloc) == 200
    assert ask(absolute, absolute, netloc) == 200
    assert ask(absolute.replace("http", "HTTPS", 1), path, netloc) == 200
    assert ask(path, path, "localhost") == 200
    assert ask(absolute, path, "localhost") == 401
    assert ask(absolute, path, "evil.example", host="evil.example") == 401
    assert ask(absolute, path.replace("%2F", "/"), netloc) == 401
    assert ask(absolute, f"{path}x", netloc) == 401
    assert ask(path, absolute, netloc, host=netloc) == 401
