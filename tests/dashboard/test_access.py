"""Who may see the dashboard with a key: signing in, sessions, forms."""

import hmac
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser
from werkzeug.test import TestResponse

from app.auth import keys, links, public
from app.dashboard.cookies import FORM, SESSION
from app.storage.database import Database

from ..auth.test_keys import bearer
from ..conftest import NOW, RunningServer, SetClock
from ..storage.test_database import locked_by_another_process
from ..support.browser import visiting
from ..support.people import (
    LINKS,
    SIGN_IN,
    SIGN_OUT,
    cookie,
    field,
    is_signed_in,
    message,
    sign_in,
    submit,
)
from ..support.refusals import HEEDED, READS, refused

HOUR = 3600
HISTORIES = "/v1/analysis/users/ann/behavior-histories"


@pytest.fixture
def key(database: Database) -> str:
    return keys.create_bearer_key(database, name="ann", scopes=("read", "admin"))


@pytest.fixture
def person(app: Flask) -> FlaskClient:
    """Somebody's browser, with nothing in it."""
    return app.test_client()


@pytest.fixture
def insider(app: Flask, key: str) -> FlaskClient:
    """The browser of somebody who is signed in and may manage."""
    browser = app.test_client()
    assert sign_in(browser, key).status_code == 303
    return browser


def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    with database.reading() as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.slow
def test_who_wants_a_page_signs_in_and_gets_there(person: FlaskClient, key: str) -> None:
    asked = person.get(f"{LINKS}?lang=ja&q=a%26b")
    assert asked.status_code == 303
    form = person.get(str(asked.location))
    assert form.status_code == 200
    assert '<html lang="ja">' in form.text
    done = person.post(
        SIGN_IN,
        data={"key": key, "csrf_token": field(form, "csrf_token"), "next": field(form, "next")},
    )
    assert (done.status_code, done.location) == (303, f"{LINKS}?lang=ja&q=a%26b")
    assert person.get(done.location).status_code == 200


@pytest.mark.slow
def test_the_line_that_a_first_start_shows_is_a_key_too(person: FlaskClient, key: str) -> None:
    assert sign_in(person, f" Authorization: Bearer {key} ").status_code == 303
    assert is_signed_in(person)


@pytest.mark.slow
def test_every_page_asks_who_it_is(app: Flask) -> None:
    """Whatever is under /dashboard, but for the files and the form for a key."""
    walked = set()
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/dashboard") or rule.endpoint.endswith(".static"):
            continue
        for method in (rule.methods or set()) - {"OPTIONS"}:
            path = re.sub("<.*?>", "x", rule.rule)
            answer = app.test_client().open(path, method=method)
            if rule.rule.startswith("/dashboard/shared/"):
                assert answer.status_code == 404
            elif rule.rule == SIGN_IN:
                assert answer.status_code == (403 if method == "POST" else 200)
            elif method == "POST":
                assert answer.status_code == 401
                assert answer.headers["WWW-Authenticate"]
            else:
                assert answer.status_code == 303
                assert str(answer.location).startswith(f"{SIGN_IN}?next=")
            walked.add((method, rule.endpoint))
    assert {("GET", "dashboard.overview"), ("POST", "dashboard.revoke")} <= walked
    assert {
        ("GET", "shared.user"),
        ("GET", "dashboard.nothing"),
        ("HEAD", "shared.links"),
    } <= walked


@pytest.mark.slow
def test_the_files_of_pages_are_for_everybody_and_browsers_may_keep_them(
    person: FlaskClient, insider: FlaskClient
) -> None:
    """And nothing else: what a page shows is for whoever is signed in now."""
    pages = [person.get(SIGN_IN), *(insider.get(f"/dashboard{path}") for path in ("", "/users"))]
    files = {
        path
        for page in pages
        for path in re.findall('(?:href|src)="(/[^"]*/static/[^"]*)"', page.text)
    }
    assert len(files) > 3
    for path in files:
        with person.get(path) as answer:
            assert answer.status_code == 200
            assert answer.headers["Cache-Control"] == "public, max-age=2592000"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Security-Policy"] == HEEDED["Content-Security-Policy"]
            assert "Set-Cookie" not in answer.headers
    for page in (*pages, insider.get("/dashboard?csv=views"), insider.get("/dashboard/nothing")):
        assert page.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/dashboard",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example/dashboard",
        "/dashboard\\..\\..\\evil",
        "/dashboard/\\evil.example",
        "/dashboard.evil.example",
        "/dashboard@evil.example",
        "/dashboardevil",
        "/docs/",
        "/dashboard/../docs/",
        "/dashboard/%2e%2E/docs/",
        "/dashboard/..%2fdocs",
        "dashboard",
        "javascript:alert(1)",
        "/dashboard\r\nSet-Cookie: a=b",
        "/dashboard/\u3000",
        "http:/dashboard",
        "",
    ],
)
def test_a_page_that_is_not_the_dashboard_s_is_not_led_to(
    person: FlaskClient, key: str, wanted: str
) -> None:
    done = sign_in(person, key, next=wanted)
    assert (done.status_code, done.location) == (303, "/dashboard")
    again = person.get(SIGN_IN, query_string={"next": wanted, "lang": "en"})
    assert again.status_code in (302, 303)
    assert str(again.location).partition("?")[0] in ("/dashboard", SIGN_IN)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", ["/dashboard", "/dashboard/", "/dashboard?a=//b", LINKS])
def test_a_page_of_the_dashboard_is_led_to(person: FlaskClient, key: str, wanted: str) -> None:
    assert sign_in(person, key, next=wanted).location == wanted
    assert person.get(SIGN_IN, query_string={"next": wanted}).location == wanted


@pytest.mark.slow
def test_a_key_that_does_not_hold_is_refused_in_words(
    person: FlaskClient, database: Database, clock: SetClock, key: str
) -> None:
    signing = keys.create_signature_key(database, name="sdk", scopes=("read",))
    expired = keys.create_bearer_key(
        database, name="e", scopes=("read",), expires_at=clock.now() + 1
    )
    revoked = keys.create_bearer_key(database, name="r", scopes=("read",))
    keys.revoke_key(database, "r")
    clock.timestamp += 1
    texts = set()
    for wrong in ("", " ", "wrong", key[:-1], f"{key}x", expired, revoked, *signing.values()):
        answer = sign_in(person, wrong)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"]
        texts.add(re.sub('value="[^"]*"', "", answer.text))
        assert not wrong.strip() or wrong not in answer.text
    (text,) = texts
    assert "Use a Bearer key, which begins with saa_ and has the scope read" in text
    assert not is_signed_in(person)


@pytest.mark.parametrize("scope", [scope for scope in keys.SCOPES if scope != "read"])
def test_a_key_that_may_not_read_cannot_sign_in(
    person: FlaskClient, database: Database, scope: str
) -> None:
    token = keys.create_bearer_key(database, name="k", scopes=(scope,))
    answer = sign_in(person, token)
    assert answer.status_code == 403
    assert "lacks the scope read" in answer.text
    assert not is_signed_in(person)


def test_only_a_key_of_scope_admin_manages_links(person: FlaskClient, database: Database) -> None:
    sign_in(person, keys.create_bearer_key(database, name="k", scopes=("read",)))
    page = person.get(LINKS)
    assert (page.status_code, message(page)) == (403, "Your key does not let you manage links.")
    assert f'href="{LINKS}"' not in page.text
    for path in (LINKS, f"{LINKS}/revoke"):
        answer = submit_from(page, person, path, name="board", expires="1")
        assert answer.status_code == 403
    assert links.list_links(database) == []


def submit_from(page: TestResponse, client: FlaskClient, path: str, **fields: str) -> TestResponse:
    return client.post(path, data={"csrf_token": field(page, "csrf_token")} | fields)


class TestSessions:
    @pytest.mark.slow
    def test_each_sign_in_is_a_session_of_its_own(self, app: Flask, key: str) -> None:
        one, other = app.test_client(), app.test_client()
        tokens = {cookie(sign_in(browser, key))["value"] for browser in (one, other)}
        assert len(tokens) == 2
        assert all(re.fullmatch("[0-9a-f]{64}", token) for token in tokens)
        submit(one, SIGN_OUT, on=LINKS)
        assert [is_signed_in(one), is_signed_in(other)] == [False, True]

    @pytest.mark.slow
    def test_signing_out_ends_it_on_the_server(
        self, app: Flask, insider: FlaskClient, database: Database
    ) -> None:
        stolen = insider.get_cookie(SESSION, path="/dashboard")
        assert stolen is not None
        answer = submit(insider, SIGN_OUT, on=LINKS)
        assert (answer.status_code, answer.location) == (303, SIGN_IN)
        assert cookie(answer)["max-age"] == "0"
        thief = app.test_client()
        thief.set_cookie(SESSION, stolen.value, path="/dashboard")
        assert not is_signed_in(thief)
        assert rows(database, "select * from session") == []

    @pytest.mark.slow
    def test_signing_in_again_ends_the_one_before(
        self, app: Flask, insider: FlaskClient, key: str, database: Database
    ) -> None:
        before = insider.get_cookie(SESSION, path="/dashboard")
        assert before is not None
        form = app.test_client().get(SIGN_IN)
        insider.set_cookie(FORM, cookie(form, FORM)["value"], path="/dashboard")
        submit_from(form, insider, SIGN_IN, key=key)
        assert is_signed_in(insider)
        insider.set_cookie(SESSION, before.value, path="/dashboard")
        assert not is_signed_in(insider)
        assert len(rows(database, "select * from session")) == 1

    @pytest.mark.slow
    @pytest.mark.parametrize(("settings", "hours"), [({}, 12), ({"session_hours": 1}, 1)])
    def test_it_holds_until_the_second_it_expires(
        self, insider: FlaskClient, clock: SetClock, hours: int
    ) -> None:
        clock.timestamp += hours * HOUR - 1
        assert is_signed_in(insider)
        clock.timestamp += 1
        assert not is_signed_in(insider)

    @pytest.mark.slow
    def test_using_it_does_not_make_it_longer(self, insider: FlaskClient, clock: SetClock) -> None:
        for _ in range(12):
            assert is_signed_in(insider)
            clock.timestamp += HOUR
        assert not is_signed_in(insider)

    @pytest.mark.slow
    def test_it_ends_with_its_key(self, app: Flask, database: Database, clock: SetClock) -> None:
        def browser(**options: Any) -> FlaskClient:
            made = app.test_client()
            sign_in(made, keys.create_bearer_key(database, scopes=("read",), **options))
            assert is_signed_in(made)
            return made

        revoked = browser(name="revoked")
        expiring = browser(name="expiring", expires_at=clock.now() + 2)
        narrowed = browser(name="narrowed")
        rotated = browser(name="rotated")
        keys.revoke_key(database, "revoked")
        keys.rotate_key(database, "rotated", overlap=2)
        with database.writing() as connection:
            connection.execute("update key set scopes = 'write' where name = 'narrowed'")
        assert not is_signed_in(revoked)
        assert not is_signed_in(narrowed)
        clock.timestamp += 1
        assert [is_signed_in(expiring), is_signed_in(rotated)] == [True, True]
        clock.timestamp += 1
        assert [is_signed_in(expiring), is_signed_in(rotated)] == [False, False]

    def test_those_that_expired_are_deleted_in_passing(
        self, app: Flask, insider: FlaskClient, key: str, database: Database, clock: SetClock
    ) -> None:
        clock.timestamp += 12 * HOUR
        assert len(rows(database, "select * from session")) == 1
        sign_in(app.test_client(), key)
        ((expires,),) = rows(database, "select expires_at from session")
        assert expires == NOW + 24 * HOUR

    def test_a_token_is_stored_as_its_hash_alone(
        self, insider: FlaskClient, database: Database
    ) -> None:
        found = insider.get_cookie(SESSION, path="/dashboard")
        assert found is not None
        for file in database.path.parent.iterdir():
            assert found.value.encode() not in file.read_bytes()

    @pytest.mark.parametrize("value", ["", "x", "é☃", "0" * 64, "0" * 4000])
    def test_a_cookie_that_is_none_of_ours_opens_nothing(
        self, person: FlaskClient, key: str, value: str
    ) -> None:
        person.set_cookie(SESSION, value, path="/dashboard")
        assert not is_signed_in(person)
        assert sign_in(person, key).status_code == 303

    def test_a_session_is_no_key_of_the_api(self, insider: FlaskClient) -> None:
        refused(insider.get(HISTORIES), status=401)
        refused(insider.get(HISTORIES, headers={"Cookie": f"{SESSION}=x"}), status=401)

    def test_a_key_is_no_session(self, client: FlaskClient) -> None:
        assert client.get(LINKS).status_code == 303

    @pytest.mark.slow
    def test_the_use_of_its_key_is_noted_once_an_hour(
        self, person: FlaskClient, key: str, database: Database, clock: SetClock
    ) -> None:
        def noted() -> int | None:
            used: int | None = keys.list_keys(database)[0]["last_used_at"]
            return used

        person.get(LINKS)
        assert noted() is None
        sign_in(person, key)
        assert noted() == NOW
        clock.timestamp += HOUR - 1
        assert is_signed_in(person)
        assert noted() == NOW
        clock.timestamp += 1
        assert is_signed_in(person)
        assert noted() == NOW + HOUR


class TestForms:
    """A form counts only if one of our pages sent it, in this browser."""

    @pytest.fixture
    def token(self, insider: FlaskClient) -> str:
        return field(insider.get(LINKS), "csrf_token")

    def make(self, client: FlaskClient, token: str | None, **headers: str) -> int:
        data = {"name": "board", "expires": "1"} | ({} if token is None else {"csrf_token": token})
        answer = client.post(LINKS, data=data, headers=headers)
        assert answer.mimetype == "text/html"
        if answer.status_code == 403:
            assert "this server" in message(answer) or "the cookie" in message(answer)
        return answer.status_code

    def test_a_token_is_compared_in_constant_time_however_much_of_it_is_right(
        self, insider: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = field(insider.get(LINKS), "csrf_token")
        compared = []

        def compare(one: bytes, other: bytes) -> bool:
            compared.append(other.decode())
            return compare_digest(one, other)

        compare_digest = hmac.compare_digest
        monkeypatch.setattr(hmac, "compare_digest", compare)
        wrong = ["x", "x" * len(token), token[:1], token[:-1], f"{token[:-1]}x", f"{token}x"]
        for given in wrong:
            assert insider.post(LINKS, data={"csrf_token": given}).status_code == 403
        assert compared == wrong

    @pytest.mark.slow
    def test_it_needs_the_token_of_its_session(
        self, app: Flask, insider: FlaskClient, token: str, key: str, database: Database
    ) -> None:
        other = app.test_client()
        form = field(other.get(SIGN_IN), "csrf_token")
        sign_in(other, key)
        of_other = field(other.get(LINKS), "csrf_token")
        assert len({token, form, of_other}) == 3
        for wrong in (None, "", "x", "é☃", token[:-1], token.upper(), form, of_other):
            assert self.make(insider, wrong) == 403
            answer = insider.post(SIGN_OUT, data={"csrf_token": wrong or ""})
            assert answer.status_code == 403
        assert links.list_links(database) == []
        assert is_signed_in(insider)
        assert self.make(insider, token) == 200

    @pytest.mark.slow
    def test_the_token_is_not_that_of_the_session(self, insider: FlaskClient, token: str) -> None:
        found = insider.get_cookie(SESSION, path="/dashboard")
        assert found is not None
        assert found.value not in insider.get(LINKS).text
        assert self.make(insider, found.value) == 403

    @pytest.mark.slow
    def test_a_new_sign_in_has_another_token(
        self, insider: FlaskClient, token: str, key: str
    ) -> None:
        submit(insider, SIGN_OUT, on=LINKS)
        sign_in(insider, key)
        assert self.make(insider, token) == 403

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Origin": "http://localhost"}, 200),
            ({"Origin": "https://localhost"}, 200),
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "http://localhost.evil.example"}, 403),
            ({"Origin": "http://localhost:81"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": ""}, 403),
            ({"Sec-Fetch-Site": "same-origin"}, 200),
            ({"Sec-Fetch-Site": "none"}, 200),
            ({"Sec-Fetch-Site": "same-site"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, 403),
        ],
    )
    def test_what_a_browser_says_of_where_it_comes_from_is_heeded(
        self, insider: FlaskClient, token: str, headers: dict[str, str], status: int
    ) -> None:
        assert self.make(insider, token, **headers) == status

    def test_the_form_for_a_key_is_known_by_a_cookie_of_the_browser(
        self, app: Flask, person: FlaskClient, key: str
    ) -> None:
        token = field(person.get(SIGN_IN), "csrf_token")
        again = person.get(SIGN_IN)
        assert field(again, "csrf_token") == token
        assert "Set-Cookie" not in again.headers
        stranger = app.test_client()
        of_nothing = hmac.new(b"", b"form", "sha256").hexdigest()
        for wrong in ("", token, of_nothing):
            answer = stranger.post(SIGN_IN, data={"key": key, "csrf_token": wrong})
            assert answer.status_code == 403
            assert "Set-Cookie" not in answer.headers
        stranger.set_cookie(FORM, "", path="/dashboard")
        data = {"key": key, "csrf_token": of_nothing}
        assert stranger.post(SIGN_IN, data=data).status_code == 403
        for site in ("cross-site", "same-site"):
            headers = {"Sec-Fetch-Site": site}
            data = {"key": key, "csrf_token": token}
            assert person.post(SIGN_IN, data=data, headers=headers).status_code == 403
        assert person.post(SIGN_IN, data={"key": key, "csrf_token": token}).status_code == 303

    @pytest.mark.slow
    @pytest.mark.parametrize("settings", [{"auth": False}])
    def test_without_keys_forms_need_it_too(self, app: Flask, person: FlaskClient) -> None:
        token = field(person.get(LINKS), "csrf_token")
        assert self.make(app.test_client(), token) == 403
        assert self.make(person, None) == 403
        foreign = {"Origin": "https://evil.example"}
        answer = person.post(LINKS, data={"csrf_token": token}, headers=foreign)
        assert answer.status_code == 403
        assert "--cors-origin" in answer.text
        assert self.make(person, token) == 200


class TestCookies:
    def test_scripts_and_other_sites_cannot_use_them(self, person: FlaskClient, key: str) -> None:
        expected = {"path": "/dashboard", "httponly": "", "samesite": "Strict"}
        form = cookie(person.get(SIGN_IN), FORM)
        session = cookie(sign_in(person, key))
        assert session["max-age"] == str(12 * HOUR)
        for found in (form, session):
            known = found.keys() - {"value", "max-age", "expires"}
            assert {name: found[name] for name in known} == expected

    @pytest.mark.parametrize(
        ("settings", "scheme", "told", "is_secure"),
        [
            ({}, "http", None, False),
            ({}, "https", None, True),
            ({}, "http", "https", False),
            ({"proxies": 1}, "http", "https", True),
            ({"proxies": 1}, "http", "HTTPS", True),
            ({"proxies": 1}, "http", "http", False),
            ({"proxies": 1}, "http", "https, http", False),
            ({"proxies": 1}, "http", "http, https", True),
            ({"proxies": 2}, "http", "https, http", True),
            ({"proxies": 2}, "http", "https", True),
            ({"proxies": 2}, "http", "https, http, http", False),
            ({"proxies": 1}, "https", None, True),
            ({"proxies": 1}, "http", None, False),
            ({"proxies": 1}, "http", " , ", False),
        ],
    )
    def test_they_are_for_tls_where_the_client_came_by_it(
        self, app: Flask, key: str, scheme: str, told: str | None, is_secure: bool
    ) -> None:
        person = app.test_client()
        headers = {"X-Forwarded-Proto": told} if told else {}
        options: dict[str, Any] = {"base_url": f"{scheme}://localhost", "headers": headers}
        form = person.get(SIGN_IN, **options)
        data = {"csrf_token": field(form, "csrf_token"), "key": key}
        # What the client keeps for TLS it would not send without.
        options["headers"] = headers | {"Cookie": f"{FORM}={cookie(form, FORM)['value']}"}
        done = person.post(SIGN_IN, data=data, **options)
        assert done.status_code == 303
        assert [("secure" in cookie(form, FORM)), ("secure" in cookie(done))] == [is_secure] * 2

    @pytest.mark.slow
    def test_they_are_for_the_path_that_a_proxy_serves_it_under(self, app: Flask, key: str) -> None:
        person = app.test_client()
        options = {"base_url": "http://localhost/stats"}
        asked = person.get("/dashboard/links", **options)
        assert str(asked.location).startswith("/stats/dashboard/sign-in?next=/stats/dashboard/")
        form = person.get(SIGN_IN, query_string=str(asked.location).partition("?")[2], **options)
        assert cookie(form, FORM)["path"] == "/stats/dashboard"
        assert 'action="/stats/dashboard/sign-in"' in form.text
        data = {"csrf_token": field(form, "csrf_token"), "next": field(form, "next"), "key": key}
        done = person.post(SIGN_IN, data=data, **options)
        assert (cookie(done)["path"], done.location) == ("/stats/dashboard", "/stats" + LINKS)
        assert person.get(LINKS, **options).status_code == 200


@pytest.mark.parametrize("settings", [{"failed_keys": "3/day"}])
class TestWrongKeys:
    @pytest.mark.slow
    def test_they_count_like_those_of_the_api(
        self, app: Flask, person: FlaskClient, key: str
    ) -> None:
        assert [sign_in(person, f"wrong{n}").status_code for n in range(2)] == [401, 401]
        refused(person.get(HISTORIES, headers=bearer("wrong")), status=401)
        for answer in (sign_in(person, "wrong"), sign_in(app.test_client(), key)):
            assert answer.status_code == 429
            assert answer.mimetype == "text/html"
            assert int(answer.headers["Retry-After"]) > 1
            assert message(answer) == "Too many wrong keys or links came from your address."
        refused(person.get(HISTORIES, headers=bearer("wrong")), status=429)
        far = {"REMOTE_ADDR": "192.0.2.7"}
        form = person.get(SIGN_IN, environ_overrides=far)
        data = {"key": key, "csrf_token": field(form, "csrf_token")}
        assert person.post(SIGN_IN, data=data, environ_overrides=far).status_code == 303

    @pytest.mark.slow
    def test_who_is_signed_in_and_keys_that_were_right_go_on(
        self, app: Flask, insider: FlaskClient, database: Database, key: str
    ) -> None:
        used = keys.create_bearer_key(database, name="used", scopes=("read",))
        person = app.test_client()
        assert person.get(HISTORIES, headers=bearer(used)).status_code == 200
        assert [sign_in(person, "x").status_code for _ in range(4)] == [401, 401, 401, 429]
        assert is_signed_in(insider)
        assert [sign_in(app.test_client(), known).status_code for known in (key, used)] == [303] * 2

    @pytest.mark.slow
    def test_no_key_and_wrong_cookies_are_not_counted(self, app: Flask, key: str) -> None:
        for _ in range(5):
            person = app.test_client()
            assert sign_in(person, "").status_code == 401
            person.set_cookie(SESSION, "wrong", path="/dashboard")
            assert not is_signed_in(person)
        assert sign_in(app.test_client(), key).status_code == 303


class TestWithoutKeys:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"auth": False}

    @pytest.mark.slow
    def test_everything_is_open(self, person: FlaskClient, database: Database) -> None:
        assert person.get(LINKS).status_code == 200
        answer = submit(person, LINKS, on=LINKS, name="board", expires="1")
        assert answer.status_code == 200
        assert [link["name"] for link in links.list_links(database)] == ["board"]
        assert person.get(SIGN_IN).location == "/dashboard"
        assert "Sign out" not in answer.text
        assert submit(person, SIGN_OUT, on=LINKS).status_code == 303

    @pytest.mark.parametrize("path", ["/dashboard", LINKS, SIGN_IN, "/dashboard/shared/x"])
    def test_other_machines_are_refused_with_a_page(self, person: FlaskClient, path: str) -> None:
        answer = person.get(path, environ_overrides={"REMOTE_ADDR": "192.0.2.1"})
        assert (answer.status_code, answer.mimetype) == (403, "text/html")
        assert message(answer) == "You do not have access to this page."


class TestErrors:
    @pytest.mark.slow
    def test_an_unknown_path_is_told_in_words(self, insider: FlaskClient) -> None:
        for path in ("/dashboard/nothing", "/dashboard/a/b", "/dashboard/shared"):
            answer = insider.get(path, headers={"X-Saasus-Trace-Id": "trace-1"})
            assert (answer.status_code, answer.mimetype) == (404, "text/html")
            assert message(answer) == "There is no page at this address."
            assert "trace-1" in answer.text

    @pytest.mark.slow
    def test_they_are_told_in_the_language_of_who_asks(self, insider: FlaskClient) -> None:
        for options in ({"query_string": {"lang": "ja"}}, {"headers": {"Accept-Language": "ja"}}):
            answer = insider.get("/dashboard/nothing", **options)
            assert '<html lang="ja">' in answer.text
            assert "There is no page" not in answer.text

    def test_what_is_wrong_with_a_url_is_named(self, insider: FlaskClient) -> None:
        answer = insider.get("/dashboard?period=<b>")
        assert answer.status_code == 400
        assert "period: must be one of" in answer.text
        assert "<b>" not in answer.text

    @pytest.mark.slow
    @pytest.mark.parametrize("settings", [{"busy_seconds": 0}])
    def test_a_database_that_is_busy_is_a_page_too(
        self, person: FlaskClient, key: str, database: Database
    ) -> None:
        form = person.get(SIGN_IN)
        with locked_by_another_process(database.path):
            answer = submit_from(form, person, SIGN_IN, key=key)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert message(answer) == "The database is not available at the moment."
        assert submit_from(form, person, SIGN_IN, key=key).status_code == 303

    def test_a_bug_is_a_page_and_tells_nothing_of_itself(
        self, app: Flask, insider: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        @public
        def fail(**_: object) -> None:
            raise KeyError("a secret")

        monkeypatch.setitem(app.view_functions, "dashboard.links", fail)
        answer = insider.get(LINKS)
        assert (answer.status_code, answer.mimetype) == (500, "text/html")
        assert message(answer) == "An error occurred on the server."
        assert answer.headers["X-Saasus-Trace-Id"] in answer.text
        assert "secret" not in answer.text

    @pytest.mark.parametrize("settings", [{"allow_from": "192.0.2.0/24"}])
    def test_clients_at_other_addresses_see_a_page(self, person: FlaskClient) -> None:
        answer = person.get("/dashboard")
        assert (answer.status_code, answer.mimetype) == (403, "text/html")

    @pytest.mark.slow
    @pytest.mark.parametrize("path", [SIGN_IN, LINKS, "/dashboard", "/dashboard/nothing"])
    @pytest.mark.parametrize("empty", ["", "&period="])
    def test_parameters_mean_nothing_to_the_framework(
        self, person: FlaskClient, insider: FlaskClient, path: str, empty: str
    ) -> None:
        query = "endpoint=x&self=1&_scheme=javascript&_external=1&_method=POST&path=x&token=x"
        for browser in (person, insider):
            answer = browser.get(f"{path}?{query}{empty}", follow_redirects=True)
            assert answer.status_code in (200, 404)
            assert "javascript:" not in answer.text
            for found in re.findall('(?:href|action)="([^"]*)"', answer.text):
                assert found.startswith(("/dashboard", "/docs/", "#"))

    def test_the_rest_of_the_server_answers_json(self, person: FlaskClient) -> None:
        for path in (*READS, "/nothing"):
            assert person.get(f"/v1/analysis{path}").mimetype == "application/json"
        for path in ("/nothing", "/dashboards", "/dashboar"):
            refused(person.get(path), status=404)
        refused(person.put(LINKS), status=405)


@pytest.mark.slow
def test_pages_load_their_own_files_alone_and_are_in_no_frame(
    person: FlaskClient, insider: FlaskClient
) -> None:
    for answer in (
        person.get(SIGN_IN),
        insider.get(LINKS),
        insider.get("/dashboard/nothing"),
        person.get("/dashboard/shared/x"),
    ):
        policy = dict(
            part.strip().split(" ", 1)
            for part in answer.headers["Content-Security-Policy"].split(";")
        )
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "img-src": "'self' data:",
            "connect-src": "'self'",
            "form-action": "'self'",
            "base-uri": "'none'",
            "frame-ancestors": "'none'",
        }
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", answer.text)


@pytest.mark.slow
def test_the_log_tells_whose_key_it_was(
    person: FlaskClient, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "saasus_analysis.access"):
        sign_in(person, key)
        person.get(LINKS)
        submit(person, SIGN_OUT, on=LINKS)
        sign_in(person, "wrong-key")
    told = [line for line in caplog.messages if " POST " in line or LINKS in line]
    assert told[0].endswith("key=ann")
    assert told[1].endswith("key=ann")
    assert not [line for line in caplog.messages if key in line or "wrong-key" in line]


def test_who_follows_a_link_of_another_site_is_not_asked_again(
    browser: Browser, server: RunningServer
) -> None:
    """A browser leaves the cookie out there; the page that it gets leads on, with the cookie."""
    with visiting(browser, server.url, java_script_enabled=False) as page:
        page.goto(f"{server.url}{LINKS}?lang=en")
        page.get_by_label("Key with the scope read").fill(server.token)
        with page.expect_request(f"{server.url}{SIGN_IN}*") as sent:
            page.get_by_role("button", name="Sign in").click()
        assert sent.value.all_headers()["origin"] == server.url
        page.wait_for_url(f"{server.url}{LINKS}?lang=en")
        page.get_by_label("Name").fill("board")
        page.get_by_role("button", name="Make a link").click()
        url = page.locator(".made code").inner_text()
        assert url.startswith(f"{server.url}/dashboard/shared/")
        page.goto("about:blank")
        page.set_content(f'<a href="{server.url}{LINKS}">Look at this</a>')
        visited: list[str] = []
        page.on("request", lambda request: visited.append(urlsplit(request.url).path))
        page.get_by_role("link").click()
        page.get_by_role("heading", name="Make a link").wait_for()
        assert [path for path in visited if "/static/" not in path] == [LINKS, SIGN_IN, LINKS]
        page.get_by_role("button", name="Revoke board").click()
        page.get_by_text("revoked").wait_for()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("Key with the scope read").wait_for()
        page.goto(f"{server.url}{LINKS}")
        assert page.get_by_label("Key with the scope read").is_visible()


@pytest.mark.slow
def test_a_page_can_be_asked_for_with_head(person: FlaskClient) -> None:
    assert person.head("/dashboard").status_code == 303
    assert person.head(SIGN_IN).status_code == 200
