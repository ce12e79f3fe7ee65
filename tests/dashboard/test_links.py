"""Links for others: making and revoking them, what they show, and what they keep to themselves."""

import json
import logging
import re
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from html import unescape
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, unquote
from urllib.request import urlopen

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser

from app import create_app
from app.auth import keys, links, public
from app.maintenance.erasure import erase_tenant, erase_user
from app.maintenance.pruning import prune
from app.storage.database import Database
from app.web.log_format import JsonFormatter, TextFormatter
from app.web.request_target import SHARED_PATH, without_tokens

from ..conftest import NOW, SetClock, run, serving
from ..support.calls import ingest
from ..support.people import LINKS, SESSION, SIGN_IN, field, message, sign_in, submit

DAY = 86400
GONE = "This link is not valid any more."


@pytest.fixture
def person(app: Flask) -> FlaskClient:
    """Somebody's browser, with nothing in it."""
    return app.test_client()


@pytest.fixture
def manager(app: Flask, database: Database) -> FlaskClient:
    """The browser of somebody who is signed in and may manage links."""
    browser = app.test_client()
    key = keys.create_bearer_key(database, name="boss", scopes=("read", "admin"))
    assert sign_in(browser, key).status_code == 303
    return browser


def make(database: Database, name: str = "board", **options: Any) -> str:
    """Make a link and return its path."""
    options = {"expires_at": database.clock.now() + DAY} | options
    return f"{SHARED_PATH}/{links.create_link(database, name=name, **options)}"


def feed(client: FlaskClient, *tenants: str) -> None:
    ingest(
        client,
        *(
            {
                "type": "userinfo",
                "user_id": f"{tenant}-user",
                "tenant_id": tenant,
                "env_id": 3,
                "timestamp": NOW,
                "referer": f"/of-{tenant}",
            }
            for tenant in tenants
        ),
    )


def at_new(folder: Path) -> tuple[str | Path, ...]:
    """Return the option that names a new database."""
    Database(folder / "a.db").close()
    return "--database", folder / "a.db"


class TestTheCommand:
    def test_it_makes_lists_and_revokes_links(self, tmp_path: Path) -> None:
        at = at_new(tmp_path)
        made = run("links", "create", "board", *at)
        assert re.fullmatch(rf"{SHARED_PATH}/[0-9a-f]{{64}}\n", made.stdout)
        assert made.stderr == "This is shown only once; keep it safe.\n"
        base = "https://analysis.example.com/"
        url = run("links", "create", "other", "--url", base, "--expires", "2", *at).stdout
        assert url.startswith(f"https://analysis.example.com{SHARED_PATH}/")
        listed = run("links", "list", *at).stdout
        assert re.search(r"board +all +valid until 20\d\d-\d\d-\d\d +never\n", listed)
        assert made.stdout.strip().rpartition("/")[2] not in listed
        assert run("links", "revoke", "board", *at).stdout == "revoked board\n"
        assert re.search(r"board +all +revoked 20", run("links", "list", *at).stdout)
        again = run("links", "create", "board", *at)
        assert again.returncode == 0
        assert again.stdout != made.stdout

    def test_it_holds_for_30_days_unless_said(self, tmp_path: Path) -> None:
        at = (*at_new(tmp_path), "--json")
        before = int(time.time())
        told = json.loads(run("links", "create", "board", *at).stdout)
        assert before + 30 * DAY <= told["expires_at"] <= time.time() + 30 * DAY
        (row,) = json.loads(run("links", "list", *at).stdout)
        assert row == {
            "name": "board",
            "tenant_id": None,
            "created_at": told["expires_at"] - 30 * DAY,
            "expires_at": told["expires_at"],
            "revoked_at": None,
            "last_used_at": None,
        }

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("create", "taken"), "there is a link named taken"),
            (("create", ""), "1 to 64 printable characters"),
            (("create", "a b"), "1 to 64 printable characters"),
            (("create", "x" * 65), "1 to 64 printable characters"),
            (("create", "k", "--expires", "2020-01-01"), "must be a date in the future"),
            (("create", "k", "--expires", "0"), "must be a date in the future"),
            (("create", "k", "--tenant", "nobody"), "no data are stored for a tenant 'nobody'"),
            (("revoke", "nobody"), "there is no link named nobody"),
        ],
    )
    def test_it_refuses_what_it_cannot_do(
        self, tmp_path: Path, arguments: tuple[str, ...], message: str
    ) -> None:
        at = at_new(tmp_path)
        run("links", "create", "taken", *at)
        before = run("links", "list", *at).stdout
        refused = run("links", *arguments, *at)
        assert refused.returncode != 0
        assert message in refused.stderr
        assert "Traceback" not in refused.stderr
        assert run("links", "list", *at).stdout == before


class TestThePage:
    @pytest.mark.slow
    def test_a_url_is_shown_once_and_works(
        self, manager: FlaskClient, person: FlaskClient, database: Database
    ) -> None:
        made = submit(manager, LINKS, on=LINKS, name=" board ", expires="7", tenant=" ")
        assert made.status_code == 200
        assert "This URL is shown only once" in made.text
        (url,) = re.findall("http://localhost(/dashboard/shared/[0-9a-f]{64})", made.text)
        assert url not in manager.get(LINKS).text
        assert person.get(url).status_code == 200
        (row,) = links.list_links(database)
        assert (row["name"], row["tenant_id"]) == ("board", None)
        assert row["expires_at"] == NOW + 7 * DAY

    @pytest.mark.slow
    def test_a_link_may_be_of_one_tenant_until_a_date(
        self, manager: FlaskClient, client: FlaskClient, database: Database
    ) -> None:
        feed(client, "acme")
        fields = {"name": "acme-board", "tenant": "acme", "expires": "2026-06-01"}
        assert submit(manager, LINKS, on=LINKS, **fields).status_code == 200
        (row,) = links.list_links(database)
        assert (row["tenant_id"], row["expires_at"]) == ("acme", 1_780_272_000)

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"name": "taken"}, "There is already a link with this name"),
            ({"name": ""}, "A link needs a name of at most 64 characters"),
            ({"name": "a b"}, "A link needs a name of at most 64 characters"),
            ({"name": "x" * 65}, "A link needs a name of at most 64 characters"),
            ({"expires": ""}, "a date in the future"),
            ({"expires": "0"}, "a date in the future"),
            ({"expires": "-1"}, "a date in the future"),
            ({"expires": "2026-05-19"}, "a date in the future"),
            ({"expires": "36501"}, "a date in the future"),
            ({"expires": "9" * 30}, "a date in the future"),
            ({"tenant": "nobody"}, "No data are stored for this tenant."),
        ],
    )
    def test_what_cannot_be_is_told_beside_what_was_typed(
        self, manager: FlaskClient, database: Database, fields: dict[str, str], words: str
    ) -> None:
        make(database, "taken")
        given = {"name": '"><b>', "expires": "3", "tenant": ""} | fields
        answer = submit(manager, LINKS, on=LINKS, **given)
        assert answer.status_code == 400
        assert 'role="alert"' in answer.text
        assert words in answer.text
        assert "<b>" not in answer.text
        for name, text in given.items():
            assert f'name="{name}"' in answer.text
            assert not text or f'value="{text}"' in answer.text or "<" in text
        assert [link["name"] for link in links.list_links(database)] == ["taken"]

    @pytest.mark.slow
    def test_links_are_listed_with_how_they_stand(
        self, manager: FlaskClient, person: FlaskClient, database: Database, clock: SetClock
    ) -> None:
        make(database, "revoked")
        make(database, "expired", expires_at=NOW + 1)
        used = make(database, "used")
        clock.timestamp += 1
        person.get(used)
        links.revoke_link(database, "revoked")
        table = manager.get(f"{LINKS}?lang=en").text.partition("<tbody>")[2]
        text = " ".join(re.sub("<[^>]*>", " ", table).split())
        assert re.search("revoked all revoked .{10,30} never", text)
        assert re.search("expired all expired .{10,30} never Revoke expired", text)
        assert re.search("used all valid until .{10,60} Revoke used", text)
        assert "Revoke revoked" not in text

    @pytest.mark.slow
    def test_a_link_is_revoked_by_its_button(
        self, manager: FlaskClient, person: FlaskClient, database: Database
    ) -> None:
        one, other = make(database, "one"), make(database, "other")
        answer = submit(manager, f"{LINKS}/revoke", on=LINKS, name="one")
        assert (answer.status_code, answer.location) == (303, LINKS)
        assert [person.get(url).status_code for url in (one, other)] == [404, 200]
        again = submit(manager, f"{LINKS}/revoke", on=LINKS, name="one")
        assert again.status_code == 303

    @pytest.mark.parametrize("settings", [{"proxies": 1}])
    def test_a_url_is_that_of_the_proxy(self, app: Flask, manager: FlaskClient) -> None:
        session = manager.get_cookie(SESSION, path="/dashboard")
        assert session is not None
        behind = app.test_client()
        behind.set_cookie(SESSION, session.value, domain="analysis.example.com")
        token = field(manager.get(LINKS), "csrf_token")
        answer = behind.post(
            LINKS,
            data={"csrf_token": token, "name": "board", "expires": "1"},
            base_url="http://analysis.example.com/stats",
            headers={"X-Forwarded-Proto": "https"},
        )
        assert f">https://analysis.example.com/stats{SHARED_PATH}/" in answer.text


class TestWhoHasALink:
    @pytest.mark.slow
    def test_sees_pages_without_a_cookie(self, person: FlaskClient, database: Database) -> None:
        url = make(database)
        for path in ("", "/", "/pages", "/tenants"):
            answer = person.get(url + path)
            assert answer.status_code == 200
            assert "Set-Cookie" not in answer.headers
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            inside = [
                found
                for found in re.findall('(?:href|action)="(/[^"]*)"', answer.text)
                if "/static/" not in found
            ]
            assert inside
            assert all(found.startswith(url) for found in inside)

    @pytest.mark.slow
    def test_does_not_see_what_single_users_did_nor_changes_anything(
        self, person: FlaskClient, manager: FlaskClient, database: Database
    ) -> None:
        url = make(database)
        token = field(manager.get(LINKS), "csrf_token")
        for path in ("/users", "/users/user?id=ann", "/links", "/sign-in", "/nothing"):
            for browser in (person, manager):
                answer = browser.get(url + path)
                assert (answer.status_code, answer.mimetype) == (404, "text/html")
                assert message(answer) == "There is no page at this address."
        for path in ("/links", "/links/revoke", "/sign-in", "/sign-out"):
            data = {"csrf_token": token, "name": "board", "expires": "1", "key": "x"}
            for browser in (person, manager):
                assert browser.post(url + path, data=data).status_code == 404
        (row,) = links.list_links(database)
        assert row["revoked_at"] is None
        assert manager.get(LINKS).status_code == 200

    @pytest.mark.slow
    def test_sees_them_until_the_second_it_expires(
        self, person: FlaskClient, database: Database, clock: SetClock
    ) -> None:
        url = make(database)
        clock.timestamp += DAY - 1
        assert person.get(url).status_code == 200
        clock.timestamp += 1
        answer = person.get(url)
        assert (answer.status_code, answer.mimetype, message(answer)) == (404, "text/html", GONE)

    @pytest.mark.slow
    @pytest.mark.parametrize("settings", [{"failed_keys": "off"}])
    def test_is_told_where_it_is_not_valid(
        self, person: FlaskClient, manager: FlaskClient, database: Database
    ) -> None:
        url = make(database)
        token = url.rpartition("/")[2]
        revoked = make(database, "revoked")
        links.revoke_link(database, "revoked")
        for wrong in (
            revoked,
            url[:-1],
            f"{url}x",
            url.replace(token, token.upper() + "A"),
            f"{SHARED_PATH}/board",
            f"{SHARED_PATH}/%00",
            f"{SHARED_PATH}/{quote('é☃')}",
            f"{SHARED_PATH}/{'0' * 10_000}",
        ):
            for path in ("", "/pages", "/users", "/nothing"):
                for browser in (person, manager):
                    answer = browser.get(wrong + path)
                    assert (answer.status_code, message(answer)) == (404, GONE)
                    assert "Sign" not in answer.text

    def test_has_no_more_of_it_than_the_hash_in_the_database(self, database: Database) -> None:
        tokens = {make(database, f"link-{n}").rpartition("/")[2] for n in range(20)}
        assert len(tokens) == 20
        for file in database.path.parent.iterdir():
            assert not [token for token in tokens if token.encode() in file.read_bytes()]

    @pytest.mark.slow
    def test_is_noted_once_an_hour(
        self, person: FlaskClient, database: Database, clock: SetClock
    ) -> None:
        def noted() -> int | None:
            used: int | None = links.list_links(database)[0]["last_used_at"]
            return used

        url = make(database)
        assert noted() is None
        for seconds, expected in ((0, NOW), (3599, NOW), (1, NOW + 3600)):
            clock.timestamp += seconds
            person.get(f"{url}/pages")
            assert noted() == expected

    @pytest.mark.slow
    @pytest.mark.parametrize("settings", [{"auth": False}])
    def test_sees_no_more_where_no_key_is_needed(
        self, person: FlaskClient, database: Database
    ) -> None:
        url = make(database)
        assert [person.get(url + path).status_code for path in ("", "/users")] == [200, 404]
        assert person.get(f"{SHARED_PATH}/wrong").status_code == 404


class TestALinkOfATenant:
    OF_OTHERS = re.compile("umbrella")

    @pytest.fixture
    def url(self, client: FlaskClient, database: Database) -> str:
        feed(client, "acme", "umbrella")
        return make(database, tenant_id="acme")

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "path",
        [
            "",
            "?tenant=umbrella",
            "/pages?tenant=umbrella",
            "/tenants?tenant=umbrella",
            "/tenants?q=umbrella",
            "/tenants?csv=tenants",
            "/tenants/tenant?id=umbrella",
            "/tenants/tenant?id=umbrella&tenant=umbrella&tenant_id=umbrella",
            "/pages/page?id=/of-umbrella",
        ],
    )
    def test_shows_no_other_whatever_the_url_says(
        self, person: FlaskClient, url: str, path: str
    ) -> None:
        answer = person.get(url + path, follow_redirects=True)
        assert answer.status_code in (200, 400)
        # What the URL itself says may stand on the page, as in the links to other languages.
        text = re.sub('(?:href|action|value)="[^"]*"', "", answer.text)
        assert not [line for line in text.splitlines() if re.search("umbrella[^<]*[0-9]", line)]
        assert "umbrella-user" not in answer.text

    @pytest.mark.slow
    def test_shows_the_same_whatever_others_did(self, tmp_path: Path, clock: SetClock) -> None:
        """On a hundred pages that links lead to, and in tables of them as CSV."""

        def shown(*tenants: str) -> dict[str, str]:
            app = create_app(database=tmp_path / f"{len(tenants)}.db", clock=clock)
            with closing(app.extensions["database"]) as database:
                client = app.test_client()
                token = keys.create_bearer_key(database, name="k", scopes=("ingest",))
                client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
                feed(client, *tenants)
                for tenant in tenants[1:]:
                    call = {"type": "userinfo", "user_id": "u", "tenant_id": tenant}
                    ingest(client, call | {"env_id": 8, "timestamp": NOW - DAY})
                url = make(database, tenant_id="acme")
                person, pages = app.test_client(), dict[str, str]()
                left = ["", "?tenant=umbrella", "/pages/page?id=/of-umbrella&period=all"]
                left += ["/tenants?q=umbrella", "/tenants/tenant?id=umbrella&tenant=umbrella"]
                for path in left:
                    told = {"X-Saasus-Trace-Id": "t"}
                    answer = person.get(url + path, headers=told, follow_redirects=True)
                    pages[path] = answer.text.replace(url, "")
                    for found in re.findall('href="(/(?!dashboard)[^"]*)"', pages[path]):
                        if unescape(found) not in left and len(left) < 100:
                            left.append(unescape(found))
            return pages

        alone, beside = shown("acme"), shown("acme", "umbrella", "umbrella-2")
        assert alone == beside
        assert len(alone) == 100
        for word in ("csv=", "/pages/page?", "/tenants/tenant?", "period="):
            assert sum(word in path for path in alone) > 1, word

    @pytest.mark.slow
    def test_shows_that_tenant(self, person: FlaskClient, url: str) -> None:
        text = person.get(f"{url}/tenants", follow_redirects=True).text
        assert "acme" in text
        assert "umbrella" not in text

    def test_shows_nothing_where_its_tenant_is_gone(
        self, person: FlaskClient, database: Database, url: str
    ) -> None:
        with closing(sqlite3.connect(database.path)) as connection:
            connection.execute("delete from tenant where name = 'acme'")
            connection.commit()
        assert (answer := person.get(url)).status_code == 404
        assert message(answer) == GONE

    @pytest.mark.slow
    def test_goes_when_the_tenant_is_erased(
        self, person: FlaskClient, client: FlaskClient, database: Database, url: str
    ) -> None:
        other = make(database, "other")
        assert erase_user(database, "acme-user") is not None
        assert person.get(url).status_code == 200
        dry = erase_tenant(database, "acme", dry_run=True)
        assert dry is not None
        assert person.get(url).status_code == 200
        erased = erase_tenant(database, "acme")
        assert erased is not None
        assert (dry.links, erased.links) == (1, 1)
        assert person.get(url).status_code == 404
        assert person.get(other).status_code == 200
        assert [link["name"] for link in links.list_links(database)] == ["other"]
        assert b"acme" not in client.get(LINKS).data

    @pytest.mark.slow
    def test_stays_when_all_of_the_tenant_is_pruned(
        self, person: FlaskClient, database: Database, clock: SetClock, url: str
    ) -> None:
        clock.timestamp += 1000 * DAY
        later = make(database, "later", tenant_id="acme")
        since = database.calendar.day_start(database.calendar.day_of(NOW) + 40)
        list(prune(database, dict.fromkeys(("histories", "page_statistics", "counts"), since)))
        assert [person.get(path).status_code for path in (url, later)] == [404, 200]
        assert {link["tenant_id"] for link in links.list_links(database)} == {"acme"}
        with pytest.raises(links.UnknownTenant):
            links.create_link(database, name="x", tenant_id="umbrella", expires_at=2**40)


def test_a_name_can_be_used_again_when_its_link_is_revoked(database: Database) -> None:
    make(database)
    with pytest.raises(keys.NameTaken):
        make(database)
    assert links.revoke_link(database, "board")
    assert not links.revoke_link(database, "board")
    make(database)


def test_each_ends_some_day(database: Database) -> None:
    make(database)
    never = "update link set expires_at = null"
    with pytest.raises(sqlite3.IntegrityError), database.writing() as connection:
        connection.execute(never)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"failed_keys": "3/day"}])
def test_wrong_tokens_count_like_wrong_keys(
    app: Flask, person: FlaskClient, database: Database
) -> None:
    known, new = make(database, "known"), make(database, "new")
    assert person.get(known).status_code == 200
    assert [person.get(f"{SHARED_PATH}/{n}").status_code for n in range(3)] == [404] * 3
    for url in (f"{SHARED_PATH}/3", new, f"{new}/pages", f"{SHARED_PATH}/3/static/none"):
        answer = person.get(url)
        assert answer.status_code == (404 if "static" in url else 429)
        assert answer.mimetype == "text/html"
    assert person.get(known).status_code == 200
    key = keys.create_bearer_key(database, name="k", scopes=("read",))
    assert sign_in(person, key).status_code == 429
    elsewhere = {"REMOTE_ADDR": "192.0.2.9"}
    assert person.get(new, environ_overrides=elsewhere).status_code == 200


class TestInAFrame:
    ORIGINS = "https://a.example,http://localhost:3000"

    def frames(self, client: FlaskClient, path: str) -> str:
        return client.get(path).headers["Content-Security-Policy"].rpartition("frame-ancestors ")[2]

    @pytest.mark.slow
    @pytest.mark.parametrize("settings", [{"frame_origins": ORIGINS}])
    def test_named_origins_may_show_what_a_link_shows(
        self, person: FlaskClient, manager: FlaskClient, database: Database
    ) -> None:
        url = make(database)
        for path in (url, f"{url}/tenants", f"{url}/nothing", f"{SHARED_PATH}/wrong"):
            assert self.frames(manager, path) == "https://a.example http://localhost:3000"
        for path in (SIGN_IN, LINKS, "/dashboard", "/dashboard/nothing"):
            assert self.frames(manager, path) == "'none'"
        assert self.frames(person, SIGN_IN) == "'none'"
        assert "'none'" in person.get("/healthz").headers["Content-Security-Policy"]

    @pytest.mark.parametrize("settings", [{"frame_origins": ORIGINS, "auth": False}])
    def test_or_where_no_key_is_needed(self, person: FlaskClient) -> None:
        assert self.frames(person, LINKS) == "https://a.example http://localhost:3000"

    @pytest.mark.slow
    def test_nobody_may_without_the_setting(self, person: FlaskClient, database: Database) -> None:
        assert self.frames(person, make(database)) == "'none'"

    def test_a_browser_shows_it_there_and_without_a_cookie(
        self, browser: Browser, tmp_path: Path
    ) -> None:
        at = at_new(tmp_path)
        path = run("links", "create", "board", *at).stdout.strip()
        with (
            portal() as port,
            serving(*at, ANALYSIS_FRAME_ORIGINS=f"http://localhost:{port}") as server,
            closing(browser.new_context()) as context,
        ):
            page = context.new_page()
            for host, is_shown in (("localhost", True), ("127.0.0.1", False)):
                page.goto(f"http://{host}:{port}/?{server.url}{path}")
                page.wait_for_load_state("networkidle")
                assert page.frames[1].url.startswith(server.url) == is_shown
            assert context.cookies() == []


class Portal(BaseHTTPRequestHandler):
    """A site that shows in a frame what the query of its URL is."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b'<iframe src="%s"></iframe>' % self.path[2:].encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def portal() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Portal) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def encoded(text: str, times: int = 1) -> str:
    """Return a text percent-encoded so many times."""
    for _ in range(times):
        text = quote(text, safe="")
    return text


class TestTheLog:
    """The token of a link is a key; it stands in no line."""

    def lines(self, caplog: pytest.LogCaptureFixture) -> str:
        return "\n".join(
            formatter.format(record)
            for record in caplog.records
            for formatter in (logging.Formatter(), TextFormatter(), JsonFormatter())
        )

    @pytest.mark.slow
    def test_has_the_name_of_the_link_and_not_its_token(
        self, person: FlaskClient, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        url = make(database)
        with caplog.at_level(logging.INFO):
            person.get(f"{url}/pages?period=7d")
        (line,) = caplog.messages
        assert f" GET {SHARED_PATH}/***/pages?period=7d 200 " in line
        assert line.endswith("key=link:board")

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "change",
        [
            lambda url, _: url,
            lambda url, _: f"{url}/users",
            lambda url, _: f"{url}/static/none",
            lambda url, _: f"{url}x",
            lambda url, _: f"{url}%20",
            lambda url, _: f"{url}%2Fpages",
            lambda url, _: f"{url}%3Fx",
            lambda url, _: f"/{url}",
            lambda url, _: url.replace("/shared/", "//shared//"),
            lambda url, _: url.replace("shared", "%73hared"),
            lambda url, _: url.replace("/shared/", "%2Fshared%2f"),
            lambda url, token: url.replace(token, f"%{ord(token[0]):x}{token[1:]}"),
            lambda url, token: url.replace(token, "".join(f"%{ord(one):02X}" for one in token)),
            lambda url, token: url.replace(token, f"{token[:1]}%20{token[1:]}"),
            lambda url, token: url.replace(token, f"{token[:1]}%0A{token[1:]}"),
            lambda url, _: f"{url}//pages",
            lambda url, _: f"{url};v=1",
            lambda url, token: url.replace(token, f"%22{token}%22"),
            lambda url, token: url.replace(token, f"%3F{token}"),
            lambda url, token: url.replace(token, f"./{token}"),
            lambda url, token: url.replace(token, f"?{token}"),
            lambda url, _: url.replace("/shared/", "/./shared/"),
            lambda url, _: url.replace("/shared/", "/x/../shared/"),
            lambda url, _: url.replace("/shared/", "\\shared\\"),
            lambda url, _: url.replace("/dashboard/shared/", "/Dashboard/Shared/"),
            lambda url, _: url.replace("/shared/", "/share/"),
            lambda _, token: f"/{token}",
            lambda _, token: f"/dashboard?period={token}&type=daily",
            lambda url, _: f"/dashboard/sign-in?next={url}//pages&lang=ja",
            *(
                lambda url, _, times=times: f"/dashboard/sign-in?next={encoded(url, times)}"
                for times in (1, 2, 3, 8, 9, 20)
            ),
            lambda url, _: f"/v1/analysis/users/{encoded(encoded(url))}/behavior-histories",
            lambda url, _: encoded(url.replace("/", "\\")),
            lambda url, _: "/healthz?%73=" + encoded("x://h" + url + "?a=b"),
        ],
    )
    def test_has_no_token_however_it_is_written(
        self, person: FlaskClient, database: Database, caplog: pytest.LogCaptureFixture, change: Any
    ) -> None:
        url = make(database)
        token = url.rpartition("/")[2]
        target = change(url, token)
        with caplog.at_level(logging.INFO):
            person.get(target, environ_overrides={"REQUEST_URI": target})
            person.post(target, environ_overrides={"REQUEST_URI": target})
        assert len(caplog.records) == 2
        text = self.lines(caplog)
        assert "***" in text
        for _ in range(30):
            assert token[2:] not in text
            text = unquote(text)
        text = self.lines(caplog)
        assert "".join(f"%{ord(one):02X}" for one in token[2:]) not in text

    def test_has_none_with_an_exception(
        self,
        app: Flask,
        person: FlaskClient,
        database: Database,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        @public
        def fail(**_: object) -> None:
            raise KeyError("oops")

        monkeypatch.setitem(app.view_functions, "shared.overview", fail)
        url = make(database)
        answer = person.get(url)
        assert (answer.status_code, answer.mimetype) == (500, "text/html")
        text = self.lines(caplog)
        assert "KeyError: 'oops'" in text
        assert f"Exception on GET {SHARED_PATH}/***" in text
        assert url.rpartition("/")[2] not in text

    @pytest.mark.slow
    def test_a_wrong_path_behind_a_token_shows_no_form(
        self, person: FlaskClient, database: Database
    ) -> None:
        url = make(database)
        for target in (f"{url}//pages", url.replace("/shared/", "/./shared/")):
            answer = person.get(target)
            assert (answer.status_code, answer.mimetype) == (404, "text/html")

    def test_has_none_in_what_a_program_says(self, database: Database) -> None:
        url = make(database)
        try:
            raise KeyError(encoded(url, 3), f'"{url}"', url.replace("/", "\\/"))
        except KeyError:
            failed = sys.exc_info()
        record = logging.LogRecord(
            "x", 40, "", 1, "Referer: %s", (f"http://a{url}//%41?x#y",), failed
        )
        record.request = {"target": encoded(url, 2), "status": 500}
        for formatter in (TextFormatter(), JsonFormatter()):
            text = formatter.format(record)
            assert text.count("***") >= 4
            for _ in range(5):
                assert url.rpartition("/")[2] not in text
                text = unquote(text)
        assert json.loads(JsonFormatter().format(record))["status"] == 500

    @pytest.mark.parametrize(
        "text",
        [
            "GET /v1/analysis/pages/%E3%81%82%2520%252525/of?a=%22",
            f"/users/{'0' * 63}/shared",
            "100% of /dashboard/pages?period=7d%26",
        ],
    )
    def test_leaves_all_else_as_it_was_sent(self, text: str) -> None:
        assert without_tokens(text) == text

    @pytest.mark.slow
    def test_is_not_held_up_by_what_is_decoded_without_end(self) -> None:
        for long in (
            "%" + "25" * 100_000,
            "%2" * 100_000,
            "dashboard/" * 20_000 + "%41",
            "/" * 200_000,
        ):
            assert len(without_tokens(long)) <= len(long)

    def test_has_none_where_others_write_a_path(self) -> None:
        path = f"{SHARED_PATH}/{'0' * 64}"
        record = logging.LogRecord(
            "waitress", logging.INFO, "", 1, f"Client disconnected while serving {path}", None, None
        )
        for formatter in (TextFormatter(), JsonFormatter()):
            assert "0000" not in formatter.format(record)
        assert json.loads(JsonFormatter().format(record))["message"].endswith("/shared/***")
        assert without_tokens(f"'{path}' of \"{path}\"") == (
            f"'{SHARED_PATH}/***' of \"{SHARED_PATH}/***\""
        )
        assert without_tokens("/v1/analysis/shared/x") == "/v1/analysis/shared/x"

    @pytest.mark.slow
    @pytest.mark.parametrize("form", ["text", "json"])
    def test_of_a_server_has_none(self, tmp_path: Path, form: str) -> None:
        at = at_new(tmp_path)
        path = run("links", "create", "board", *at).stdout.strip()
        token = path.rpartition("/")[2]
        with (
            (tmp_path / "log").open("w") as log,
            serving(*at, stderr=log, ANALYSIS_LOG_FORMAT=form) as server,
        ):
            encoded = f"{SHARED_PATH}/%{ord(token[0]):x}{token[1:]}"
            for target in (path, f"{path}/users", encoded, f"{path}//pages"):
                with suppress(HTTPError), urlopen(server.url + target):
                    pass
            server.process.terminate()
            server.process.wait(timeout=30)
        text = (tmp_path / "log").read_text()
        assert text.count("link:board") >= 3
        assert token[1:] not in text
