"""A server behind proxies: under a prefix, and asked for by other names than its own."""

import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from app.auth import keys
from app.config import load_settings
from app.config_values import OUR_PATHS
from app.double import application
from app.storage.database import Database

from ..conftest import SetClock, run
from ..support.calls import BASE
from ..support.people import SIGN_IN, cookie, field, message, sign_in
from ..support.signer import authorization

PREFIX = "/analytics"
TOLD = {"X-Forwarded-Prefix": PREFIX}
TARGET = f"{BASE}/users/a%2F%C3%BC/behavior-histories?x=%7E"

# Settings, what the proxy does to paths, and what it tells.
PROXIES = pytest.mark.parametrize(
    ("settings", "before", "headers"),
    [
        ({"prefix": PREFIX}, PREFIX, {}),
        ({"prefix": PREFIX}, "", {}),
        ({"prefix": PREFIX, "proxies": 1}, "", {"X-Forwarded-Prefix": "/other"}),
        ({"proxies": 1}, "", TOLD),
        ({"proxies": 1}, "", {"X-Forwarded-Prefix": f"/of-a-client, {PREFIX}/"}),
        ({"proxies": 1}, PREFIX, TOLD),
        ({"proxies": 2}, "", {"X-Forwarded-Prefix": "/of-a-client, /ana, /lytics"}),
    ],
    ids=["passed on", "cut", "set and told", "told", "told among", "told, not cut", "cut twice"],
)


def outside(headers: dict[str, str]) -> str:
    """Return the prefix that a client sees."""
    return "/ana/lytics" if "/lytics" in headers.get("X-Forwarded-Prefix", "") else PREFIX


@pytest.mark.slow
@PROXIES
def test_all_that_leads_somewhere_leads_below_the_prefix(
    app: Flask, database: Database, before: str, headers: dict[str, str]
) -> None:
    expected = outside(headers)
    client = app.test_client(use_cookies=False)  # it would keep them from what a proxy has cut
    for name, value in headers.items():
        client.environ_base[f"HTTP_{name.upper().replace('-', '_')}"] = value
    token = keys.create_bearer_key(database, name="ann", scopes=keys.SCOPES)

    def get(path: str) -> Any:
        answer = client.get(before + path)
        assert answer.status_code in (200, 303, 302, 308), path
        return answer

    assert get("/healthz").status_code == get("/readyz").status_code == 200
    assert client.get(before or "/").headers["Location"] == f"{expected}/dashboard"
    assert get("/docs").headers["Location"] == f"http://localhost{expected}/docs/"
    assert get("/openapi.json").get_json()["servers"] == [{"url": expected + BASE}]
    assert f'"url": "{expected}/openapi.json"' in get("/docs/").text
    sign_in = get("/dashboard/pages?period=7d").headers["Location"]
    wanted = quote(f"{expected}/dashboard/pages?period=7d", safe="/?")
    assert sign_in == f"{expected}/dashboard/sign-in?next={wanted}"
    page = get(sign_in.removeprefix(expected))
    token_of_form, next_page = field(page, "csrf_token"), field(page, "next")
    data = {"csrf_token": token_of_form, "next": next_page, "key": token}
    form_cookie = cookie(page, "analysis_form")
    assert form_cookie["path"] == f"{expected}/dashboard"
    answer = client.post(
        before + SIGN_IN, data=data, headers={"Cookie": f"analysis_form={form_cookie['value']}"}
    )
    assert answer.headers["Location"] == f"{expected}/dashboard/pages?period=7d"
    session = cookie(answer)
    assert session["path"] == f"{expected}/dashboard"
    client.environ_base["HTTP_COOKIE"] = f"analysis_session={session['value']}"
    shown = ""
    for path in ("", "/pages", "/tenants", "/users", "/links"):
        shown += get(f"/dashboard{path}").text
    links = re.findall(r'(?:href|src|action)="([^"#]*)"', shown)
    assert len(links) > 50
    assert {unescape(link) for link in links if not link.startswith(f"{expected}/")} == set()
    assert f"http://localhost{expected}{BASE}/ingest/events" in shown
    data = {"csrf_token": field(get("/dashboard/links"), "csrf_token"), "name": "wall"}
    made = client.post(f"{before}/dashboard/links", data=data | {"expires": "1"})
    (url,) = re.findall("<code>(.*?)</code>", made.text)
    assert url.startswith(f"http://localhost{expected}/dashboard/shared/")
    shared = get(url.removeprefix(f"http://localhost{expected}"))
    assert f'href="{expected}/dashboard/shared/' in shared.text


@PROXIES
@pytest.mark.parametrize("host", ["localhost", "analysis.example.com:8443"])
def test_a_signature_holds_over_what_the_client_sent(
    app: Flask, database: Database, clock: SetClock, before: str, headers: dict[str, str], host: str
) -> None:
    key = keys.create_signature_key(database, name="sdk", scopes=keys.SCOPES)
    statuses = []
    for target in (outside(headers) + TARGET, f"/other{TARGET}"):
        header = authorization(key, at=clock.now(), method="GET", host=host, target=target)
        told = headers | {"Authorization": header, "X-Forwarded-Host": host}
        answer = app.test_client().get(
            before + TARGET, headers=told, environ_overrides={"REQUEST_URI": before + TARGET}
        )
        statuses.append(answer.status_code)
    believed = host == "localhost" or app.extensions["settings"].proxies
    assert statuses == [200 if believed else 401, 401]


@pytest.mark.parametrize("settings", [{"proxies": 1}])
@pytest.mark.parametrize(
    "prefix",
    [
        *(
            "//evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/a\tb",
            "/a/../b",
            "/..",
        ),
        *("/%2f/evil.example", "/\\evil.example", "/" + "a" * 300, "/a;b", '/"><script>', "evil"),
        *("/dashboard", "/v1/analysis", "/a/dashboard/shared", "", "/", "/é", "/a\r\nX: y"),
    ],
)
def test_a_prefix_that_is_none_is_not_believed(client: FlaskClient, prefix: str) -> None:
    told = {"HTTP_X_FORWARDED_PREFIX": prefix}
    home, docs = (client.get(path, environ_overrides=told) for path in ("/", "/docs"))
    assert home.headers["Location"] == "/dashboard"
    assert docs.headers["Location"] == "http://localhost/docs/"


@pytest.mark.parametrize("settings", [{}, {"prefix": PREFIX}, {"proxies": 1}])
def test_a_server_that_mounts_the_application_tells_the_prefix_by_script_name(
    app: Flask, database: Database, clock: SetClock, settings: dict[str, Any]
) -> None:
    mounted = Client(DispatcherMiddleware(NotFound(), {PREFIX: app}))
    assert mounted.get(f"{PREFIX}/").headers["Location"] == f"{PREFIX}/dashboard"
    key = keys.create_signature_key(database, name="sdk", scopes=keys.SCOPES)
    header = authorization(
        key, at=clock.now(), method="GET", host="localhost", target=PREFIX + TARGET
    )
    assert mounted.get(PREFIX + TARGET, headers={"Authorization": header}).status_code == 200
    if "proxies" in settings:
        told = {"X-Forwarded-Prefix": "/outer"}
        location = mounted.get(f"{PREFIX}/", headers=told).headers["Location"]
        assert location == f"/outer{PREFIX}/dashboard"


def test_without_proxies_nobody_is_believed(client: FlaskClient) -> None:
    told = TOLD | {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    assert client.get("/", headers=told).headers["Location"] == "/dashboard"
    assert client.get("/docs", headers=told).headers["Location"] == "http://localhost/docs/"
    assert client.get(f"{PREFIX}/healthz", headers=told).status_code == 404


@pytest.mark.parametrize("settings", [{"proxies": 1}])
def test_scheme_and_host_are_those_that_the_proxy_tells(client: FlaskClient) -> None:
    told = {"X-Forwarded-Host": "stats.example.com:8443", "X-Forwarded-Proto": "https"}
    location = client.get("/docs", headers=told).headers["Location"]
    assert location == "https://stats.example.com:8443/docs/"
    for host in ("evil.example/x", "a@evil.example", "evil example", "", "x" * 300, "a:b", "[::1"):
        told = {"X-Forwarded-Host": host}
        assert client.get("/docs", headers=told).headers["Location"] == "http://localhost/docs/"


@pytest.mark.parametrize("settings", [{"proxies": 1}])
def test_who_signs_in_behind_a_proxy_that_changes_the_host_is_told_what_to_set(
    app: Flask, database: Database
) -> None:
    key = keys.create_bearer_key(database, name="ann", scopes=keys.SCOPES)
    person = app.test_client()
    origin = {"Origin": "http://stats.example.com:8443"}
    person.environ_base["HTTP_ORIGIN"] = origin["Origin"]
    refused = sign_in(person, key)
    assert refused.status_code == 403
    assert "http://stats.example.com:8443" in refused.text
    assert "sent to localhost." in refused.text
    assert "X-Forwarded-Host" in refused.text
    person.environ_base["HTTP_X_FORWARDED_HOST"] = "stats.example.com:8443"
    assert sign_in(person, key).status_code == 303


def test_who_keeps_no_cookies_is_told_so(client: FlaskClient, app: Flask) -> None:
    token = field(app.test_client().get(SIGN_IN), "csrf_token")
    refused = app.test_client().post(SIGN_IN, data={"csrf_token": token, "key": "x"})
    assert refused.status_code == 403
    assert message(refused) == "Your browser did not keep the cookie that came with this form."


def test_the_paths_that_a_prefix_must_differ_from_are_all_there_are(app: Flask) -> None:
    double = application.make_double(load_settings({}, {}))
    rules = [*app.url_map.iter_rules(), *double.url_map.iter_rules()]
    firsts = {str(rule).split("/")[1] for rule in rules} - {""}
    application.close(double)
    assert firsts <= set(OUR_PATHS)


@pytest.mark.slow
def test_a_namespace_of_a_double_is_below_the_prefix() -> None:
    double = application.make_double(load_settings({"prefix": PREFIX}, {}))
    client = double.test_client()
    for before in ("", PREFIX):
        assert client.get(f"{before}/ns/a/__double/health").status_code == 200
        told = client.get(f"{before}/ns/a/openapi.json").get_json()
        assert told["servers"] == [{"url": f"{PREFIX}/ns/a{BASE}"}]
    application.close(double)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ((), "/analytics/dashboard/shared/"),
        (("--url", "https://x.example/"), "https://x.example/analytics/dashboard/shared/"),
        (("--url", "https://x.example/analytics"), "https://x.example/analytics/dashboard/shared/"),
    ],
)
def test_a_link_of_the_command_line_has_the_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: tuple[str, ...], expected: str
) -> None:
    monkeypatch.setenv("ANALYSIS_PREFIX", PREFIX)
    Database(tmp_path / "a.db").close()
    made = run("links", "create", "wall", *url, "--database", tmp_path / "a.db")
    assert re.fullmatch(f"{expected}[^/]+\n", made.stdout), made.stderr


@pytest.mark.parametrize("settings", [{"prefix": PREFIX, "proxies": 1}])
def test_tokens_are_left_out_of_the_log_below_a_prefix(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "saasus_analysis")
    for before in ("", PREFIX):
        client.get(f"{before}/dashboard/shared/hush/pages")
        client.get(f"{before}/dashboard/sh%61red/hush")
    assert "/analytics/dashboard/shared/***" in caplog.text
    assert "hush" not in caplog.text
