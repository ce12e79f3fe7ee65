"""Summaries of days and months: what they tell is what the rows tell, whatever is written."""

import json
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from app.analytics.active_user_counts import update_active_users
from app.analytics.events import Event, Place, Report
from app.analytics.histories import update_user_behavior_histories_by_day
from app.analytics.recording import record_events
from app.days import Calendar, format_day, month_of
from app.double.clock import ClockSetting, SettableClock
from app.double.memory_database import MemoryDatabase, blank
from app.exports.reading import import_export
from app.maintenance.backup import back_up
from app.maintenance.erasure import erase_tenant, erase_user
from app.maintenance.pruning import prune
from app.storage.database import Database
from app.storage.page_rule import PageRule
from app.summaries.invalidation import invalidate_all
from app.summaries.pages import sealing as page_sealing
from app.summaries.periods import reading
from app.summaries.periods import sealing as period_sealing
from app.summaries.periods.actions import has_action
from app.summaries.periods.active_users import USERS, ActiveKind

from ..conftest import NOW, SetClock, run
from ..storage.test_database import locked_by_another_process
from ..support.examples import examples
from .test_pages import edit, locked_by_another_thread

HOUR = 3600
DAY = 24 * HOUR
TODAY = NOW // DAY

ACTION = "/a?tab=1&action=save#top"
REFERERS = [ACTION, "/b?action=", "/c?transaction=1", "/d#?action=save", "/action=save", "/e"]
WITH_ACTION = REFERERS[:2]

Answer = dict[int, tuple[set[str], set[tuple[str, str]]]]
"""By period, users, and users with their tenants."""


@pytest.fixture(autouse=True)
def _seal_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(period_sealing, "PAYS", 1)


def visit(
    at: int,
    user: str = "ann",
    tenant: str = "acme",
    env_id: int | None = 3,
    referer: str = ACTION,
) -> Event:
    env_ids = () if env_id is None else (env_id,)
    return Event("userinfo", at, user, (Place(tenant, env_ids),), referer)


def feed(database: Database, *events: Event) -> None:
    record_events(database, list(events), Report())


def fill(database: Database, days: int) -> None:
    """Record who was active on some days before today, and today; some without an environment."""
    feed(
        database,
        *(visit((TODAY - back) * DAY, "u0", "t0", None, "") for back in range(days + 1)),
        *(
            visit((TODAY - back) * DAY + user, f"u{user}", f"t{user % 2}", 1 + user % 2)
            for back in range(days + 1)
            for user in range(back % 4 + 1)
        ),
    )


def active(
    database: Database,
    first: int = TODAY - 60,
    last: int = TODAY,
    *,
    monthly: bool = False,
    env_id: int | None = None,
    with_tenants: bool = False,
) -> Answer:
    """Return who was active, by names."""
    asked: Any = {"monthly": monthly, "first": first, "last": last, "env_id": env_id}
    found = reading.active_users(database, **asked)
    members = reading.active_members(database, **asked) if with_tenants else {}
    assert list(found) == sorted(found)
    assert list(members) == (list(found) if with_tenants else [])
    with database.reading() as connection:
        users = dict(connection.execute("select id, name from user"))
        tenants = dict(connection.execute("select id, name from tenant"))
    return {
        period: (
            {users[user] for user in who},
            {
                (tenants[member >> 32], users[member & 0xFFFFFFFF])
                for member in members.get(period, ())
            },
        )
        for period, who in found.items()
    }


def actions(database: Database, first: int = TODAY - 60, last: int = TODAY) -> Counter[str]:
    views = reading.action_views(database, first, last)
    with database.reading() as connection:
        urls = dict(connection.execute("select id, url from referer"))
    return Counter({urls[referer]: count for referer, count in views.items()})


def callers(database: Database, first: int = TODAY - 60, last: int = TODAY) -> set[tuple[str, str]]:
    found = reading.callers_without_environment(database, first, last)
    with database.reading() as connection:
        users = dict(connection.execute("select id, name from user"))
        tenants = dict(connection.execute("select id, name from tenant"))
    return {(tenants[caller >> 32], users[caller & 0xFFFFFFFF]) for caller in found}


def ask(database: Database) -> list[Any]:
    """Ask for everything, of which all that is over is sealed."""
    return [
        active(database, with_tenants=True),
        active(database, 0, month_of(TODAY), monthly=True, with_tenants=True),
        actions(database),
        callers(database),
    ]


def sealed(database: Database) -> set[tuple[str, bool, int]]:
    with database.reading() as connection:
        rows = connection.execute(period_sealing.SELECT_ALL).fetchall()
    return {(data, bool(monthly), period) for data, monthly, period in rows}


def wrong(database: Database) -> list[tuple[str, str, str]]:
    with database.reading() as connection:
        return list(period_sealing.check(connection, database.calendar, iter))


class Model:
    """What was written, in sets and lists, and what must be answered about it."""

    def __init__(self, calendar: Calendar) -> None:
        self.calendar = calendar
        self.entries: list[tuple[str, int, str]] = []
        self.active: set[tuple[bool, int, str, int, str]] = set()
        self.calls: set[tuple[int, str, str]] = set()
        self.since = {"histories": 0, "counts": 0}

    def fed(self, event: Event) -> None:
        day = self.calendar.day_of(event.timestamp)
        ((tenant, env_ids),) = event.places
        for env_id in env_ids:
            for monthly, period in ((False, day), (True, month_of(day))):
                self.active.add((monthly, period, tenant, env_id, event.user_id or ""))
        self.calls.add((day, tenant, event.user_id or ""))
        self.entries.append((event.user_id or "", event.timestamp, event.referer or ""))

    def put(self, user: str, day: int, histories: list[dict[str, Any]]) -> None:
        self.entries = [
            entry
            for entry in self.entries
            if entry[0] != user or self.calendar.day_of(entry[1]) != day
        ]
        self.entries += [(user, entry["timestamp"], entry["referer"]) for entry in histories]

    def erase_user(self, user: str) -> None:
        self.entries = [entry for entry in self.entries if entry[0] != user]
        self.active = {row for row in self.active if row[-1] != user}
        self.calls = {row for row in self.calls if row[-1] != user}

    def erase_tenant(self, tenant: str) -> None:
        places = {(row[2], row[-1]) for row in self.active} | {row[1:] for row in self.calls}
        for of, user in places:
            if of == tenant and not any(other != tenant for other, who in places if who == user):
                self.erase_user(user)
        self.active = {row for row in self.active if row[2] != tenant}
        self.calls = {row for row in self.calls if row[1] != tenant}

    def prune(self, data: str, since: int) -> None:
        if since <= self.since[data]:
            return
        self.since[data] = since
        day = self.calendar.day_of(since)
        first = {False: day, True: month_of(day)}
        self.active = {row for row in self.active if row[1] >= first[row[0]]}
        self.calls = {row for row in self.calls if row[0] >= day}
        if data == "histories":
            self.entries = [entry for entry in self.entries if entry[1] >= since]

    def active_in(
        self, first: int, last: int, monthly: bool, env_id: int | None, with_tenants: bool
    ) -> Answer:
        found: Answer = {}
        for of_month, period, tenant, env, user in self.active:
            if of_month == monthly and first <= period <= last and env_id in (None, env):
                users, members = found.setdefault(period, (set(), set()))
                users.add(user)
                if with_tenants:
                    members.add((tenant, user))
        return found

    def actions(self, first: int, last: int) -> Counter[str]:
        return Counter(
            referer
            for _, at, referer in self.entries
            if referer in WITH_ACTION and first <= self.calendar.day_of(at) <= last
        )

    def callers(self, first: int, last: int) -> set[tuple[str, str]]:
        active = {
            (day, tenant, user) for monthly, day, tenant, _, user in self.active if not monthly
        }
        return {row[1:] for row in self.calls - active if first <= row[0] <= last}


class Beside:
    """A database beside the model; each method writes to both, or compares."""

    def __init__(self, path: Path, zone: str) -> None:
        self.clock = SetClock()
        self.database = Database(path, time_zone=zone, clock=self.clock, synchronous="off")
        self.calendar = self.database.calendar
        self.model = Model(self.calendar)
        self.today = self.calendar.day_of(NOW)

    def second(self, back: int, part: float) -> int:
        """Return a second of a day: 0 is its first, 1 its last."""
        begin, end = (self.calendar.day_start(self.today - back + n) for n in (0, 1))
        return int(begin + part * (end - begin - 1))

    def is_kept(self, at: int, *data: str) -> bool:
        return all(at >= self.model.since[each] for each in data)

    def feed(self, given: list[tuple[int, float, str, str, int | None, str]]) -> None:
        events = [
            visit(self.second(back, part), user, tenant, env_id, referer)
            for back, part, user, tenant, env_id, referer in given
        ]
        events = [event for event in events if self.is_kept(event.timestamp, *self.model.since)]
        feed(self.database, *events)
        for event in events:
            self.model.fed(event)

    def put(self, back: int, user: str, entries: list[tuple[float, str]]) -> None:
        histories = [
            {"timestamp": self.second(back, part), "referer": referer} for part, referer in entries
        ]
        begin = self.second(back, 0)
        if self.is_kept(begin, "histories"):
            update_user_behavior_histories_by_day(
                self.database, timestamp=begin, user_id=user, histories=histories
            )
            self.model.put(user, self.today - back, histories)

    def put_number(self, back: int, number: int) -> None:
        if self.is_kept(self.second(back, 0), "counts"):
            update_active_users(
                self.database,
                type="daily",
                date=self.today - back,
                tenant_id="acme",
                env_id=1,
                active_users=number,
            )

    def import_active(self, back: int, monthly: bool, tenant: str, env_id: int, user: str) -> None:
        day = self.today - back
        period = month_of(day) if monthly else day
        self.read(
            kind="active-user",
            type="monthly" if monthly else "daily",
            date=format_day(day)[:7] if monthly else format_day(day),
            tenant_id=tenant,
            env_id=env_id,
            user_id=user,
        )
        since = self.calendar.day_of(max(self.model.since.values()))
        if period >= (month_of(since) if monthly else since):
            self.model.active.add((monthly, period, tenant, env_id, user))

    def import_history(self, back: int, part: float, user: str, referer: str) -> None:
        at = self.second(back, part)
        self.read(kind="history", timestamp=at, user_id=user, referer=referer)
        known = [entry for entry in self.model.entries if entry[:2] == (user, at)]
        if not known and self.is_kept(at, "histories"):
            self.model.entries.append((user, at, referer))

    def import_call(self, back: int, tenant: str, user: str) -> None:
        day = self.today - back
        self.read(
            kind="user-call",
            type="userinfo",
            date=format_day(day),
            tenant_id=tenant,
            user_id=user,
            count=1,
        )
        if day >= self.calendar.day_of(max(self.model.since.values())):
            self.model.calls.add((day, tenant, user))

    def read(self, **record: Any) -> None:
        head = {"kind": "export", "version": 1, "time_zone": self.calendar.zone}
        lines = "\n".join(map(json.dumps, (head, record)))
        list(import_export(self.database, BytesIO(lines.encode()), lambda _: None))

    def erase(self, user: str) -> None:
        erase_user(self.database, user)
        self.model.erase_user(user)

    def erase_tenant(self, tenant: str) -> None:
        erase_tenant(self.database, tenant)
        self.model.erase_tenant(tenant)

    def prune(self, data: str, back: int) -> None:
        since = self.second(back, 0)
        list(prune(self.database, {data: since}))
        self.model.prune(data, since)

    def move_clock(self, days: int) -> None:
        self.clock.timestamp += days * DAY

    def rebuild(self) -> None:
        with self.database.writing() as connection:
            invalidate_all(connection)
        period_sealing.seal_all(self.database, iter)

    def damage(self, sql: str) -> None:
        edit(self.database, sql)

    def ask_active(
        self, backs: tuple[int, int], monthly: bool, env_id: int | None, with_tenants: bool
    ) -> None:
        last, first = (self.today - back for back in sorted(backs))
        if monthly:
            first, last = month_of(first), month_of(last)
        found = active(
            self.database, first, last, monthly=monthly, env_id=env_id, with_tenants=with_tenants
        )
        assert found == self.model.active_in(first, last, monthly, env_id, with_tenants)

    def ask_actions(self, backs: tuple[int, int]) -> None:
        last, first = (self.today - back for back in sorted(backs))
        assert actions(self.database, first, last) == self.model.actions(first, last)

    def ask_callers(self, backs: tuple[int, int]) -> None:
        last, first = (self.today - back for back in sorted(backs))
        assert callers(self.database, first, last) == self.model.callers(first, last)


# Few of everything, so that writes meet; the days are of three months.
back = st.integers(-1, 24).map(lambda back: back * 2 if back > 4 else back)
part = st.sampled_from([0.0, 0.0, 0.01, 0.5, 0.99, 1.0])
user = st.sampled_from(["ann", "bob", "cleo"])
tenant = st.sampled_from(["acme", "umbrella"])
env = st.sampled_from([1, 3, 2**63 - 1])
referer = st.sampled_from(REFERERS)
DAMAGES = [
    "delete from period_summary where period % 2",
    "update period_summary set content = x'00' where data = 'users' and content is not null",
    "update period_summary set checksum = checksum + 1 where data <> 'users'",
    "update period_summary set period = period * 1000",
    "update period_summary set content = null, checksum = null where period % 3 = 0",
    "insert or ignore into period_summary (data, monthly, period, token) "
    "select 'users', monthly, period, 5 from active_user",
]
asks = [
    st.tuples(
        st.just("ask_active"),
        st.tuples(back, back),
        st.booleans(),
        st.none() | env,
        st.booleans(),
    ),
    st.tuples(st.just("ask_actions"), st.tuples(back, back)),
    st.tuples(st.just("ask_callers"), st.tuples(back, back)),
]
steps = st.one_of(
    *asks,
    *asks,
    st.tuples(
        st.just("feed"),
        st.lists(st.tuples(back, part, user, tenant, st.none() | env, referer), min_size=1),
    ),
    st.tuples(st.just("put"), back, user, st.lists(st.tuples(part, referer), max_size=3)),
    st.tuples(st.just("put_number"), back, st.integers(0, 9)),
    st.tuples(st.just("import_active"), back, st.booleans(), tenant, env, user),
    st.tuples(st.just("import_history"), back, part, user, referer),
    st.tuples(st.just("import_call"), back, tenant, user),
    st.tuples(st.just("erase"), user),
    st.tuples(st.just("erase_tenant"), tenant),
    st.tuples(st.just("prune"), st.sampled_from(["histories", "counts"]), st.integers(20, 48)),
    st.tuples(st.just("move_clock"), st.sampled_from([-1, 1, 40])),
    st.tuples(st.just("rebuild")),
    st.tuples(st.just("damage"), st.sampled_from(DAMAGES)),
)


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/Santiago", "Australia/Lord_Howe"])
@settings(max_examples=examples(60))
@given(
    pays=st.sampled_from([1, 1, 3]),
    filled=st.lists(st.tuples(back, part, user, tenant, env, referer), min_size=10, max_size=40),
    steps=st.lists(steps, min_size=4, max_size=20),
)
def test_every_answer_is_what_the_rows_tell(
    zone: str, pays: int, filled: list[Any], steps: list[Any]
) -> None:
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(period_sealing, "PAYS", pays)
        beside = Beside(Path(folder, "a.db"), zone)
        with closing(beside.database):
            beside.feed(filled)
            for name, *arguments in [*steps, ("ask_everything",)]:
                note(f"{name} {arguments}")
                if name == "ask_everything":
                    for monthly in (False, True):
                        beside.ask_active((-1, 50), monthly, None, True)
                    beside.ask_actions((-1, 50))
                    beside.ask_callers((-1, 50))
                else:
                    getattr(beside, name)(*arguments)
            assert all(reason == "damaged" for _, _, reason in wrong(beside.database))


DAILY = ("users", "members", "actions", "callers")
MONTHLY = ("users", "members")


def summaries_of(*days: int) -> set[tuple[str, bool, int]]:
    """Return all summaries of days, and of the months that they are in."""
    of_days = {(data, False, day) for data in DAILY for day in days}
    return of_days | {(data, True, month_of(day)) for data in MONTHLY for day in days}


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "Asia/Kolkata", "America/New_York"])
def test_what_is_over_is_sealed_and_today_is_not(tmp_path: Path, zone: str) -> None:
    clock = SetClock()
    with closing(Database(tmp_path / "a.db", time_zone=zone, clock=clock)) as database:
        start = database.calendar.day_start
        today = database.calendar.day_of(NOW)
        feed(database, *(visit(start(day)) for day in range(today - 40, today + 2)))
        for now in (start(today), start(today + 1) - 1, start(today + 1)):
            clock.timestamp = now
            ask(database)
            ended = database.calendar.day_of(now)
            days = {day for data, monthly, day in sealed(database) if not monthly}
            months = {month for data, monthly, month in sealed(database) if monthly}
            assert days == set(range(today - 40, ended))
            assert months == {month_of(today) - 1}


def test_only_what_is_asked_for_is_sealed(database: Database) -> None:
    fill(database, 5)
    active(database, TODAY - 3, TODAY - 2)
    assert sealed(database) == {("users", False, TODAY - 3), ("users", False, TODAY - 2)}
    active(database, TODAY - 3, TODAY - 3, with_tenants=True)
    actions(database, TODAY - 5, TODAY - 5)
    assert sealed(database) == {
        ("users", False, TODAY - 3),
        ("users", False, TODAY - 2),
        ("members", False, TODAY - 3),
        ("actions", False, TODAY - 5),
    }


def test_the_next_question_reads_summaries_only(database: Database) -> None:
    fill(database, 30)
    edit(database, f"delete from active_user where iif(monthly, 0, period) = {TODAY}")
    edit(database, f"delete from active_user where monthly and period = {month_of(TODAY)}")
    edit(database, f"delete from behavior where timestamp >= {TODAY * DAY}")
    edit(database, f"delete from user_call where day = {TODAY}")
    answer = ask(database)
    assert all(answer[:3])
    # Rows that vanish by hand, past the server, are not missed: nobody looks at them.
    edit(database, "delete from active_user")
    edit(database, "delete from behavior")
    edit(database, "delete from user_call")
    assert ask(database) == answer


def test_few_rows_are_not_sealed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(period_sealing, "PAYS", 3)
    day = TODAY - 40
    for user in ("ann", "bob"):
        feed(database, visit(day * DAY, user), visit(day * DAY, user, env_id=None, referer=""))
    before = ask(database)
    assert sealed(database) == set()
    feed(database, visit(day * DAY, "cleo"), visit(day * DAY, "cleo", env_id=None, referer=""))
    assert ask(database) != before
    assert sealed(database) == summaries_of(day)


def test_years_without_anything_are_passed_over(database: Database) -> None:
    fill(database, 40)
    feed(database, visit(0), visit(253_402_300_799))
    days = active(database, -(2**40), 2**40)
    assert (min(days), max(days), len(days)) == (0, 2_932_896, 43)
    assert actions(database, -(2**40), 2**40)[ACTION] == sum(back % 4 + 1 for back in range(41)) + 2
    assert actions(database, -(2**40), -(2**39)) == {}
    assert active(database, TODAY, TODAY - 1) == actions(database, TODAY, TODAY - 1) == {}


class TestWrites:
    """Each write drops the summaries that it makes wrong, and no others."""

    CHANGED = TODAY - 50

    @pytest.fixture(autouse=True)
    def filled(self, database: Database) -> None:
        fill(database, 60)
        ask(database)

    def dropped(self, database: Database, write: Callable[[], object]) -> set[Any]:
        before = sealed(database)
        write()
        dropped = before - sealed(database)
        ask(database)
        assert sealed(database) == before
        assert wrong(database) == []
        return dropped

    @pytest.mark.slow
    def test_an_event_drops_its_day_and_month(self, database: Database) -> None:
        event = visit(self.CHANGED * DAY, "new")
        assert self.dropped(database, lambda: feed(database, event)) == summaries_of(self.CHANGED)

    @pytest.mark.slow
    def test_an_event_of_who_is_known_drops_actions_only(self, database: Database) -> None:
        event = visit(self.CHANGED * DAY, "u0", "t0", 1)
        dropped = self.dropped(database, lambda: feed(database, event))
        assert dropped == {("actions", False, self.CHANGED)}

    @pytest.mark.slow
    def test_an_event_of_today_drops_nothing(self, database: Database) -> None:
        assert self.dropped(database, lambda: feed(database, visit(NOW, "new"))) == set()

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "histories", [[], [{"timestamp": (TODAY - 50) * DAY + 9, "referer": ACTION}]]
    )
    def test_a_day_of_histories_drops_its_actions(
        self, database: Database, histories: list[dict[str, Any]]
    ) -> None:
        dropped = self.dropped(
            database,
            lambda: update_user_behavior_histories_by_day(
                database, timestamp=self.CHANGED * DAY, user_id="u0", histories=histories
            ),
        )
        assert dropped == {("actions", False, self.CHANGED)}

    @pytest.mark.slow
    def test_a_number_drops_nothing(self, database: Database) -> None:
        dropped = self.dropped(
            database,
            lambda: update_active_users(
                database, type="daily", date=self.CHANGED, tenant_id="t0", env_id=1, active_users=5
            ),
        )
        assert dropped == set()

    @pytest.mark.slow
    def test_erasing_drops_where_the_user_was(self, database: Database) -> None:
        days = [day for day in range(TODAY - 60, TODAY) if (TODAY - day) % 4 == 3]
        before = sealed(database)
        erase_user(database, "u3")
        assert before - sealed(database) == before & summaries_of(*days)
        ask(database)
        assert sealed(database) == before
        assert wrong(database) == []

    @pytest.mark.slow
    def test_pruning_drops_what_is_pruned(self, database: Database) -> None:
        before = sealed(database)
        list(prune(database, {"histories": (TODAY - 30) * DAY}))
        kept = {row for row in before if row[2] >= (month_of(TODAY - 30) if row[1] else TODAY - 30)}
        assert sealed(database) == kept
        answer = ask(database)
        assert (min(answer[0]), min(answer[1])) == (TODAY - 30, month_of(TODAY - 30))
        assert sealed(database) == kept

    @pytest.mark.slow
    def test_a_new_rule_for_pages_changes_no_action(self, database: Database) -> None:
        answer = ask(database)
        page_sealing.rebuild(database, PageRule(keep_query=True), iter)
        assert ask(database) == answer
        assert wrong(database) == []


def test_nothing_of_who_was_erased_is_left_in_the_file(database: Database) -> None:
    fill(database, 9)
    ask(database)
    with database.reading() as connection:
        day = f"select content from period_summary where data = 'members' and period = {TODAY - 3}"
        ((content,),) = connection.execute(day)
    assert database.empty_wal()
    assert content in database.path.read_bytes()
    erase_user(database, "u3")
    assert database.empty_wal()
    assert content not in database.path.read_bytes()


def while_sealing(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen once, when a period was read and is not stored yet."""
    happened: list[bool] = []
    make = ActiveKind.make

    def make_late(*arguments: Any) -> bytes:
        content = make(*arguments)
        if not happened:
            happened.append(True)
            thread = threading.Thread(target=act)
            thread.start()
            thread.join()
        return content

    monkeypatch.setattr(ActiveKind, "make", make_late)


@pytest.mark.slow
@pytest.mark.parametrize(
    "write",
    [
        lambda database: feed(database, visit((TODAY - 2) * DAY, "late")),
        lambda database: erase_user(database, "u0"),
        lambda database: list(prune(database, {"histories": (TODAY - 1) * DAY})),
    ],
)
def test_a_write_while_its_day_is_sealed_is_not_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch, write: Callable[[Database], object]
) -> None:
    fill(database, 2)
    while_sealing(monkeypatch, lambda: write(database))
    active(database)
    assert ("users", False, TODAY - 2) not in sealed(database)
    assert wrong(database) == []


@pytest.mark.slow
def test_a_question_while_others_seal_is_answered_from_the_rows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, 40)
    answers: list[Any] = []
    while_sealing(monkeypatch, lambda: answers.append((ask(database), sealed(database))))
    assert answers == [(ask(database), set())]


@pytest.mark.slow
def test_two_processes_that_seal_at_once_do_no_harm(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, 40)
    with closing(Database(database.path, clock=SetClock(), synchronous="off")) as other:

        def write_and_seal() -> None:
            feed(other, visit((TODAY - 40) * DAY, "late"))
            ask(other)

        while_sealing(monkeypatch, write_and_seal)
        ask(database)
    users, _ = active(database)[TODAY - 40]
    assert "late" in users
    assert wrong(database) == []


@pytest.mark.slow
@pytest.mark.parametrize("by", ["process", "thread"])
def test_a_database_that_cannot_be_written_to_still_answers(tmp_path: Path, by: str) -> None:
    with closing(Database(tmp_path / "a.db", clock=SetClock(), busy_seconds=600)) as database:
        fill(database, 40)
        with (
            locked_by_another_process(database.path)
            if by == "process"
            else locked_by_another_thread(database)
        ):
            answer = ask(database)
            assert sealed(database) == set()
        assert ask(database) == answer
        assert sealed(database)


@pytest.mark.slow
def test_questions_beside_a_writer_miss_nothing_that_was_stored(database: Database) -> None:
    day, most = TODAY - 3, 200
    stored = [0]

    def write() -> None:
        for number in range(most):
            feed(database, visit(day * DAY + number, f"u{number}"))
            stored[0] = number + 1

    def ask_on() -> None:
        before = 0
        while before < most:
            before = stored[0]
            asked: Any = {"monthly": False, "first": day, "last": day}
            users = reading.active_users(database, **asked).get(day, ())
            members = reading.active_members(database, **asked).get(day, ())
            views = reading.action_views(database, day, day).total()
            after = stored[0] + 1
            assert before <= len(users) <= len(members) <= views <= after

    with ThreadPoolExecutor() as threads:
        for task in [threads.submit(act) for act in (ask_on, ask_on, write)]:
            task.result()
    assert wrong(database) == []


@pytest.mark.slow
def test_a_copy_that_takes_the_place_of_the_database_has_its_own(
    tmp_path: Path, database: Database
) -> None:
    fill(database, 40)
    answer = ask(database)
    back_up(database.path, tmp_path / "copy.db", lambda *_: None)
    feed(database, visit((TODAY - 9) * DAY, "late"))
    assert ask(database) != answer
    (tmp_path / "copy.db").replace(database.path)
    assert ask(database) == answer
    assert wrong(database) == []


@pytest.mark.slow
def test_a_double_goes_back_to_what_it_was() -> None:
    clock = SettableClock()
    clock.setting = ClockSetting(NOW)
    database = MemoryDatabase(blank("UTC", "off", "off"), clock)
    with closing(database):
        fill(database, 40)
        image = database.capture()
        answer = ask(database)
        assert sealed(database)
        feed(database, visit((TODAY - 9) * DAY, "late"))
        sealed_image, later = database.capture(), ask(database)
        assert later != answer
        for put_back, expected in ((image, answer), (sealed_image, later), (image, answer)):
            database.restore(put_back)
            assert ask(database) == expected
            assert wrong(database) == []


@pytest.mark.slow
@pytest.mark.parametrize("sql", DAMAGES)
def test_summaries_that_were_changed_by_hand_change_no_answer(database: Database, sql: str) -> None:
    fill(database, 60)
    answer = ask(database)
    edit(database, sql)
    assert ask(database) == answer
    feed(database, visit((TODAY - 40) * DAY, "late"))
    assert ask(database) != answer
    assert all(reason == "damaged" for _, _, reason in wrong(database))


def test_one_that_was_begun_and_left_is_made_by_the_next_question(database: Database) -> None:
    fill(database, 1)
    begun = {"data": "users", "monthly": False, "period": TODAY - 1, "token": 5}
    with database.writing() as connection:
        connection.execute(period_sealing.BEGIN, begun)
    assert (sealed(database), wrong(database)) == (set(), [])
    ask(database)
    assert ("users", False, TODAY - 1) in sealed(database)


class TestCommands:
    @pytest.fixture(autouse=True)
    def filled(self, database: Database) -> None:
        for env_id in (3, None):
            visits = (
                visit((TODAY - 40) * DAY + user, f"u{user}", env_id=env_id) for user in range(1000)
            )
            feed(database, *visits)
        ask(database)

    def command(self, database: Database, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(*arguments, "--database", database.path)

    def spoil(self, database: Database) -> None:
        edit(database, "update period_summary set content = x'' where monthly and data = 'users'")
        with database.writing() as connection:
            kind = USERS[False]
            content = kind.make(connection, database.calendar, 0)
            key = {"data": "users", "monthly": False, "period": TODAY - 40, "token": 5}
            made = {"content": content, "checksum": kind.checksum(TODAY - 40, content)}
            connection.execute(period_sealing.BEGIN, key)
            connection.execute(period_sealing.END, key | made)

    @pytest.mark.slow
    def test_what_is_wrong_is_told_and_mended(self, database: Database) -> None:
        assert self.command(database, "summaries", "check").stdout == "all summaries are right\n"
        self.spoil(database)
        checked = self.command(database, "summaries", "check")
        lines = ["2026-04-09, users: differs", "2026-04, users: damaged"]
        assert (checked.returncode, checked.stdout.splitlines()) == (1, lines)
        assert "2 summaries are wrong" in checked.stderr
        told = json.loads(self.command(database, "summaries", "check", "--json").stdout)
        assert told["wrong_periods"] == [
            {"data": "users", "date": "2026-04-09", "reason": "differs"},
            {"data": "users", "date": "2026-04", "reason": "damaged"},
        ]
        (wrong,) = json.loads(self.command(database, "check", "--json").stdout)["wrong"]
        assert (wrong["check"], wrong["examples"]) == ("period summaries", lines)
        assert self.command(database, "summaries", "rebuild").returncode == 0
        assert self.command(database, "check").returncode == 0

    @pytest.mark.slow
    def test_drop_leaves_none_and_rebuild_makes_all(self, database: Database) -> None:
        answer, all_ = ask(database), sealed(database)
        assert all_ == summaries_of(TODAY - 40)
        assert self.command(database, "summaries", "drop").returncode == 0
        assert sealed(database) == set()
        assert self.command(database, "summaries", "rebuild").returncode == 0
        assert sealed(database) == all_
        assert ask(database) == answer


@pytest.mark.parametrize(
    ("referer", "has"),
    [
        ("/a?action=x", True),
        ("/a?action", False),
        ("/a?b=1&action=", True),
        ("/a?b?action=1", False),
        ("/a?reaction=1", False),
        ("/a&action=1", False),
        ("/a#b?action=1", False),
        ("/a?b#c&action=1", False),
        ("https://acme.example/a?action=1#b", True),
    ],
)
def test_an_action_is_a_parameter_of_the_query(referer: str, has: bool) -> None:
    assert has_action(referer) == has
