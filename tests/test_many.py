"""Very many of a kind: what is shown and done does not grow with what there is."""

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from pyroaring import BitMap

from app import create_app
from app.analytics import active_users as analytic_active_users
from app.analytics.selection import Days, Scope
from app.auth import keys, sessions
from app.dashboard import layout
from app.dashboard.pages import users as users_page
from app.storage.database import Database
from app.summaries.periods import active_users as period_active_users
from app.summaries.periods import reading, sealing
from bench.data import NOW, Then
from bench.million import EVENT, KINDS, PAGES, YESTERDAY, build

from .conftest import run
from .support.calls import BASE

FEW, MANY = 1_200, 4_800
"""Both are more than any list shows."""

SHOWN = {"environments", "tenants", "users", "pages", "referers", "entries of one user"}
"""The kinds that most pages show something of."""

STEPS = 100
"""Steps of SQLite's virtual machine are counted by so many."""


@contextmanager
def asking(path: Path, work: Counter[str]) -> Iterator[FlaskClient]:
    """Give a client of a server that counts what its connections do."""

    def step() -> None:
        work["steps"] += 1

    def statement(_: str) -> None:
        work["statements"] += 1

    connect = Database._connect

    def counted(database: Database) -> sqlite3.Connection:
        connection = connect(database)
        connection.set_progress_handler(step, STEPS)
        connection.set_trace_callback(statement)
        return connection

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Database, "_connect", counted)
        app = create_app(database=path, auth=False, clock=Then(), synchronous="off")
        with closing(app.extensions["database"]):
            yield app.test_client()


def work_of(path: Path, pages: Iterable[str]) -> dict[str, tuple[int, Counter[str]]]:
    """Return of pages how long they are and what they do, and what an event does."""
    work: Counter[str] = Counter()
    found = {}
    with asking(path, work) as client:
        for name in pages:
            work.clear()
            answer = client.get(PAGES[name])
            assert answer.status_code == 200, answer.text
            found[name] = len(answer.data), work.copy()
        work.clear()
        assert client.post(f"{BASE}/ingest/events", json=EVENT).status_code == 200
        found["an event"] = 0, work.copy()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_work_of_a_page_is_that_of_what_it_shows(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.analytics.tenants.CELLS", 500)
    for name, number in (("few", FEW), ("many", MANY)):
        build(tmp_path / name, kind, number)
    pages = PAGES if kind in SHOWN else ("overview", "users", "links", "/metrics")
    few, many = (work_of(tmp_path / name, pages) for name in ("few", "many"))
    for name, (length, work) in many.items():
        assert length <= few[name][0] * 1.1 + 5_000, name
        assert work["statements"] <= few[name][1]["statements"] + 100, name
        # Some read all to choose what they show, but none reads it for each of these again.
        assert work["steps"] <= few[name][1]["steps"] * MANY / FEW * 1.2 + 5, name
    flat = {"users", "/metrics", "an event"} - (
        {"users"} if kind == "entries of one user" else set()
    )
    for name in flat:
        assert many[name][1]["steps"] <= few[name][1]["steps"] * 1.3 + 20, name


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"auth": False}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(tmp_path / "a.db", clock=Then(), synchronous="off")) as opened:
        yield opened


def feed(client: FlaskClient, *events: dict[str, Any]) -> None:
    answer = client.post(f"{BASE}/ingest/events", json=[EVENT | event for event in events])
    assert answer.get_json()["accepted"] == len(events), answer.text


def rows(page: str) -> list[str]:
    """Return what the rows of a page's tables are of."""
    return [
        unescape(row) for row in re.findall(r'<th scope="row"[^>]*>(?:<a [^>]*>)?([^<]*)', page)
    ]


class TestLists:
    """A list has the most used, and what it leaves out is found by searching, and in CSV."""

    @pytest.fixture(autouse=True)
    def _listed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in ("controls", "tables"):
            monkeypatch.setattr(f"app.dashboard.{module}.MOST_LISTED", 2)

    @pytest.mark.slow
    def test_of_tenants(self, client: FlaskClient) -> None:
        for number, tenant in enumerate(("Ä-least", "most", "b-more"), 1):
            users = range(3 if tenant == "most" else number)
            feed(client, *({"tenant_id": tenant, "env_id": 3, "user_id": f"{n}"} for n in users))
        page = client.get("/dashboard/tenants?lang=en").text
        assert rows(page) == ["b-more", "most"]
        assert "The 2 tenants with the most users" in page
        found = client.get("/dashboard/tenants?lang=en&q=ä-l").text
        assert rows(found) == ["Ä-least"]
        assert "with the most users" not in found
        assert rows(client.get("/dashboard/tenants?tenant=Ä-least").text) == ["Ä-least"]
        csv = client.get("/dashboard/tenants?csv=tenants").data.decode("utf-8-sig")
        assert len(csv.splitlines()) == 4

    @pytest.mark.slow
    def test_of_pages(self, client: FlaskClient) -> None:
        for views, url in ((1, "/Ä"), (3, "/most"), (2, "/more")):
            feed(client, *({"env_id": 3, "referer": url} for _ in range(views)))
        page = client.get("/dashboard/pages?lang=en").text
        assert rows(page) == ["/most", "/more"]
        assert "The 2 pages with the most views" in page
        assert "6 views by 1 users" in page
        found = client.get("/dashboard/pages?lang=en&q=/ä").text
        assert rows(found) == ["/Ä"]
        assert "16.7%" in found
        csv = client.get("/dashboard/pages?csv=pages").data.decode("utf-8-sig")
        assert len(csv.splitlines()) == 4

    @pytest.mark.slow
    def test_of_actions(self, client: FlaskClient) -> None:
        for views, name in ((1, "least"), (3, "most"), (2, "more")):
            feed(client, *({"env_id": 3, "referer": f"/?action={name}"} for _ in range(views)))
        page = client.get("/dashboard/pages/page?id=/&lang=en").text
        assert rows(page)[-2:] == ["most", "more"]
        assert "Only the most frequent ones are listed." in page
        csv = client.get("/dashboard/pages/page?id=/&csv=actions").data.decode("utf-8-sig")
        assert csv.splitlines()[1:] == ["most,3", "more,2", "least,1"]


class TestEnvironments:
    """Environments of a tenant: the most active first, in parts, and found by their digits."""

    @pytest.fixture(autouse=True)
    def _fed(self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.dashboard.pages.tenants.ROWS", 2)
        monkeypatch.setattr(layout, "OFFERED", 2)
        for env, users in ((71, 1), (72, 3), (73, 2)):
            feed(client, *({"env_id": env, "user_id": f"{number}"} for number in range(users)))

    def listed(self, client: FlaskClient, query: str = "") -> list[str]:
        page = client.get(f"/dashboard/tenants/tenant?id=acme&lang=en{query}").text
        return [row for row in rows(page) if row.startswith("7")]

    @pytest.mark.slow
    def test_are_listed_in_parts(self, client: FlaskClient) -> None:
        assert self.listed(client) == ["72", "73"]
        assert self.listed(client, "&start=2") == ["71"]
        assert self.listed(client, "&start=9") == ["72", "73"]
        page = client.get("/dashboard/tenants/tenant?id=acme&lang=en").text
        assert "1 to 2 of 3" in page
        csv = client.get("/dashboard/tenants/tenant?id=acme&csv=environments&start=2").text
        assert [line.split(",")[0] for line in csv.splitlines()[1:]] == ["72", "73", "71"]

    @pytest.mark.slow
    def test_are_found_by_their_digits(self, client: FlaskClient) -> None:
        assert "Search for an environment" in client.get("/dashboard/tenants/tenant?id=acme").text
        assert self.listed(client, "&q=1") == ["71"]
        assert self.listed(client, "&q=8") == []

    @pytest.mark.slow
    def test_the_filter_offers_the_most_active_and_takes_any(self, client: FlaskClient) -> None:
        page = client.get("/dashboard?env=71").text
        assert re.findall(r'<option value="(7\d)"', page) == ["72", "73"]
        assert re.search(r'<input [^>]*name="env"[^>]*value="71"', page)


@pytest.mark.slow
def test_a_page_of_a_user_names_the_tenants_that_the_user_was_in_last(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users_page, "MEMBERSHIPS", 2)
    feed(client, *({"tenant_id": f"t-{n}", "env_id": 3, "referer": "/"} for n in range(3)))
    page = client.get("/dashboard/users/user?id=user-2&lang=en").text
    assert re.findall(r">(t-\d)</a>", page) == ["t-0", "t-1"]
    assert "and older ones" in page


@pytest.mark.parametrize("few", [0, 3, 4, 16])
def test_a_summary_tells_each_environment_and_all_together(
    database: Database, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(period_active_users, "FEW", few)
    monkeypatch.setattr(sealing, "PAYS", 1)
    users = {1: [1, 2], 7: [2, 3], 2**63 - 1: [4], 0: [5]}
    database_rows = [(1, env, user) for env, found in users.items() for user in found]
    with database.writing() as connection:
        connection.execute("insert into tenant values (1, 'acme')")
        connection.executemany("insert into user values (?1, ?1)", [(str(n),) for n in range(1, 6)])
        connection.executemany(
            "insert into active_user values (0, ?, ?, ?, ?, 1)",
            [(YESTERDAY, *row) for row in database_rows],
        )
        connection.executemany(
            "insert into active_users values (0, ?, 1, ?, ?, null)",
            [(YESTERDAY, env, len(found)) for env, found in users.items()],
        )
    days: dict[str, Any] = {"monthly": False, "first": YESTERDAY, "last": YESTERDAY}
    for _ in range(2):  # when it is made, and when it is read
        for env, found in users.items():
            assert reading.active_users(database, **days, env_id=env) == {YESTERDAY: BitMap(found)}
            pairs = reading.active_members(database, **days, env_id=env)[YESTERDAY]
            assert list(pairs) == [1 << 32 | user for user in found]
        assert reading.active_users(database, **days) == {YESTERDAY: BitMap(range(1, 6))}
        assert reading.active_users(database, **days, env_id=5) == {}
    with database.reading() as connection:
        assert list(sealing.check(connection, database.calendar, iter)) == []
        (stored,) = connection.execute("select count(*) from period_summary").fetchone()
    assert stored == 2
    assert (
        analytic_active_users.active_in(database, Days(YESTERDAY, YESTERDAY), Scope("acme", 7)) == 2
    )


def test_signing_in_deletes_a_bounded_number_of_sessions(database: Database) -> None:
    token = keys.create_bearer_key(database, name="k", scopes=("read",))
    key = keys.find_bearer_key(database, token)
    assert key is not None
    with database.writing() as connection:
        connection.execute(
            """
            insert into session
            select randomblob(32), 1, 0, value
            from (
              with recursive each (value) as (
                select 1 union all select value + 1 from each where value < 1500
              )
              select value from each
            )
            """
        )
    left = []
    for _ in range(3):
        sessions.begin_session(database, key, 60)
        with database.reading() as connection:
            (stored,) = connection.execute("select count(*) from session").fetchone()
        left.append(stored)
    assert left == [501, 2, 3]


@pytest.mark.parametrize(("words", "kind"), [("keys list", "keys"), ("links list", "links")])
def test_a_command_lists_what_is_valid_before_the_rest(
    words: str, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.db"
    build(path, kind, 1_100)
    with closing(sqlite3.connect(path)) as connection, connection:
        if kind == "links":
            connection.execute("update link set revoked_at = 1 where id > 1")
        else:
            connection.execute("update key set revoked_at = null where id = 1")
    asked = [*words.split(), "--json", "--database", str(path)]
    listed = run(*asked)
    found = [row["name"] for row in json.loads(listed.stdout)]
    assert (len(found), found[0][-6:], found[-1][-6:]) == (1000, "-10001", "-11100")
    assert listed.stderr == "only 1000 rows are listed; --all lists all\n"
    everything = run(*asked, "--all")
    assert (len(json.loads(everything.stdout)), everything.stderr) == (1100, "")


def test_audit_lists_the_latest(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    build(path, "audit rows", 1_100)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update audit set at = id")
    listed = run("audit", "--json", "--database", path)
    assert [row["at"] for row in json.loads(listed.stdout)] == list(range(101, 1101))
    assert "--all" in listed.stderr
    assert len(run("audit", "--all", "--database", path).stdout.splitlines()) == 1100


@pytest.mark.slow
def test_the_page_of_links_has_those_that_are_valid_before_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    build(path, "links", 300)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update link set expires_at = ? where id > 1", (NOW,))
    with asking(path, Counter()) as client:
        page = client.get("/dashboard/links?lang=en").text
    found = rows(page)
    assert (len(found), found[0], found[-1]) == (200, "link-10001", "link-10300")
    assert "At most 200 links are listed." in page
