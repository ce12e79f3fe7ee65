import hmac
import re
import time
from collections import Counter
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.auth import keys, links, sessions, signature
from app.dashboard.cookies import SESSION
from app.storage.database import Database

from ..conftest import SetClock, run, serving
from ..storage.test_database import locked_by_another_process
from ..support.signer import authorization

DAY = 86400
HISTORIES = "/v1/analysis/users/ann/behavior-histories"
OPERATIONS = [
    ("PUT", "/user-behavior-day", "write"),
    ("GET", "/users/u/behavior-histories", "read"),
    ("GET", "/active-users", "read"),
    ("PUT", "/active-users", "write"),
    ("GET", "/metrics/aggregated", "read"),
    ("GET", "/metrics/page-statistics", "read"),
    ("GET", "/userinfo/aggregated", "read"),
    ("GET", "/errors/internal-server-error", "read"),
    ("POST", "/ingest/events", "ingest"),
    ("POST", "/ingest/eventbridge", "ingest"),
    ("POST", "/ingest/apilog", "ingest"),
    ("POST", "/retention/delete", "admin"),
]


@pytest.fixture
def anonymous(app: Flask) -> FlaskClient:
    return app.test_client()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("scope", keys.SCOPES)
@pytest.mark.parametrize(("method", "path", "needed"), OPERATIONS)
def test_an_operation_takes_its_scope_and_no_other(
    anonymous: FlaskClient, database: Database, method: str, path: str, needed: str, scope: str
) -> None:
    token = keys.create_bearer_key(database, name="k", scopes=(scope,))
    answer = anonymous.open(f"/v1/analysis{path}", method=method, headers=bearer(token))
    if scope == needed:
        assert answer.status_code not in (401, 403)
    else:
        assert answer.status_code == 403
        assert answer.get_json()["type"] == "permission_denied"
        assert needed in answer.get_json()["message"]


def test_every_route_is_public_on_purpose_or_listed_above(app: Flask) -> None:
    listed = {
        (method, f"/v1/analysis{path}".replace("/u/", "/<user_id:user_id>/")): scope
        for method, path, scope in OPERATIONS
    }
    listed |= {
        ("POST", f"/ingest/{feed}"): "ingest" for feed in ("events", "eventbridge", "apilog")
    }
    public = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs/", "/docs/<path:path>"}
    public |= {"/", "/robots.txt"}  # the first leads to the dashboard
    for rule in app.url_map.iter_rules():
        if rule.rule.partition("/")[2].split("/")[0] == "dashboard":
            continue  # whose pages ask themselves: tests/dashboard/test_access.py walks them
        scope = getattr(app.view_functions[rule.endpoint], "scope", "none named")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            if scope is None:
                assert rule.rule in public
            else:
                assert listed[method, rule.rule] == scope


def test_a_view_that_names_no_scope_is_refused_to_every_key(
    app: Flask, anonymous: FlaskClient, client: FlaskClient
) -> None:
    app.add_url_rule("/forgotten", view_func=lambda: "secret", endpoint="forgotten")
    assert anonymous.get("/forgotten").status_code == 401
    answer = client.get("/forgotten")  # with a key of all scopes
    assert (answer.status_code, answer.get_json()["type"]) == (403, "permission_denied")


def refusal(client: FlaskClient, header: str | None) -> tuple[int, str, str | None]:
    headers = {} if header is None else {"Authorization": header}
    answer = client.get("/v1/analysis/active-users", headers=headers)
    return answer.status_code, answer.text, answer.headers.get("WWW-Authenticate")


def test_nothing_tells_whether_a_key_exists(
    anonymous: FlaskClient, database: Database, clock: SetClock
) -> None:
    token = keys.create_bearer_key(database, name="k", scopes=("read",))
    expired = keys.create_bearer_key(
        database, name="e", scopes=("read",), expires_at=clock.now() + 1
    )
    revoked = keys.create_bearer_key(database, name="r", scopes=("read",))
    keys.revoke_key(database, "r")
    clock.timestamp += 1
    refused = {
        refusal(anonymous, header)
        for header in (
            None,
            "",
            "Bearer",
            "Bearer ",
            "Bearer x",
            f"Bearer {token[:-1]}",
            f"Bearer {token[:12]}",
            f"Bearer {token}x",
            f"Bearer {expired}",
            f"Bearer {revoked}",
            f"Basic {token}",
            token,
            "Bearer é☃".encode().decode("latin-1"),
            "SAASUSSIGV1 Sig=0, SaaSID=a, APIKey=b",
        )
    }
    assert len(refused) == 1
    ((status, text, challenge),) = refused
    assert status == 401
    assert '"type":"unauthorized"' in text
    assert challenge == 'Bearer realm="saasus-analysis", SAASUSSIGV1'


def test_every_refusal_of_a_key_takes_the_same_work(
    anonymous: FlaskClient, database: Database, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashes, comparisons and questions to the database are counted, since time is too coarse."""
    work: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        counted = getattr(module, name)

        def call(*arguments: Any, **options: Any) -> Any:
            work[name] += 1
            return counted(*arguments, **options)

        monkeypatch.setattr(module, name, call)

    def of(header: str) -> dict[str, int]:
        work.clear()
        assert refusal(anonymous, header)[0] == 401
        return dict(work)

    soon: dict[str, Any] = {"scopes": ("read",), "expires_at": clock.now() + 1}
    token = keys.create_bearer_key(database, name="good", scopes=("read",))
    expired = keys.create_bearer_key(database, name="expired", **soon)
    revoked = keys.create_bearer_key(database, name="revoked", scopes=("read",))
    signing = keys.create_signature_key(database, name="sdk", scopes=("read",))
    old = keys.create_signature_key(database, name="old", **soon)
    gone = keys.create_signature_key(database, name="gone", scopes=("read",))
    for name in ("revoked", "gone"):
        keys.revoke_key(database, name)
    clock.timestamp += 1
    for module, name in ((keys, "hash_token"), (keys, "_find"), (signature, "sign")):
        count(module, name)
    count(hmac, "compare_digest")
    unknown = f"saa_00000000_{'x' * 43}"
    bearers = [of(f"Bearer {one}") for one in (unknown, f"{token}x", expired, revoked)]
    assert bearers == [{"hash_token": 1, "_find": 1, "compare_digest": 1}] * 4
    ids = [(key["SAASUS_SAAS_ID"], key["SAASUS_API_KEY"]) for key in (signing, old, gone)]
    ids += [("unknown", "unknown"), ("unknown", ids[0][1]), (ids[0][0], "unknown")]
    signers = [
        of(f"SAASUSSIGV1 Sig={'0' * 64}, SaaSID={saas_id}, APIKey={api_key}")
        for saas_id, api_key in ids
    ]
    assert signers == [signers[0]] * 6
    assert signers[0].keys() == {"_find", "sign", "compare_digest"}


@pytest.mark.slow
def test_what_is_revoked_by_another_process_is_refused_from_the_next_request_on(
    tmp_path: Path,
) -> None:
    """On a connection that goes on, and whatever was let through by it just before."""
    path = tmp_path / "a.db"
    with (
        serving("--database", path) as server,
        closing(HTTPConnection(urlsplit(server.url).netloc, timeout=20)) as connection,
        closing(Database(path)) as database,
    ):

        def status(target: str, headers: dict[str, str]) -> int:
            connection.request("GET", target, headers=headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status

        def signed() -> dict[str, str]:
            host, now = urlsplit(server.url).netloc, int(time.time())
            given = authorization(sdk, at=now, method="GET", host=host, target=HISTORIES)
            return {"Authorization": given}

        token = keys.create_bearer_key(database, name="app", scopes=("read",))
        sdk = keys.create_signature_key(database, name="sdk", scopes=("read",))
        key = keys.find_bearer_key(database, token)
        assert key is not None
        session = {"Cookie": f"{SESSION}_{urlsplit(server.url).port}="}
        session["Cookie"] += sessions.begin_session(database, key, 3600)
        link = links.create_link(database, name="board", expires_at=2**40)
        shared = f"/dashboard/shared/{link}"

        def statuses() -> list[int]:
            asked = [(HISTORIES, bearer(token)), ("/dashboard", session), (HISTORIES, signed())]
            return [status(*each) for each in (*asked, (shared, {}))]

        assert statuses() == [200] * 4
        expected = [200] * 4
        for command, name, refused in (
            ("keys", "app", {0: 401, 1: 303}),
            ("keys", "sdk", {2: 401}),
            ("links", "board", {3: 404}),
        ):
            assert run(command, "revoke", name, "--database", path).returncode == 0
            expected = [refused.get(n, before) for n, before in enumerate(expected)]
            assert statuses() == expected


def test_a_key_holds_until_the_second_it_expires(
    anonymous: FlaskClient, database: Database, clock: SetClock
) -> None:
    token = keys.create_bearer_key(
        database, name="k", scopes=("read",), expires_at=clock.now() + DAY
    )
    clock.timestamp += DAY - 1
    assert anonymous.get("/v1/analysis/active-users", headers=bearer(token)).status_code == 400
    clock.timestamp += 1
    assert anonymous.get("/v1/analysis/active-users", headers=bearer(token)).status_code == 401


def test_a_token_is_random_and_stored_as_its_hash_alone(database: Database) -> None:
    tokens = {keys.create_bearer_key(database, name=f"k{n}", scopes=("read",)) for n in range(20)}
    assert len(tokens) == 20
    for token in tokens:
        assert re.fullmatch(r"saa_[0-9a-f]{8}_[\w-]{43}", token)
        for file in database.path.parent.iterdir():
            assert token.encode() not in file.read_bytes()


def test_the_scheme_of_a_token_is_read_in_any_case(
    anonymous: FlaskClient, database: Database
) -> None:
    token = keys.create_bearer_key(database, name="k", scopes=("read",))
    header = {"Authorization": f"bearer  {token} "}
    assert anonymous.get("/v1/analysis/active-users", headers=header).status_code == 400


def test_paths_that_are_not_there_need_no_key(anonymous: FlaskClient) -> None:
    assert anonymous.get("/v1/analysis/nothing").status_code == 404
    assert anonymous.post("/v1/analysis/active-users").status_code == 405


class TestWithoutKeys:
    @pytest.fixture
    def settings(self) -> dict[str, object]:
        return {"auth": False}

    @pytest.mark.parametrize(
        ("address", "expected"),
        [("127.0.0.1", 400), ("127.9.9.9", 400), ("::1", 400), ("10.0.0.1", 403), ("", 403)],
    )
    def test_only_clients_on_loopback_are_answered(
        self, anonymous: FlaskClient, address: str, expected: int
    ) -> None:
        answer = anonymous.get("/v1/analysis/active-users", environ_base={"REMOTE_ADDR": address})
        assert answer.status_code == expected


def test_the_command_makes_lists_and_revokes_keys(tmp_path: Path) -> None:
    at = ("--database", tmp_path / "a.db")
    Database(tmp_path / "a.db").close()
    made = run("keys", "create", "reporting", "--scope", "read", "--expires", "30", *at)
    token = made.stdout.strip()
    assert token.startswith("saa_")
    signing = run("keys", "create", "sdk", "--signature", *at)
    secret = signing.stdout.split("SAASUS_SECRET_KEY=")[1].strip()
    listed = run("keys", "list", *at).stdout
    assert re.search(rf"reporting +bearer +{token[:12]} +read +valid until ", listed)
    assert re.search(r"sdk +signature +api_\w+ +read write ingest +valid +never\n", listed)
    assert token not in listed
    assert secret not in listed
    assert run("keys", "revoke", "sdk", *at).stdout == "revoked sdk\n"
    assert re.search(r"sdk .*revoked 20", run("keys", "list", *at).stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "taken"), "there is a key named taken"),
        (("create", ""), "1 to 64 printable characters"),
        (("create", "a\nb"), "1 to 64 printable characters"),
        (("create", "x" * 65), "1 to 64 printable characters"),
        (("create", "k", "--scope", "root"), "'root' is not one of"),
        (("create", "k", "--expires", "2020-01-01"), "must be a date in the future"),
        (("create", "k", "--expires", "2030-02-30"), "must be a date in the future"),
        (("create", "k", "--expires", "0"), "must be a date in the future"),
        (("create", "k", "--expires", "9" * 30), "must be a date in the future"),
        (("revoke", "nobody"), "there is no key named nobody"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    at = ("--database", tmp_path / "a.db")
    Database(tmp_path / "a.db").close()
    run("keys", "create", "taken", *at)
    before = run("keys", "list", *at).stdout
    refused = run("keys", *arguments, *at)
    assert refused.returncode != 0
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert run("keys", "list", *at).stdout == before


def test_a_name_can_be_used_again_when_its_key_is_revoked(database: Database) -> None:
    keys.create_bearer_key(database, name="k", scopes=("read",))
    with pytest.raises(keys.NameTaken):
        keys.create_signature_key(database, name="k", scopes=("read",))
    assert keys.revoke_key(database, "k")
    assert not keys.revoke_key(database, "k")
    keys.create_bearer_key(database, name="k", scopes=("read",))


def test_a_rotated_key_goes_on_for_a_while(
    anonymous: FlaskClient, database: Database, clock: SetClock
) -> None:
    def status(token: str) -> int:
        return anonymous.get(
            "/v1/analysis/users/ann/behavior-histories", headers=bearer(token)
        ).status_code

    old = keys.create_bearer_key(database, name="k", scopes=("read", "ingest"))
    new = keys.rotate_key(database, "k", overlap=3600)
    assert isinstance(new, str)
    assert [status(old), status(new)] == [200, 200]
    rows = {row["name"]: row for row in keys.list_keys(database)}
    assert rows["k"]["scopes"] == rows["k.old"]["scopes"] == "read ingest"
    assert (rows["k"]["expires_at"], rows["k.old"]["expires_at"]) == (None, clock.now() + 3600)
    with pytest.raises(keys.NameTaken):
        keys.rotate_key(database, "k", overlap=0)
    assert [status(old), status(new)] == [200, 200]
    clock.timestamp += 3600
    assert [status(old), status(new)] == [401, 200]
    assert keys.rotate_key(database, "nobody", overlap=0) is None
    assert keys.rotate_key(database, "k.old", overlap=0) is None


def test_a_rotated_signature_key_is_one_again(database: Database) -> None:
    old = keys.create_signature_key(database, name="sdk", scopes=("read",))
    new = keys.rotate_key(database, "sdk", overlap=60)
    assert isinstance(new, dict)
    assert new.keys() == old.keys()
    for key, name in ((old, "sdk.old"), (new, "sdk")):
        found, secret = keys.find_signature_key(
            database, key["SAASUS_SAAS_ID"], key["SAASUS_API_KEY"]
        )
        assert found is not None
        assert (found.name, secret) == (name, key["SAASUS_SECRET_KEY"])


def test_a_rotation_never_makes_a_key_last_longer(database: Database, clock: SetClock) -> None:
    until = clock.now() + 10
    keys.create_bearer_key(database, name="k", scopes=("read",), expires_at=until)
    keys.rotate_key(database, "k", overlap=3600)
    rows = {row["name"]: row["expires_at"] for row in keys.list_keys(database)}
    assert rows == {"k": None, "k.old": until}


def test_the_last_use_is_noted_once_an_hour(
    anonymous: FlaskClient, database: Database, clock: SetClock
) -> None:
    token = keys.create_bearer_key(database, name="k", scopes=("read",))

    def used() -> int | None:
        anonymous.get("/v1/analysis/users/ann/behavior-histories", headers=bearer(token))
        anonymous.get("/healthz", headers=bearer(token))
        noted: int | None = keys.list_keys(database)[0]["last_used_at"]
        return noted

    assert keys.list_keys(database)[0]["last_used_at"] is None
    first = clock.now()
    assert used() == first
    clock.timestamp += 3599
    assert used() == first
    clock.timestamp += 1
    assert used() == first + 3600


@pytest.mark.slow
def test_a_use_that_cannot_be_noted_is_a_use(anonymous: FlaskClient, database: Database) -> None:
    token = keys.create_bearer_key(database, name="k", scopes=("read",))
    with locked_by_another_process(database.path):
        path = "/v1/analysis/users/ann/behavior-histories"
        assert anonymous.get(path, headers=bearer(token)).status_code == 200
    assert keys.list_keys(database)[0]["last_used_at"] is None
