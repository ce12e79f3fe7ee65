"""Killing a server while it is written to, and comparing what is there with what was answered.

`tests/test_kills.py` does it a few times, `python -m bench kills` many times.
"""

import json
import sqlite3
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from itertools import count, product
from operator import itemgetter
from pathlib import Path
from random import Random
from threading import Event, Lock
from time import sleep
from typing import Any, Self
from urllib.parse import urlsplit

from app.storage.event_ids import digest_of, read_ids

from ..conftest import run, serving
from .calls import BASE, NO_TENANT, utc

WRITERS = 4
DAY = 24 * 3600
DAYS = 6
FIRST = utc("2025-01-29T00:00:00")  # the days reach from one month into the next
ASKED = f"{BASE}/metrics/page-statistics?start_timestamp={FIRST}&end_timestamp={FIRST + DAYS * DAY}"

# What the database says, each query in the shape of a field of `Facts`.
ENTRIES = """
select user.name, behavior.timestamp, referer.url
from behavior
join user on user.id = behavior.user_id
join referer on referer.id = behavior.referer_id
order by behavior.timestamp, behavior.seq
"""
NUMBERS = """
select monthly, period, tenant.name, env_id, put
from active_users
join tenant on tenant.id = tenant_id
where put is not null
"""
COMPUTED = """
select monthly, period, tenant.name, env_id, computed
from active_users
join tenant on tenant.id = tenant_id
where computed > 0
"""
ACTIVE = """
select monthly, period, tenant.name, env_id, user.name
from active_user
join tenant on tenant.id = tenant_id
join user on user.id = user_id
"""
CALLS = """
select json_extract('["userinfo","create_tenant","create_saas_user","create_tenant_user"]',
                    '$[' || type || ']'),
       day, tenant.name, count
from call_count
join tenant on tenant.id = tenant_id
"""
USER_CALLS = """
select json_extract('["userinfo","create_tenant","create_saas_user","create_tenant_user"]',
                    '$[' || type || ']'),
       day, tenant.name, user.name, sum(count)
from (
  select type, day, tenant_id, user_id, count from user_call
  union all
  select 0, period, tenant_id, user_id, calls from active_user where calls > 0
)
join tenant on tenant.id = tenant_id
join user on user.id = user_id
group by type, day, tenant.name, user.name
"""
USERS = "select name from user"
TENANTS = "select name from tenant"
REFERERS = "select referer.url, page.url from referer join page on page.id = page_id"
PAGES = "select url from page"


@dataclass(frozen=True)
class Write:
    method: str
    path: str
    body: Any


@dataclass
class Facts:
    """All that a database holds, but for its summaries; each entry as text, no id of a row in it.

    `apply` is what the API promises of a write; `read` is what a file says.
    """

    entries: dict[tuple[str, int], list[tuple[int, str]]] = field(default_factory=dict)
    numbers: dict[tuple[int, int, str, int], int] = field(default_factory=dict)
    computed: Counter[tuple[int, int, str, int]] = field(default_factory=Counter)
    active: set[tuple[int, int, str, int, str]] = field(default_factory=set)
    calls: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    user_calls: Counter[tuple[str, int, str, str]] = field(default_factory=Counter)
    ids: set[bytes] = field(default_factory=set)
    users: set[str] = field(default_factory=set)
    tenants: set[str] = field(default_factory=set)
    referers: dict[str, str] = field(default_factory=dict)
    pages: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path) -> Self:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("begin")
            assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
            assert connection.execute("pragma foreign_key_check").fetchall() == []
            facts = cls(
                numbers=_by_key(connection, NUMBERS),
                computed=Counter(_by_key(connection, COMPUTED)),
                active=set(connection.execute(ACTIVE)),
                calls=Counter(_by_key(connection, CALLS)),
                user_calls=Counter(_by_key(connection, USER_CALLS)),
                ids={digest for digest, _ in read_ids(connection)},
                users={name for (name,) in connection.execute(USERS)},
                tenants={name for (name,) in connection.execute(TENANTS)},
                referers=dict(connection.execute(REFERERS)),
                pages={url for (url,) in connection.execute(PAGES)},
            )
            entries = defaultdict(list)
            for user, at, referer in connection.execute(ENTRIES):
                entries[user, at // DAY].append((at, referer))
            facts.entries = dict(entries)
        return facts

    def after(self, *writes: Write) -> "Facts":
        """Return what must be there after more writes."""
        entries = {key: list(day) for key, day in self.entries.items()}
        rest = {name: value.copy() for name, value in vars(self).items() if name != "entries"}
        facts = Facts(entries, **rest)
        for write in writes:
            facts.apply(write)
        return facts

    def apply(self, write: Write) -> int:
        """Take over a write; return how many events of it are new."""
        body = write.body
        if isinstance(body, list):
            return sum(map(self._event, body))
        if "histories" in body:
            self._put_day(**body)
        else:
            self._put_active_users(**body)
        return 0

    def _put_day(self, timestamp: int, user_id: str, histories: list[dict[str, Any]]) -> None:
        self.users.add(user_id)
        day = [(entry["timestamp"], entry["referer"]) for entry in histories]
        self.entries.pop((user_id, timestamp // DAY), None)
        if day:
            self.entries[user_id, timestamp // DAY] = day
        for _, referer in day:
            self._refer(referer)

    def _put_active_users(
        self, type: str, date: str, tenant_id: str, env_id: int, active_users: int
    ) -> None:
        self.tenants.add(tenant_id)
        monthly = type == "monthly"
        period = _month(utc(date + "-01")) if monthly else utc(date) // DAY
        self.numbers[monthly, period, tenant_id, env_id] = active_users

    def _event(self, event: dict[str, Any]) -> bool:
        if digest_of("client", event["id"]) in self.ids:
            return False
        self.ids.add(digest_of("client", event["id"]))
        at, tenant = event["timestamp"], event.get("tenant_id", NO_TENANT)
        self.tenants.add(tenant)
        self.calls[event["type"], at // DAY, tenant] += 1
        if user := event.get("user_id"):
            self.users.add(user)
            self.user_calls[event["type"], at // DAY, tenant, user] += 1
        if user and event["type"] == "userinfo":
            self._refer(event["referer"])
            day = self.entries.setdefault((user, at // DAY), [])
            insort(day, (at, event["referer"]), key=itemgetter(0))
            for period in ((0, at // DAY), (1, _month(at))):
                key = (*period, tenant, event["env_id"])
                if (*key, user) not in self.active:
                    self.active.add((*key, user))
                    self.computed[key] += 1
        return True

    def _refer(self, referer: str) -> None:
        page = referer.split("?")[0]
        self.referers[referer] = page
        self.pages.add(page)

    def page_statistics(self) -> dict[str, Any]:
        """Return what page statistics of all days must say."""
        views: Counter[str] = Counter()
        users = defaultdict(set)
        for (user, _), day in self.entries.items():
            for _, referer in day:
                page = self.referers[referer]
                views[page] += 1
                users[page].add(user)
        return {
            "start_date": FIRST,
            "end_date": FIRST + DAYS * DAY,
            "total_page_views": views.total(),
            "total_unique_users": len(set[str]().union(*users.values())),
            "page_statistics": [
                {"page_url": page, "total_views": number, "unique_users": len(users[page])}
                for page, number in sorted(views.items(), key=lambda item: (-item[1], item[0]))
            ],
        }


@dataclass
class Tally:
    """What a run of kills has shown."""

    kills: int = 0
    answered: int = 0
    events: int = 0
    cut_off: int = 0
    """Writes under way at a kill, so without an answer; of these, `kept` were whole in the file."""
    kept: int = 0
    sealed: int = 0
    """Page summaries that were there after a kill and were compared with the rows."""


class Killing:
    """A database that is written to by a server that is killed again and again."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.tally = Tally()
        self._random = Random(seed)
        self._facts = Facts()
        self._answering = Lock()
        self._enough, self._wanted = Event(), 0
        self._writes = [_writes(writer, Random(seed + writer)) for writer in range(WRITERS)]
        self._cut_off: list[Write] = []
        self._again: list[Write | None] = [None] * WRITERS

    def kill(self) -> None:
        """Start the server, write to it over several connections, kill it, and compare."""
        self._enough.clear()
        self._wanted = self.tally.answered + self._random.randrange(120)
        with (
            serving("--database", self.path, "--no-auth") as server,
            ThreadPoolExecutor(WRITERS + 1) as threads,
        ):
            try:
                asking = threads.submit(_ask_until_it_ends, server.url)
                writing = [
                    threads.submit(self._write_until_it_ends, server.url, writer)
                    for writer in range(WRITERS)
                ]
                self._enough.wait(timeout=60)
                sleep(self._random.uniform(0, 0.02))
            finally:
                server.process.kill()
            asking.result()
            # What was cut off is sent again after the next start, as a client would.
            self._again = [thread.result() for thread in writing]
        self.tally.kills += 1
        self._compare([write for write in self._again if write])

    def _write_until_it_ends(self, url: str, writer: int) -> Write | None:
        """Write until the server ends; return the write that was not answered."""
        again = self._again[writer]
        with _connected(url) as connection:
            while True:
                write = again or next(self._writes[writer])
                again = None
                try:
                    status, told = _send(connection, write.method, write.path, write.body)
                except (OSError, HTTPException):
                    return write
                assert status == 200, (status, told)
                self._answered(write, told)

    def _answered(self, write: Write, told: bytes) -> None:
        with self._answering:
            self.tally.answered += 1
            if self.tally.answered > self._wanted:
                self._enough.set()
            new = self._facts.apply(write)
            self.tally.events += new
        if isinstance(write.body, list):
            report = json.loads(told)
            assert (report["accepted"], report["duplicates"]) == (new, len(write.body) - new)

    def _compare(self, cut_off: list[Write]) -> None:
        """Compare the file with what was answered; each write that was cut off is whole or not."""
        with (
            serving("--database", self.path, "--no-auth") as server,
            _connected(server.url) as connection,
        ):
            there = Facts.read(self.path)
            for kept in product((True, False), repeat=len(cut_off)):
                whole = [write for write, is_kept in zip(cut_off, kept, strict=True) if is_kept]
                expected = self._facts.after(*whole)
                if there == expected:
                    break
            else:
                raise AssertionError(difference(there, self._facts))
            self._facts = expected
            self.tally.cut_off += len(cut_off)
            self.tally.kept += len(whole)
            for _ in range(2):  # from what summaries the kill has left, and with those that lacked
                self._check_summaries()
                status, told = _send(connection, "GET", ASKED)
                assert (status, json.loads(told)) == (200, expected.page_statistics())

    def _check_summaries(self) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            (sealed,) = connection.execute("select count(*) from page_summary").fetchone()
        checked = run("summaries", "check", "--database", self.path)
        assert (checked.returncode, checked.stdout) == (0, "all summaries are right\n")
        self.tally.sealed += sealed


def difference(there: Facts, expected: Facts) -> str:
    """Return in words how the facts of a file differ from those that were expected."""
    lines = []
    for name, found in vars(there).items():
        wanted = vars(expected)[name]
        if found != wanted:
            found = found.items() if isinstance(found, dict) else found
            wanted = wanted.items() if isinstance(wanted, dict) else wanted
            lacks = [item for item in wanted if item not in found]
            over = [item for item in found if item not in wanted]
            lines.append(f"{name}: lacks {lacks!r:.300}, has {over!r:.300}")
    return "\n".join(lines)


def _writes(writer: int, random: Random) -> Iterator[Write]:
    """Yield what one client writes.

    Users and the tenants of its numbers are its own, so that the order of clients does not matter;
    tenants, days and pages of its events are everybody's.
    """
    sent: list[dict[str, Any]] = []

    def moment() -> int:
        return FIRST + random.randrange(DAYS * DAY)

    def referer() -> str:
        return f"/page-{random.randrange(30)}?from={writer}-{serial}-{random.randrange(2)}"

    def event(number: int) -> dict[str, Any]:
        made = {"id": f"{writer}-{serial}-{number}", "timestamp": moment()}
        kind = random.choice(
            ("create_tenant", "create_saas_user", "create_tenant_user", "userinfo")
        )
        if kind == "create_saas_user":
            return made | {"type": kind, "user_id": "someone"}
        made |= {"type": kind, "tenant_id": f"tenant-{random.randrange(5)}"}
        if kind == "userinfo":
            user = f"seen-{writer}-{random.randrange(10 + serial // 10)}"
            made |= {"user_id": user, "env_id": random.randrange(3), "referer": referer()}
        elif kind == "create_tenant_user":
            made |= {"user_id": "someone"}
        return made

    for serial in count():
        kind = random.random()
        if kind < 0.4:
            at = moment()
            seconds = sorted(random.randrange(DAY) for _ in range(random.choice((0, 1, 40))))
            yield Write(
                "PUT",
                "/user-behavior-day",
                {
                    "timestamp": at,
                    "user_id": f"put-{writer}-{random.randrange(4)}",
                    "histories": [
                        {"timestamp": at // DAY * DAY + second, "referer": referer()}
                        for second in seconds
                    ],
                },
            )
        elif kind < 0.6:
            monthly = random.random() < 0.5
            date = datetime.fromtimestamp(moment(), UTC).date().isoformat()
            yield Write(
                "PUT",
                "/active-users",
                {
                    "type": "monthly" if monthly else "daily",
                    "date": date[:7] if monthly else date,
                    "tenant_id": f"numbers-{writer}",
                    "env_id": random.randrange(3),
                    "active_users": serial,
                },
            )
        else:
            events = [event(number) for number in range(random.choice((1, 10, 60)))]
            again = random.sample(sent, min(len(sent), random.choice((0, 0, 3))))
            sent += events
            yield Write("POST", "/ingest/events", events + again)


def _ask_until_it_ends(url: str) -> None:
    """Ask for page statistics, so that summaries are made while others write."""
    with _connected(url) as connection:
        while True:
            try:
                status, told = _send(connection, "GET", ASKED)
            except (OSError, HTTPException):
                return
            assert status == 200, (status, told)


def _connected(url: str) -> "closing[HTTPConnection]":
    return closing(HTTPConnection(urlsplit(url).netloc, timeout=60))


def _send(
    connection: HTTPConnection, method: str, path: str, body: Any = None
) -> tuple[int, bytes]:
    """Send a request; return status and body of its answer."""
    path = path if path.startswith(BASE) else BASE + path
    sent = None if body is None else json.dumps(body)
    connection.request(method, path, sent, {"Content-Type": "application/json"} if sent else {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def _by_key(connection: sqlite3.Connection, sql: str) -> dict[Any, int]:
    """Return the rows of a query, the last column by the others."""
    return {key: value for *columns, value in connection.execute(sql) for key in [tuple(columns)]}


def _month(timestamp: int) -> int:
    at = datetime.fromtimestamp(timestamp, UTC)
    return at.year * 12 + at.month - 1
