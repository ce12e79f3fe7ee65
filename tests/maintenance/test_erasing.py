"""Erasing: answers are those of a server that was never told of the user or tenant."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.analytics import active_user_counts, calls, page_statistics
from app.analytics.event_reader import event_reader
from app.analytics.events import CREATIONS, Report, read_records
from app.analytics.histories import (
    append_behaviors,
    get_user_behavior_histories,
    update_user_behavior_histories_by_day,
)
from app.analytics.recording import record_events
from app.days import FIRST_DAY, LAST_DAY
from app.maintenance.erasure import erase_tenant, erase_user
from app.maintenance.integrity import CHECKS, find_wrong
from app.maintenance.pruning import prune
from app.maintenance.unused_names import delete_unused, find_unused
from app.storage.database import Database
from app.storage.dictionary import NO_TENANT, Dictionary
from app.summaries.pages import sealing

from ..conftest import NOW, SetClock, run
from ..summaries.test_pages import during_sealing
from ..support.examples import examples

HOUR = 3600
DAY = 24 * HOUR
TODAY = NOW // DAY * DAY
NAMES = (
    "select name from user order by name",
    "select name from tenant order by name",
    "select url from referer order by url",
    "select url from page order by url",
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(tmp_path / "a.db", clock=SetClock(), synchronous="off")) as opened:
        yield opened


def feed(database: Database, *events: dict[str, Any]) -> None:
    report = Report()
    record_events(database, read_records(events, event_reader(database.clock.now), report), report)
    assert not report.refused


def view(user: str, at: int = NOW, page: str = "/", tenant: str = "t", **more: Any) -> Any:
    event = {"type": "userinfo", "user_id": user, "timestamp": at, "referer": page}
    return event | {"tenant_id": tenant, "env_id": 3} | more


def answers(database: Database) -> list[Any]:
    """Return what a server answers about everything, and the names that it knows."""
    days: Any = {"start_date": FIRST_DAY, "end_date": LAST_DAY}
    told: list[Any] = [
        *(get_user_behavior_histories(database, name) for name in ("ann", "bob", "cleo")),
        active_user_counts.get_active_users(database, type="daily", date_from=FIRST_DAY),
        active_user_counts.get_active_users(database, type="monthly", date_from=0),
        *(
            calls.get_aggregated_metrics(database, metrics_type=type_, **days)
            for type_ in CREATIONS
        ),
        calls.get_aggregated_user_info(database, **days),
        *(
            page_statistics.get_page_statistics(database, start_timestamp=start, end_timestamp=end)
            for start, end in ((0, 2**35), (TODAY - 30 * DAY, TODAY - 1), (TODAY - DAY + 7, NOW))
        ),
    ]
    with database.reading() as connection:
        return told + [connection.execute(names).fetchall() for names in NAMES]


def assert_right(database: Database) -> None:
    with database.reading() as connection:
        connection.rollback()
        assert list(find_wrong(connection, CHECKS, [])) == []


people = st.sampled_from(["ann", "bob", "cleo"])
tenants = st.sampled_from(["acme", "umbrella", NO_TENANT])
times = st.builds(
    lambda day, hour, second: TODAY - day * DAY + hour * HOUR + second,
    st.integers(0, 40),
    st.integers(0, 1),
    st.sampled_from([0, 1, 3599]),
)
events = st.one_of(
    st.builds(
        view,
        people,
        times,
        st.sampled_from(["/", "/a?ann", "/b", ""]),
        st.sampled_from(["acme", "umbrella", NO_TENANT]),
        env_id=st.integers(1, 2),
    ),
    st.fixed_dictionaries(
        {"type": st.just("create_tenant"), "tenant_id": tenants, "timestamp": times}
    ),
    st.fixed_dictionaries(
        {"type": st.just("create_saas_user"), "user_id": people, "timestamp": times}
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("create_tenant_user"),
            "user_id": people,
            "tenant_id": tenants,
            "timestamp": times,
        }
    ),
)
puts = st.tuples(people, times, st.sampled_from(["/put", "/a"]))
property_test = settings(max_examples=examples(80))


def make(folder: str, fed: list[Any], put: list[Any], asked: bool) -> Database:
    """Return a database that was fed, with the numbers of the first entries put again as days."""
    path = Path(folder, f"{len(list(Path(folder).iterdir()))}.db")
    database = Database(path, clock=SetClock(), synchronous="off")
    feed(database, *fed)
    if asked:
        answers(database)
    for user, at, page in put:
        history = [{"timestamp": at, "referer": page}]
        update_user_behavior_histories_by_day(
            database, timestamp=at, user_id=user, histories=history
        )
    # An erasure also deletes the names of entries that were replaced before.
    with database.reading() as connection:
        unused = find_unused(connection)
    with database.erasing() as connection:
        delete_unused(connection, unused)
    return database


@pytest.mark.slow
@pytest.mark.parametrize("asked", [False, True])
@property_test
@given(fed=st.lists(events, max_size=25), put=st.lists(puts, max_size=3))
def test_a_user_was_never_there(asked: bool, fed: list[Any], put: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(sealing, "PAYS", 1)
        never = [event for event in fed if event.get("user_id") != "ann"]
        with (
            closing(make(folder, fed, put, asked)) as database,
            closing(make(folder, never, [one for one in put if one[0] != "ann"], asked)) as other,
        ):
            if asked:
                answers(database)
            before = answers(database)
            dry = erase_user(database, "ann", dry_run=True)
            assert answers(database) == before
            assert erase_user(database, "ann") == dry
            assert (dry is None) == (before == answers(other))
            assert answers(database) == answers(other)
            assert_right(database)
            assert erase_user(database, "ann") is None


@pytest.mark.slow
@property_test
@given(fed=st.lists(events, max_size=25))
def test_a_tenant_and_who_was_only_in_it_were_never_there(fed: list[Any]) -> None:
    """Users of other tenants keep their histories, which do not tell tenants."""
    places: dict[str, set[str]] = {}
    for event in fed:
        if "user_id" in event and event.get("tenant_id", NO_TENANT) != NO_TENANT:
            places.setdefault(event["user_id"], set()).add(event["tenant_id"])
    alone = {user for user, of in places.items() if of == {"acme"}}
    never = []
    for event in fed:
        if event.get("user_id") in alone:
            continue
        if event.get("tenant_id") == "acme":
            if event.get("referer"):
                never.append(("entry", event))
            continue
        never.append(("event", event))
    with (
        TemporaryDirectory() as folder,
        closing(make(folder, fed, [], asked=True)) as database,
        closing(make(folder, [], [], asked=True)) as other,
    ):
        erase_tenant(database, "acme")
        for kind, event in never:
            if kind == "event":
                feed(other, event)
                continue
            with other.writing() as connection:
                names = Dictionary(connection)
                user, page = event["user_id"], event["referer"]
                entry = event["timestamp"], names.users([user])[user], names.referers([page])[page]
                append_behaviors(connection, database.calendar, [entry])
        assert answers(database) == answers(other)
        assert_right(database)


def test_counts_say_how_much_it_was(database: Database) -> None:
    feed(
        database,
        view("ann"),
        view("ann", env_id=1),
        view("ann", page=""),
        view("ann", tenant="u"),
        view("bob"),
        {"type": "create_saas_user", "user_id": "ann"},
    )
    erased = erase_user(database, "ann")
    assert erased is not None
    assert (erased.users, erased.histories, erased.calls, erased.unknown_days) == (1, 3, 5, 0)
    erased = erase_tenant(database, "t")
    assert erased is not None
    assert (erased.users, erased.histories, erased.calls, erased.shared_users) == (1, 1, 1, 0)
    with database.reading() as connection:
        left = [connection.execute(f"select count(*) from {table}").fetchone() for table in TABLES]
        audit = connection.execute("select action, details from audit").fetchall()
    assert left == [(0,)] * len(TABLES)
    assert [action for action, _ in audit] == ["erase-user", "erase-tenant"]
    assert not any(name in str(audit) for name in ("ann", "bob"))


TABLES = ("behavior", "call_count", "user_call", "active_user", "active_users", "user", "page")


def test_users_of_other_tenants_stay(database: Database) -> None:
    feed(database, view("ann"), view("ann", tenant="u"), view("bob"))
    erased = erase_tenant(database, "t")
    assert erased is not None
    assert (erased.users, erased.shared_users) == (1, 1)
    histories = get_user_behavior_histories(database, "ann")["histories"]
    assert len(histories[0]["histories"]) == 2


def test_numbers_that_were_put_stay(database: Database) -> None:
    feed(database, view("ann"))
    day = NOW // DAY
    active_user_counts.update_active_users(
        database, type="daily", date=day, tenant_id="t", env_id=3, active_users=7
    )
    erase_user(database, "ann")
    told = active_user_counts.get_active_users(database, type="daily", date_from=day)
    assert '"active_users":7' in told
    assert (
        active_user_counts.get_active_users(database, type="monthly", date_from=0) == '{"data":[]}'
    )


def test_a_second_delivery_does_not_bring_a_user_back(database: Database) -> None:
    feed(database, view("ann", id="1"))
    erase_user(database, "ann")
    feed(database, view("ann", id="1"))
    assert erase_user(database, "ann") is None


def test_calls_of_an_older_version_are_told_to_stay(database: Database) -> None:
    feed(database, view("ann"), view("ann", NOW - DAY), view("ann", tenant="u"))
    with database.writing() as connection:
        connection.execute("update active_user set calls = 0 where period < ?", (NOW // DAY,))
    erased = erase_user(database, "ann")
    assert erased is not None
    assert (erased.calls, erased.unknown_days) == (2, 1)
    told = calls.get_aggregated_user_info(database, start_date=0, end_date=LAST_DAY)["metrics"]
    assert [metric["details"] for metric in told] == [{"t": 1}]
    assert_right(database)


@pytest.mark.parametrize("pays", [1, 256])
def test_in_pruned_time_nobody_is_the_user(
    database: Database, monkeypatch: pytest.MonkeyPatch, pays: int
) -> None:
    monkeypatch.setattr(sealing, "PAYS", pays)
    old = TODAY - 50 * DAY
    feed(
        database,
        *(view("ann", old + hour * HOUR, "/alone") for hour in range(5)),
        *(view(user, old + hour * HOUR, "/both") for user in ("ann", "bob") for hour in range(3)),
        view("ann", old + 9 * HOUR, "/both"),
        view("ann"),
        view("bob"),
    )
    answers(database)
    for _ in prune(database, {"histories": TODAY - 10 * DAY}):
        pass
    erase_user(database, "ann")
    for start, end in ((0, 2**35), (old, old + DAY - 1), (old, old + 2 * HOUR)):
        told = page_statistics.get_page_statistics(
            database, start_timestamp=start, end_timestamp=end
        )
        assert told["total_unique_users"] == 1
        pages = {page["page_url"]: page for page in told["page_statistics"]}
        assert "/alone" not in pages
        # Three hours in which both were there: whose views they are is not known.
        assert (pages["/both"]["total_views"], pages["/both"]["unique_users"]) == (6, 1)
    assert_right(database)
    with database.reading() as connection:
        assert connection.execute("select url from page order by url").fetchall() == [
            ("/",),
            ("/both",),
        ]


def test_a_summary_that_is_being_made_is_not_stored(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "PAYS", 1)
    feed(database, *(view(user, TODAY - 2 * DAY) for user in ("ann", "bob")))

    def erase() -> None:
        erase_user(database, "ann")

    during_sealing(monkeypatch, erase)
    page_statistics.get_page_statistics(database, start_timestamp=0, end_timestamp=TODAY)
    told = page_statistics.get_page_statistics(database, start_timestamp=0, end_timestamp=TODAY)
    assert (told["total_page_views"], told["total_unique_users"]) == (1, 1)
    assert_right(database)


def test_nothing_of_it_is_left_in_the_files(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    ann, page = "ann-who-is-to-be-forgotten", "/letters/of-a-person-to-be-forgotten"
    with closing(Database(path, clock=SetClock())) as database:
        feed(database, view(ann, page=page), *(view("bob", NOW - n) for n in range(500)))
        ended = run("erase-user", ann, "--yes", "--database", path)
        assert (ended.returncode, ended.stderr) == (0, "")
        files = [file.read_bytes() for file in tmp_path.iterdir()]
        assert not any(text.encode() in content for content in files for text in (ann, page))
        assert any(b"bob" in content for content in files)


def test_the_copies_beside_the_database_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(Database(path, clock=SetClock())) as database:
        feed(database, view("ann"))
    for name in ("a.db.schema-3.backup", "a.db.before-restore.backup", "a.db.part", "other.backup"):
        (tmp_path / name).touch()
    told = run("erase-user", "ann", "--yes", "--database", path).stdout
    assert "a.db.schema-3.backup" in told
    assert "a.db.before-restore.backup" in told
    assert "a.db.part" in told
    assert "other.backup" not in told


@pytest.mark.parametrize(
    ("arguments", "given", "code", "message"),
    [
        (["erase-user", "nobody", "--yes"], "", 1, "no data are stored for a user 'nobody'"),
        (["erase-tenant", "nobody", "--yes"], "", 1, "no data are stored for a tenant 'nobody'"),
        (["erase-user", "ann"], "n\n", 1, "Erase the user 'ann' for ever?"),
        (["erase-user", "ann"], "", 1, "Aborted"),
        (["erase-user", "ann"], "y\n", 0, ""),
        (["erase-tenant", NO_TENANT, "--yes"], "", 2, "is not a tenant: calls without a tenant"),
    ],
)
def test_what_a_user_is_told(
    tmp_path: Path, arguments: list[str], given: str, code: int, message: str
) -> None:
    path = tmp_path / "a.db"
    with closing(Database(path, clock=SetClock())) as database:
        feed(database, view("ann"))
    ended = run(*arguments, "--database", path, input=given)
    assert (ended.returncode, message in ended.stderr) == (code, True), ended.stderr
    with closing(Database(path, clock=SetClock())) as database:
        assert (erase_user(database, "ann") is None) == (code == 0)
