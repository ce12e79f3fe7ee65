"""What holds for every request and answer: headers, addresses, origins."""

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.auth import keys
from app.security import SECURITY_HEADERS

from .refusals import READS, WRITES

BASE = "/v1/analysis"


def test_every_answer_has_the_headers_that_browsers_heed(client: FlaskClient) -> None:
    answers = [client.get(BASE + path, query_string=query) for path, query in READS.items()]
    answers += [
        client.open(BASE + path, method=method, json=body) for method, path, body in WRITES.values()
    ]
    answers += [client.get(path) for path in ("/healthz", "/openapi.json", "/nothing", "/metrics")]
    answers += [client.delete(f"{BASE}/active-users"), client.get(f"{BASE}/active-users")]
    assert {answer.status_code for answer in answers} >= {200, 400, 404, 405}
    for answer in answers:
        assert SECURITY_HEADERS.items() <= dict(answer.headers).items()


def test_the_page_of_the_description_may_load_its_own_files_alone(client: FlaskClient) -> None:
    policy = client.get("/docs/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy


@pytest.mark.parametrize(
    ("settings", "address", "forwarded", "status"),
    [
        ({"allow_from": "192.0.2.0/24"}, "192.0.2.7", None, 200),
        ({"allow_from": "192.0.2.0/24"}, "192.0.3.7", None, 403),
        ({"allow_from": "192.0.2.0/24"}, "192.0.3.7", "192.0.2.7", 403),
        ({"allow_from": "192.0.2.0/24"}, "not an address", None, 403),
        ({"allow_from": "192.0.2.7, 2001:db8::/32"}, "2001:db8::1", None, 200),
        ({"allow_from": "192.0.2.7, 2001:db8::/32"}, "2001:db9::1", None, 403),
        ({"allow_from": "192.0.2.7", "proxies": 1}, "10.0.0.1", "192.0.2.7", 200),
        ({"allow_from": "192.0.2.7", "proxies": 1}, "10.0.0.1", "192.0.2.7, 192.0.2.8", 403),
        ({"allow_from": "192.0.2.7", "proxies": 2}, "10.0.0.1", "192.0.2.7, 192.0.2.8", 200),
        ({"allow_from": "192.0.2.7", "proxies": 2}, "10.0.0.1", "9.9.9.9, 192.0.2.7, 1.1.1.1", 200),
        ({"allow_from": "192.0.2.7", "proxies": 1}, "192.0.2.7", None, 200),
        ({"allow_from": "192.0.2.7", "proxies": 1}, "10.0.0.1", "junk", 403),
    ],
)
def test_clients_at_other_addresses_are_refused(
    client: FlaskClient, address: str, forwarded: str | None, status: int
) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    options: dict[str, Any] = {"headers": headers, "environ_overrides": {"REMOTE_ADDR": address}}
    answer = client.get(f"{BASE}/users/ann/behavior-histories", **options)
    assert answer.status_code == status
    if status == 403:
        assert answer.get_json()["type"] == "ip_restricted"
        assert client.get(f"{BASE}/nothing", **options).status_code == 403
    for path in ("/healthz", "/readyz"):
        assert client.get(path, **options).status_code == 200


@pytest.mark.parametrize("settings", [{"auth": False, "proxies": 1}])
def test_a_proxy_on_this_machine_makes_nobody_local(client: FlaskClient) -> None:
    path = f"{BASE}/users/ann/behavior-histories"
    assert client.get(path).status_code == 200
    assert client.get(path, headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 403


def preflight(client: FlaskClient, origin: str) -> Any:
    headers = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
    return client.options(f"{BASE}/active-users", headers=headers)


def test_pages_of_other_origins_get_nothing_unless_they_are_named(client: FlaskClient) -> None:
    assert preflight(client, "https://a.example").status_code == 405
    answer = client.get("/healthz", headers={"Origin": "https://a.example"})
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("settings", [{"cors_origins": "https://a.example,http://localhost:3000"}])
@pytest.mark.parametrize(
    ("origin", "is_named"),
    [
        ("https://a.example", True),
        ("http://localhost:3000", True),
        ("https://a.example.evil", False),
        ("http://a.example", False),
        ("null", False),
        ("*", False),
    ],
)
def test_pages_of_named_origins_may_call(client: FlaskClient, origin: str, is_named: bool) -> None:
    answers = [preflight(client, origin)]
    answers.append(client.get(f"{BASE}/nothing", headers={"Origin": origin}))
    assert [answer.status_code for answer in answers] == [204, 404]
    for answer in answers:
        allowed = answer.headers.get("Access-Control-Allow-Origin")
        assert allowed == (origin if is_named else None)
        assert "Origin" in answer.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_a_metrics_page_asks_for_what_is_set(tmp_path: Path) -> None:
    for setting, here, elsewhere, with_key in (
        ("off", 404, 404, 404),
        ("loopback", 200, 403, 403),
        ("key", 401, 401, 200),
    ):
        app = create_app(database=tmp_path / f"{setting}.db", metrics=setting)
        token = keys.create_bearer_key(app.extensions["database"], name="k", scopes=("read",))
        client = app.test_client()
        far = {"REMOTE_ADDR": "192.0.2.1"}
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get("/metrics").status_code == here
        assert client.get("/metrics", environ_overrides=far).status_code == elsewhere
        answer = client.get("/metrics", environ_overrides=far, headers=headers)
        assert answer.status_code == with_key
        app.extensions["database"].close()
