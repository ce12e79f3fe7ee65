"""Whose calls are counted: in one row each, of two tables, whatever environments they name."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from app.analytics.events import Event, Place, Report
from app.analytics.recording import record_events
from app.exports.reading import import_export
from app.exports.tables import TABLES
from app.maintenance.deletion import delete
from app.maintenance.erasure import erase_tenant, erase_user
from app.maintenance.integrity import CHECKS, find_wrong
from app.storage.database import Database
from app.storage.dictionary import NO_TENANT
from app.storage.event_ids import read_ids

from ..conftest import NOW, SetClock
from ..maintenance.test_erasing import answers, assert_right
from ..support import older_databases as older
from ..support.examples import examples
from ..support.export_files import exported, imported

DAY = 24 * 3600
TODAY = NOW // DAY

SELECT_CALLS = """
select type, day, tenant.name, count
from call_count
join tenant on tenant.id = tenant_id
"""

SELECT_USER_CALLS = """
select type, day, tenant.name, user.name, null, count
from user_call
join tenant on tenant.id = tenant_id
join user on user.id = user_id
union all
select 0, period, tenant.name, user.name, env_id, calls
from active_user
join tenant on tenant.id = tenant_id
join user on user.id = user_id
where calls > 0
"""


def event(*fields: Any) -> Event:
    """Return an event of the first fields; Hypothesis would make up those with a default too."""
    return Event(*fields)


users = st.sampled_from(["ann", "bob", "cleo"])
days = st.sampled_from([TODAY - 35, TODAY - 20, TODAY - 19, TODAY - 1])
names = st.sampled_from(["acme", "umbrella", NO_TENANT])
environments = st.lists(st.integers(0, 3), max_size=3, unique=True).map(tuple)
places = st.lists(st.builds(Place, names, environments), min_size=1, max_size=2).filter(
    lambda found: len({place.tenant_id for place in found}) == len(found)
)
times = st.builds(lambda day, second: day * DAY + second, days, st.sampled_from([0, 5, 14400]))
events = st.one_of(
    st.builds(
        event,
        st.just("userinfo"),
        times,
        users,
        places.map(tuple),
        st.sampled_from(["/", "/a", "/b", None]),
    ),
    st.builds(
        event,
        st.sampled_from(["create_saas_user", "create_tenant_user"]),
        times,
        users,
        names.map(lambda name: (Place(name),)),
    ),
)
batches = st.lists(st.lists(events, max_size=8), max_size=4)
property_test = settings(max_examples=examples(60), phases=[Phase.generate, Phase.shrink])
NUMBERS = {"userinfo": 0, "create_saas_user": 2, "create_tenant_user": 3}


@contextmanager
def databases() -> Iterator[Callable[[], Database]]:
    """Give what opens new databases, which are closed at the end."""
    with TemporaryDirectory() as folder:
        numbers, opened = count(), []

        def open_() -> Database:
            path = Path(folder, f"{next(numbers)}.db")
            opened.append(Database(path, clock=SetClock(), synchronous="off"))
            return opened[-1]

        try:
            yield open_
        finally:
            for database in opened:
                database.close()


def feed(database: Database, fed: list[list[Event]]) -> None:
    for batch in fed:
        record_events(database, batch, Report())


def stored(database: Database, sql: str) -> Counter[Any]:
    with database.reading() as connection:
        rows = connection.execute(sql).fetchall()
    keys = [key for *key, _ in rows]
    assert len(keys) == len({str(key) for key in keys})
    return Counter({tuple(key): number for *key, number in rows})


def expected(fed: list[list[Event]]) -> Counter[Any]:
    """Return how many calls must be counted where, each in the lowest of its environments."""
    return Counter(
        (
            NUMBERS[event.type],
            event.timestamp // DAY,
            place.tenant_id,
            event.user_id,
            min(place.env_ids, default=None),
        )
        for batch in fed
        for event in batch
        for place in event.places
    )


def assert_counted(database: Database, calls: Counter[Any]) -> None:
    """Check that the calls of all, and those of each user, are these."""
    assert stored(database, SELECT_USER_CALLS) == calls
    of_all: Counter[Any] = Counter()
    for (type_, day, tenant, *_), number in calls.items():
        of_all[type_, day, tenant] += number
    assert stored(database, SELECT_CALLS) == of_all
    assert_right(database)


@pytest.mark.slow
@property_test
@given(fed=batches)
def test_each_call_is_counted_once(fed: list[list[Event]]) -> None:
    with databases() as open_:
        database, one_by_one = open_(), open_()
        feed(database, fed)
        feed(one_by_one, [[event] for batch in fed for event in batch])
        assert_counted(database, expected(fed))
        assert_counted(one_by_one, expected(fed))
        assert exported(database) == exported(one_by_one)


@pytest.mark.slow
@property_test
@given(fed=batches, first=days, length=st.integers(0, 30))
def test_what_is_deleted_is_taken_from_all_counts(
    fed: list[list[Event]], first: int, length: int
) -> None:
    calls = expected(fed)
    with databases() as open_:
        database, of_days, of_tenant = open_(), open_(), open_()
        for each in (database, of_days, of_tenant):
            feed(each, fed)

        delete(of_days, user_id="bob", tenant_id="acme", date_from=first, date_to=first + length)
        for key in list(calls):
            if key[2:4] == ("acme", "bob") and first <= key[1] <= first + length:
                del calls[key]
        assert_counted(of_days, calls)
        delete(of_days, date_from=first, date_to=first + length)
        left = {key: calls[key] for key in calls if not first <= key[1] <= first + length}
        assert_counted(of_days, Counter(left))

        calls = expected(fed)
        erased = erase_user(database, "ann")
        of_ann = {key: number for key, number in calls.items() if key[3] == "ann"}
        assert (erased.calls if erased else 0) == sum(of_ann.values())
        assert erased is None or erased.unknown_days == 0
        assert_counted(database, calls - Counter(of_ann))

        delete(of_tenant, tenant_id="umbrella")
        left = {key: number for key, number in calls.items() if key[2] != "umbrella"}
        assert_counted(of_tenant, Counter(left))
        erase_tenant(of_tenant, "acme")
        assert all(key[2] != "acme" for key in stored(of_tenant, SELECT_CALLS))
        assert_right(of_tenant)


@pytest.mark.slow
@property_test
@given(fed=batches)
def test_an_export_makes_a_database_of_the_same_calls(fed: list[list[Event]]) -> None:
    with databases() as open_:
        database, copy, backwards = open_(), open_(), open_()
        feed(database, fed)
        whole = exported(database)
        assert not imported(copy, whole).refused
        assert not imported(copy, whole).accepted
        # As in exports of older versions, calls come before the users who were active.
        for table in reversed(TABLES):
            assert not imported(backwards, exported(database, table)).refused
        assert not imported(backwards, whole).accepted
        for each in (copy, backwards):
            assert exported(each) == whole
            assert answers(each) == answers(database)
            assert_right(each)
        erased = {str(erase_user(each, "ann")) for each in (database, copy, backwards)}
        assert len(erased) == 1
        assert exported(database) == exported(copy) == exported(backwards)


def test_imported_calls_are_counted_with_the_active_user() -> None:
    call = Event("userinfo", NOW, "ann", (Place("acme", (7, 2)), Place("umbrella")))
    with databases() as open_:
        database, copy = open_(), open_()
        feed(database, [[call, call]])
        imported(copy, exported(database))
        rows = {(0, TODAY, "acme", "ann", 2): 2, (0, TODAY, "umbrella", "ann", None): 2}
        assert stored(copy, SELECT_USER_CALLS) == stored(database, SELECT_USER_CALLS) == rows


def test_another_number_of_calls_is_refused() -> None:
    call = Event("userinfo", NOW, "ann", (Place("acme", (7,)),))
    without = Event("userinfo", NOW, "ann", (Place("acme"),))
    with databases() as open_:
        database = open_()
        feed(database, [[call, without]])
        content = exported(database, "user-calls")
        assert b'"count":2' in content
        wrong = content.replace(b'"count":2', b'"count":1')
        (report,) = import_export(database, BytesIO(wrong), lambda _: None)
        (refusal,) = report.refused
        assert refusal["message"] == "a different value is already stored"
        assert exported(database, "user-calls") == content


def test_more_calls_of_active_users_than_were_counted_are_found() -> None:
    call = Event("userinfo", NOW, "ann", (Place("acme", (7,)),))
    with databases() as open_:
        database = open_()
        feed(database, [[call, call._replace(places=(Place("acme"),))]])
        assert_right(database)
        with database.writing() as connection:
            connection.execute("update active_user set calls = 2 where not monthly")
        with database.reading() as connection:
            connection.rollback()
            (wrong,) = find_wrong(connection, CHECKS, [])
    assert wrong.examples == ["userinfo on 2026-05-19, tenant 'acme': 3 by users, 2 in total"]


@pytest.mark.slow
@property_test
@given(fed=batches)
def test_a_database_of_version_7_becomes_one_of_the_same_answers(fed: list[list[Event]]) -> None:
    with databases() as open_:
        database = open_()
        feed(database, fed)
        told, whole = answers(database), exported(database)
        with database.reading() as connection:
            ids = list(read_ids(connection))
        database.close()
        with closing(sqlite3.connect(database.path)) as connection, connection:
            connection.executescript(older.VERSION_7)
            connection.executemany("insert into event_id values (?, ?)", ids)
        with closing(Database(database.path, clock=SetClock(), migrate=True)) as migrated:
            assert answers(migrated) == told
            assert exported(migrated) == whole
            assert_right(migrated)
            other = open_()
            feed(other, fed)
            assert erase_user(migrated, "ann") == erase_user(other, "ann")
            assert exported(migrated) == exported(other)
