"""What is erased or pruned is in no file any more, nor in the log."""

import json
import re
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from app.analytics.histories import update_user_behavior_histories_by_day
from app.maintenance.erasure import erase_tenant, erase_user
from app.maintenance.pruning import prune
from app.storage.database import Database

from ..conftest import NOW, SetClock, run, serving
from ..support.calls import BASE
from ..support.records import api_log, eventbridge
from .test_erasing import DAY, TODAY, feed, view

DICTIONARIES = (
    "select name from user",
    "select name from tenant",
    "select url from referer",
    "select url from page",
)


@pytest.fixture(params=["on", "off"])
def database(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """A database of a SQLite that overwrites what it deletes, or does not unless it is told to."""

    class Built(sqlite3.Connection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.execute(f"pragma secure_delete = {request.param}")

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **o: connect(*a, **o, factory=Built))
    path = tmp_path / "a.db"
    with closing(Database(path, clock=SetClock(), synchronous="off")) as opened:
        yield opened


def names(database: Database) -> str:
    with database.reading() as connection:
        return str([connection.execute(select).fetchall() for select in DICTIONARIES])


def put_day(database: Database, user: str, *urls: str, at: int = NOW) -> None:
    histories = [{"timestamp": at, "referer": url} for url in urls]
    update_user_behavior_histories_by_day(database, timestamp=at, user_id=user, histories=histories)


def erase(database: Database) -> None:
    assert erase_user(database, "ann")


def erase_other_user(database: Database) -> None:
    assert erase_user(database, "cleo")


def erase_a_tenant(database: Database) -> None:
    assert erase_tenant(database, "t-of-cleo")


def prune_nothing(database: Database) -> None:
    assert [data for data, count in prune(database, {"counts": 1}) if count] == ["names"]
    assert [data for data, count in prune(database, {"counts": 1}) if count] == []


@pytest.mark.parametrize("end", [erase, erase_other_user, erase_a_tenant, prune_nothing])
def test_urls_of_a_replaced_day_go(database: Database, end: Callable[[Database], None]) -> None:
    feed(database, view("cleo", tenant="t-of-cleo"), view("bob"))
    put_day(database, "ann", *(f"/secret/{number}?of=ann" for number in range(100)))
    put_day(database, "ann", "/kept")
    put_day(database, "ann", "/other-day", at=NOW - DAY)
    put_day(database, "ann", at=NOW - DAY)
    end(database)
    assert "secret" not in names(database)
    assert "other-day" not in names(database)
    assert ("/kept" in names(database)) == (end is not erase)
    assert "bob" in names(database)


def test_a_user_of_forgotten_activity_alone_goes(database: Database) -> None:
    feed(database, view("ann", TODAY - 50 * DAY, page=""), view("bob"))
    list(prune(database, {"histories": TODAY - 10 * DAY}))
    assert "ann" not in names(database)
    assert "bob" in names(database)


@pytest.mark.slow
def test_copies_that_sqlite_leaves_when_it_moves_rows_go(database: Database) -> None:
    """About one row of a thousand leaves one, with `secure_delete` as well."""
    random = Random(3)
    for step in range(30):
        added = [f"{random.getrandbits(64):016x}" for _ in range(random.choice([10, 100]))]
        for user in ("ann", "bob"):
            urls = [f"/{user}-{url}/" + "x" * random.choice([0, 9, 100, 1500]) for url in added]
            put_day(database, user, *urls, at=NOW - step * DAY)
    erase(database)
    assert database.empty_wal()
    content = database.path.read_bytes()
    assert content.count(b"/bob-") > 1000
    assert re.findall(b"/ann-[0-9a-f]{16}", content) == []


class Ids:
    """Distinctive ids, each made once."""

    def __init__(self) -> None:
        self._random = Random(9)
        self.made: list[str] = []

    def __call__(self, kind: str) -> str:
        self.made.append(f"{self._random.getrandbits(60):015x}")
        return f"{kind}-{self.made[-1]}"


def visits(ids: Ids, at: int, tenant: str, user: str) -> list[dict[str, Any]]:
    """Return what tells of a user in each field of each feed: path, records."""
    place = {"tenant_id": tenant, "env_id": 3, "timestamp": at}
    own = {"type": "userinfo", "user_id": user, **place}
    referer = f"https://{ids('host')}.test/{ids('page')}/頁?q={ids('query')}#{ids('fragment')}"
    return [
        own | {"referer": referer, "id": ids("event")},
        own | {"referer": f"/{ids('path')}?action={ids('action')}", "id": ids("event")},
        {"type": "create_tenant_user", "user_id": user, "id": ids("event"), **place},
        {"type": "create_saas_user", "user_id": user, "id": ids("event"), "timestamp": at},
        {"type": "create_tenant", "id": ids("event"), **place},
    ]


def of_the_platform(ids: Ids, at: int, tenant: str, user: str) -> tuple[Any, Any]:
    moment = datetime.fromtimestamp(at, UTC).isoformat()
    answer = {"id": user, "tenants": [{"id": tenant, "envs": [{"id": 1, "name": "dev"}]}]}
    log = {
        "log_id": ids("log"),
        "uri": f"/v1/auth/tenants/{tenant}/users",
        "response_body": json.dumps({"id": user, "tenant_id": tenant}),
    }
    return (
        eventbridge("create_tenant_user", id=ids("bridge"), time=moment, log=log),
        api_log(
            id=ids("log"), created_at=at, answer=answer, referer=f"/{ids('api')}?q={ids('query')}"
        ),
    )


@pytest.mark.slow
def test_no_id_is_left(tmp_path: Path) -> None:
    """Of users and a tenant that went through every feed and question."""
    path, log = tmp_path / "a.db", tmp_path / "log"
    ids, at = Ids(), int(time.time()) // DAY * DAY - DAY
    gone, tenant = ids("tenant"), "stays"
    victims = [ids("user") for _ in range(9)]
    old = ids("old-user")
    with log.open("w") as file, serving("--database", path, stderr=file) as server:

        def send(method: str, path: str, body: Any = None) -> None:
            headers = server.headers | {"Content-Type": "application/json"}
            data = None if body is None else json.dumps(body).encode()
            request = Request(server.url + path, data, headers, method=method)
            with urlopen(request) as answer:
                answer.read()

        def ask(*of: str) -> None:
            span = f"start_timestamp={at - 110 * DAY}&end_timestamp={at + 2 * DAY}"
            days = "start_date=2020-01-01&end_date=2099-12-31"
            send("GET", f"{BASE}/metrics/page-statistics?{span}")
            for name in of:
                text = quote(name)
                send("GET", f"{BASE}/users/{text}/behavior-histories")
                send("GET", f"{BASE}/us%65rs/%{ord(text[0]):x}{text[1:]}/behavior-histories")
                send("GET", f"{BASE}/active-users?type=daily&date_from=2020-01-01&tenant_id={text}")
                send("GET", f"{BASE}/userinfo/aggregated?{days}&tenant_ids={text},x")
                send(
                    "GET",
                    f"{BASE}/metrics/aggregated?{days}&metrics_type=create_tenant_user"
                    f"&tenant_ids%5B%5D={text}&{text}",
                )
                for page in ("pages/page?id=", "tenants/tenant?id=", "users/user?id=", "?tenant="):
                    # Without a session these lead to the form for a key.
                    send("GET", f"/dashboard/{page}{text}")

        others = [f"other-{number}" for number in range(400)]
        send(
            "POST",
            f"{BASE}/ingest/events",
            [
                {
                    "type": "userinfo",
                    "user_id": user,
                    "tenant_id": tenant,
                    "env_id": 3,
                    "timestamp": at + number,
                    "referer": f"/{number}?q={user}",
                }
                for number, user in enumerate(others)
            ],
        )
        for user in victims:
            place = gone if user == victims[0] else tenant
            send("POST", f"{BASE}/ingest/events", visits(ids, at, place, user))
            bridge, api = of_the_platform(ids, at, place, user)
            send("POST", f"{BASE}/ingest/eventbridge", bridge)
            send("POST", f"{BASE}/ingest/apilog", {"api_logs": [api]})
            for _ in range(2):
                histories = [{"timestamp": at, "referer": f"/{ids('put')}?x={ids('put')}"}]
                day = {"timestamp": at, "user_id": user, "histories": histories}
                send("PUT", f"{BASE}/user-behavior-day", day)
            ask(user)
        send("POST", f"{BASE}/ingest/events", visits(ids, at - 100 * DAY, ids("old-tenant"), old))
        number = {"type": "daily", "date": "2026-05-01", "tenant_id": gone, "env_id": 1}
        send("PUT", f"{BASE}/active-users", number | {"active_users": 7})
        ask(gone, old, others[0])
        here = ("--database", path)
        assert run("links", "create", ids("link"), "--tenant", gone, *here).returncode == 0
        exported = run("export", *here)
        assert exported.returncode == 0
        events = {name for name in ids.made if name in exported.stdout}
        assert len(ids.made) - len(events) >= 2 * len(victims)  # those of events, and replaced

        for user in victims[1:]:
            assert run("erase-user", user, "--yes", *here).returncode == 0
        assert run("erase-tenant", gone, "--yes", *here).returncode == 0
        keep = [f"--keep-{data}" for data in ("histories", "page-statistics", "counts")]
        days = (word for option in keep for word in (option, "30"))
        pruned = run("prune", *days, "--yes", *here)
        assert pruned.returncode == 0, pruned.stderr
        ask(others[0])
        found = remains(ids.made, tmp_path)
        server.process.terminate()
        server.process.wait(timeout=30)
    assert len(ids.made) >= 200
    assert found == remains(ids.made, tmp_path) == []
    assert remains(["other-399"], tmp_path) == [("other-399", "a.db")]
    assert "behavior-histories" in log.read_text()


def remains(names: list[str], folder: Path) -> list[tuple[str, str]]:
    """Return which names are in which files, however they are written."""
    contents = {file.name: file.read_bytes().lower() for file in folder.iterdir()}
    with closing(sqlite3.connect(folder / "a.db")) as connection:
        tables = [
            name
            for (name,) in connection.execute("select name from sqlite_schema where type = 'table'")
        ]
        for table in tables:
            for row in connection.execute(f"select * from {table}"):
                for cell in row:
                    if isinstance(cell, bytes) and cell[:1] == b"x":
                        contents[f"{table} {len(contents)}"] = zlib.decompress(cell)
    return [
        (name, place)
        for name in names
        for form in forms(name)
        for place, content in contents.items()
        if form in content
    ]


def forms(name: str) -> Iterator[bytes]:
    yield name.encode()
    yield name.encode("utf-16-le")
    yield name.encode("utf-16-be")
    yield name.encode().hex().encode()
    yield "".join(f"%{byte:02x}" for byte in name.encode()).encode()
