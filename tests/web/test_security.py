"""What holds for every request and answer: headers, addresses, origins."""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.auth import keys, links
from app.config import load_settings
from app.dashboard.cookies import SESSION
from app.double.application import make_double
from app.double.middleware import HEADER
from app.storage.database import Database
from app.web.trace_id import TRACE_HEADER

from ..support.refusals import HEEDED, READS, WRITES

BASE = "/v1/analysis"


@pytest.mark.slow
def test_every_answer_has_the_headers_that_browsers_heed(client: FlaskClient) -> None:
    """And none of the API sets a cookie, also for who has one of the dashboard."""
    client.set_cookie(SESSION, "x")
    answers = [client.get(BASE + path, query_string=query) for path, query in READS.items()]
    answers += [
        client.open(BASE + path, method=method, json=body) for method, path, body in WRITES.values()
    ]
    answers += [client.get(path) for path in ("/healthz", "/openapi.json", "/nothing", "/metrics")]
    answers += [client.delete(f"{BASE}/active-users"), client.get(f"{BASE}/active-users")]
    answers += [client.options(BASE + path) for path in READS]
    answers += [client.head(BASE + path, query_string=query) for path, query in READS.items()]
    answers += [client.get(path) for path in ("/", "/robots.txt", "/readyz", "/docs", "/%ff")]
    answers.append(client.get(f"{BASE}/errors/internal-server-error"))
    for scope in ("", "Bearer wrong", f"Bearer {'x' * 5000}"):
        answers.append(client.get(f"{BASE}/active-users", headers={"Authorization": scope}))
    assert {answer.status_code for answer in answers} >= {200, 302, 308, 400, 401, 404, 405, 500}
    for answer in answers:
        assert HEEDED.items() <= dict(answer.headers).items(), answer.request.path
        assert "Set-Cookie" not in answer.headers


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
        *(
            ({"allow_from": "192.0.2.7,2001:db8::/32", "proxies": 1}, "10.0.0.1", told, 200)
            for told in (
                "192.0.2.7:5678",
                '"192.0.2.7:5678"',
                "192.0.2.7:_port",
                "::ffff:192.0.2.7",
                "[::ffff:192.0.2.7]:5678",
                "2001:db8::1",
                "[2001:db8::1]",
                '"[2001:db8::1]:443"',
                "2001:db8::1%eth0",
                "[2001:db8::1%25eth0]:443",
                "junk, 192.0.2.7:1",
            )
        ),
        # What is not understood is not taken for a proxy, which may be allowed.
        *(
            ({"allow_from": "10.0.0.0/8", "proxies": 1}, "10.0.0.1", told, 403)
            for told in (
                "unknown",
                "_hidden",
                "10.0.0.1:x",
                "[10.0.0.1",
                "10.0.0.1]",
                "010.0.0.1",
                "10.0.1",
                "10.0.0.1.",
                "10.0.0.1;",
                "[]:1",
                "%eth0",
                "10.0.0.1, ",
                ", ,",
            )
        ),
        ({"allow_from": "::ffff:192.0.2.0/120"}, "192.0.2.7", None, 200),
        ({"allow_from": "192.0.2.0/24"}, "::ffff:192.0.2.7", None, 200),
        ({"allow_from": "::/0"}, "::ffff:192.0.2.7", None, 403),
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
    for told in ("192.0.2.1", "192.0.2.1:80", "unknown", "127.0.0.1, unknown", "127.0.0.1,"):
        assert client.get(path, headers={"X-Forwarded-For": told}).status_code == 403


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


@pytest.mark.parametrize("settings", [{"cors_origins": "https://a.example"}])
def test_they_may_send_whatever_the_operations_take(app: Flask, client: FlaskClient) -> None:
    control = make_double(load_settings({}, {}))
    told = preflight(client, "https://a.example").headers
    methods = {
        method
        for made in (app, control)
        for rule in made.url_map.iter_rules()
        for method in rule.methods or ()
    }
    assert set(told["Access-Control-Allow-Methods"].split(", ")) == methods - {"HEAD", "OPTIONS"}
    headers = told["Access-Control-Allow-Headers"].split(", ")
    assert {HEADER, TRACE_HEADER, "Authorization", "Content-Type"} < set(headers)


@pytest.mark.parametrize("settings", [{"auth": False, "cors_origins": "https://a.example"}])
def test_what_a_browser_asks_before_a_request_is_answered_and_changes_nothing(
    client: FlaskClient, database: Database
) -> None:
    told = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    for method, path, body in WRITES.values():
        asked = told | {"Access-Control-Request-Method": method}
        answer = client.options(BASE + path, json=body, headers=asked)
        assert (answer.status_code, answer.data) == (204, b"")
        assert "Access-Control-Allow-Origin" not in answer.headers
    with database.reading() as connection:
        for table in ("tenant", "user", "active_users"):
            assert connection.execute(f"select * from {table}").fetchall() == []


KEYLESS = [{"auth": False, "hosts": "Demo.test,192.0.2.9,[2001:db8::9]"}]


@pytest.mark.slow
@pytest.mark.parametrize("settings", KEYLESS)
@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        *(
            (host, True)
            for host in (
                "localhost",
                "LOCALHOST:8000",
                "localhost.",
                "localhost:",
                "a.b.localhost:1",
                "127.0.0.1",
                "127.0.0.1:65535",
                "127.9.8.7",
                "127.1:80",
                "0x7f000001",
                "[::1]",
                "[::1]:8000",
                "[0:0:0:0:0:0:0:1]",
                "[::ffff:127.0.0.1]:8000",
                "demo.test",
                "DEMO.test.:8000",
                "192.0.2.9:1",
                "[2001:db8:0::9]:1",
            )
        ),
        *(
            (host, False)
            for host in (
                "",
                "evil.example",
                "evil.example:8000",
                "localhost.evil.example",
                "evillocalhost",
                "127.0.0.1.evil.example",
                "demo.test.evil.example",
                "not-demo.test",
                "192.0.2.1",
                "0.0.0.0",
                "[::]",
                "[2001:db8::1]",
                "10.0.0.1:8000",
                "localhost, evil.example",
                "localhost:80:80",
                "localhost@evil.example",
                "evil.example@localhost",
                "localhost/x",
                " ",
                "[::1",
                "localhost:x",
            )
        ),
    ],
)
def test_without_keys_a_request_must_name_this_machine(
    client: FlaskClient, host: str, is_own: bool
) -> None:
    for path in (f"{BASE}/users/ann/behavior-histories", "/dashboard", "/metrics", "/nothing"):
        answer = client.get(path, headers={"Host": host})
        assert (answer.status_code == 403) != is_own
        if not is_own:
            assert "ANALYSIS_HOSTS" in answer.text
    for path in ("/healthz", "/readyz"):
        assert client.get(path, headers={"Host": host}).status_code == 200


@pytest.mark.slow
def test_a_key_is_enough_under_any_name_but_metrics_for_this_machine_are_not(
    client: FlaskClient,
) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        answer = client.get(f"{BASE}/users/ann/behavior-histories", headers=headers)
        assert answer.status_code == 200
        assert client.get("/openapi.json", headers=headers).status_code == 200
        assert client.get("/metrics", headers=headers).status_code == 403
    assert client.get("/metrics").status_code == 200


SITES = {"same-origin", "none"}
VISIT = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
FRAME = VISIT | {"Sec-Fetch-Dest": "iframe"}


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"auth": False, "cors_origins": "https://a.example"}])
@pytest.mark.parametrize(
    ("headers", "is_answered"),
    [
        ({}, True),
        ({"Origin": "http://localhost"}, True),
        ({"Origin": "https://a.example"}, True),
        ({"Origin": "https://a.example", "Sec-Fetch-Site": "cross-site"}, True),
        *(({"Sec-Fetch-Site": site}, True) for site in SITES),
        *(({"Sec-Fetch-Site": site}, False) for site in ("same-site", "cross-site", "", "x")),
        *(
            ({"Origin": origin}, False)
            for origin in (
                "null",
                "",
                "localhost",
                "http://localhost:81",
                "http://localhost.evil.example",
                "http://evil.example",
                "https://a.example:444",
                "http://a.example",
                "file://localhost",
            )
        ),
        *(({"Origin": "http://evil.example", "Sec-Fetch-Site": site}, False) for site in SITES),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"}, False),
        (VISIT | {"Sec-Fetch-Mode": "no-cors"}, False),
        (VISIT | {"Sec-Fetch-Dest": "image"}, False),
        (VISIT | {"Origin": "null"}, False),
        (FRAME, False),
    ],
)
def test_without_keys_pages_of_other_origins_get_nothing(
    client: FlaskClient, headers: dict[str, str], is_answered: bool
) -> None:
    method, path, body = WRITES["IngestEvents"]
    answers = [client.open(BASE + path, method=method, json=body, headers=headers)]
    for path in ("/metrics", "/openapi.json", "/dashboard", "/docs/", "/", "/nothing"):
        answers.append(client.get(path, headers=headers))
    assert {answer.status_code != 403 for answer in answers} == {is_answered}
    if not is_answered:
        assert all("--cors-origin" in answer.text for answer in answers)
    for path in ("/healthz", "/readyz"):
        assert client.get(path, headers=headers).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "headers", "is_let"),
    [
        ({"auth": False}, VISIT, True),
        ({"auth": False}, VISIT | {"Sec-Fetch-Site": "same-site"}, True),
        ({"auth": False}, FRAME, False),
        ({"auth": False, "frame_origins": "https://a.example"}, FRAME, True),
        ({"auth": False, "frame_origins": "https://a.example"}, VISIT, True),
    ],
)
def test_without_keys_a_link_of_another_site_leads_to_pages_alone(
    client: FlaskClient, headers: dict[str, str], is_let: bool
) -> None:
    for path in ("/", "/dashboard", "/dashboard/users?lang=ja", "/docs/"):
        assert (client.get(path, headers=headers).status_code != 403) == is_let
    for path in (f"{BASE}/users/ann/behavior-histories", "/metrics", "/openapi.json", "/nothing"):
        assert client.get(path, headers=headers).status_code == 403
    for path in ("/dashboard/links", "/dashboard/links/revoke", "/dashboard/sign-out"):
        assert client.post(path, headers=headers).status_code == 403


@pytest.mark.slow
def test_search_engines_are_told_to_stay_away(client: FlaskClient, database: Database) -> None:
    token = links.create_link(database, name="board", expires_at=2**40)
    shared = f"/dashboard/shared/{token}"
    for path in (shared, f"{shared}/pages", f"{shared}x", "/dashboard/sign-in", "/", "/nothing"):
        assert "noindex" in client.get(path).headers["X-Robots-Tag"]
    robots = client.get("/robots.txt", headers={"Authorization": ""})
    assert (robots.status_code, robots.mimetype) == (200, "text/plain")
    assert robots.text == "User-agent: *\nDisallow: /\n"


@pytest.mark.slow
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
