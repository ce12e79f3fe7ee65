import threading
import tracemalloc
from itertools import zip_longest
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.analytics.active_user_counts import update_active_users
from app.analytics.events import Event, Place, Report
from app.analytics.histories import update_user_behavior_histories_by_day
from app.analytics.recording import record_events
from app.days import MAX_TIMESTAMP
from app.exports.tables import TABLES
from app.exports.writing import export
from app.storage.database import Database
from app.storage.event_ids import digest_of

from ..support.calls import ingest, put, utc
from ..support.export_files import exported, records

ANN = {"type": "userinfo", "user_id": "ann", "tenant_id": "acme", "env_id": 3, "referer": "/a"}


def visit(at: int, user: str = "u", referer: str = "/") -> Event:
    return Event("userinfo", at, user, (Place("t", (1,)),), referer)


def test_an_empty_database_has_a_head_and_nothing_behind_it(database: Database) -> None:
    assert exported(database) == b'{"kind":"export","version":1,"time_zone":"UTC"}\n'
    headers = [exported(database, table, format_="csv").decode() for table in TABLES]
    assert headers == [
        "timestamp,user_id,referer\r\n",
        "type,date,tenant_id,count\r\n",
        "type,date,tenant_id,env_id,user_id\r\n",
        "type,date,tenant_id,user_id,count\r\n",
        "type,date,tenant_id,env_id,active_users\r\n",
        "digest,date\r\n",
    ]


def test_a_record_is_a_line_of_its_kind(client: FlaskClient, database: Database) -> None:
    at = utc("2026-05-19T02:22:58")
    ingest(client, ANN | {"timestamp": at, "id": "e-1", "referer": "/頁\U0001f600"})
    number = {"type": "monthly", "date": "2026-05", "tenant_id": "acme", "env_id": 3}
    put(client, "/active-users", number | {"active_users": 2**63 - 1})
    assert exported(database).decode().splitlines()[1:] == [
        f'{{"kind":"history","timestamp":{at},"user_id":"ann","referer":"/頁\U0001f600"}}',
        '{"kind":"call","type":"userinfo","date":"2026-05-19","tenant_id":"acme","count":1}',
        '{"kind":"active-user","type":"daily","date":"2026-05-19","tenant_id":"acme",'
        '"env_id":3,"user_id":"ann"}',
        '{"kind":"active-user","type":"monthly","date":"2026-05","tenant_id":"acme",'
        '"env_id":3,"user_id":"ann"}',
        '{"kind":"user-call","type":"userinfo","date":"2026-05-19","tenant_id":"acme",'
        '"user_id":"ann","count":1}',
        '{"kind":"number","type":"monthly","date":"2026-05","tenant_id":"acme",'
        '"env_id":3,"active_users":9223372036854775807}',
        f'{{"kind":"event-id","digest":"{digest_of("client", "e-1").hex()}","date":"2026-05-19"}}',
    ]
    assert exported(database, "calls", format_="csv").decode().splitlines()[1:] == [
        "userinfo,2026-05-19,acme,1"
    ]


def test_no_key_is_exported(client: FlaskClient, database: Database) -> None:
    # The client has one, of scopes that no other text here names.
    assert b"ingest" not in exported(database)


def test_rows_of_one_second_come_by_user_and_then_as_they_were_given(database: Database) -> None:
    for user, referer in (("b", "/2"), ("a", "/9"), ("b", "/1"), ("a", "/1"), ("b", "/2")):
        record_events(database, [visit(50, user, referer)], Report())
    record_events(database, [visit(49, "z", "/")], Report())
    found = [(each["user_id"], each["referer"]) for each in records(exported(database), "history")]
    assert found == [("z", "/"), ("a", "/9"), ("a", "/1"), ("b", "/2"), ("b", "/1"), ("b", "/2")]


@pytest.mark.parametrize("settings", [{"time_zone": zone} for zone in ("UTC", "America/New_York")])
def test_a_range_holds_its_days_from_the_first_second_to_the_last(database: Database) -> None:
    calendar = database.calendar
    # New York: the day on which the clocks go forward.
    day = calendar.day_of(utc("2026-03-08T18:00:00"))
    first, last = calendar.day_start(day), calendar.day_start(day + 1) - 1
    events = [visit(at, id_) for at, id_ in ((first - 1, "a"), (first, "b"), (last, "c"))]
    events.append(visit(last + 1, "d"))
    ids = [event._replace(id=("client", str(event.user_id))) for event in events]
    record_events(database, ids, Report())
    content = exported(database, first="2026-03-08", last="2026-03-08")
    assert [each["user_id"] for each in records(content, "history")] == ["b", "c"]
    assert [each["count"] for each in records(content, "call")] == [2]
    assert [each["user_id"] for each in records(content, "active-user")] == ["b", "c"]
    told = {each["digest"] for each in records(content, "event-id")}
    assert told == {digest_of("client", id_).hex() for id_ in ("b", "c")}


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (None, None, ["2026-01", "2026-02", "2026-03", "0001-01", "9999-12"]),
        ("2026-01-01", "2026-02-28", ["2026-01", "2026-02"]),
        ("2026-01-02", "2026-03-01", ["2026-02", "2026-03"]),
        ("2026-01-01", "2026-01-01", ["2026-01"]),
        ("2026-02-02", "2026-02-28", []),
        ("2026-12-02", None, ["9999-12"]),
        (None, "2025-12-31", ["0001-01"]),
        ("0001-01-01", "0001-01-01", ["0001-01"]),
        ("0001-01-02", "9999-11-30", ["2026-01", "2026-02", "2026-03"]),
        ("9999-12-31", "9999-12-31", []),
    ],
)
def test_a_month_goes_with_its_first_day(
    client: FlaskClient,
    database: Database,
    first: str | None,
    last: str | None,
    expected: list[str],
) -> None:
    for month in ("2026-01", "2026-02", "2026-03", "0001-01", "9999-12"):
        number = {"type": "monthly", "date": month, "tenant_id": "t", "env_id": 0}
        put(client, "/active-users", number | {"active_users": 1})
    found = records(exported(database, first=first, last=last), "number")
    assert [each["date"] for each in found] == sorted(expected)


@pytest.mark.parametrize(
    "settings", [{"time_zone": zone} for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago")]
)
@pytest.mark.parametrize(
    ("first", "last", "count"),
    [
        (None, None, 2),
        ("0001-01-01", "9999-12-31", 2),
        ("1969-12-31", "9999-12-31", 2),
        ("1970-01-02", "9999-12-30", 0),
        ("0001-01-01", "1969-12-30", 0),
        ("1970-01-02", None, 1),
        (None, "9999-12-30", 1),
    ],
)
def test_the_first_and_last_seconds_are_of_the_first_and_last_days(
    database: Database, first: str | None, last: str | None, count: int
) -> None:
    record_events(database, [visit(0), visit(MAX_TIMESTAMP)], Report())
    assert len(records(exported(database, first=first, last=last), "history")) == count


@pytest.mark.slow
def test_names_and_the_order_of_writes_leave_no_trace(tmp_path: Any) -> None:
    def write(name: str, events: list[Event]) -> bytes:
        database = Database(tmp_path / name)
        try:
            for event in events:
                record_events(database, [event], Report())
            update_active_users(
                database, type="daily", date=5, tenant_id="x", env_id=1, active_users=0
            )
            update_user_behavior_histories_by_day(
                database, timestamp=0, user_id="gone", histories=[{"timestamp": 0, "referer": "g"}]
            )
            update_user_behavior_histories_by_day(
                database, timestamp=0, user_id="gone", histories=[]
            )
            return exported(database)
        finally:
            database.close()

    events = [visit(at, f"u{at % 7}", f"/{at % 5}") for at in range(0, 200_000, 1999)]
    assert write("a.db", events) == write("b.db", events[::-1])


@pytest.mark.slow
def test_exports_beside_a_writer_are_of_one_state_each(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.exports.writing.PIECE", 3)
    stop = threading.Event()

    def write() -> None:
        at = 0
        while not stop.is_set():
            at += 7000
            event = visit(at)._replace(id=("client", str(at)))
            record_events(database, [event], Report())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(10):
            exports = [export(database, TABLES, format_="ndjson") for _ in range(2)]
            both = zip(*zip_longest(*exports, fillvalue=(0, b"")), strict=True)
            for pieces in both:
                content = records(b"".join(piece for _, piece in pieces))
                histories = sum(each["kind"] == "history" for each in content)
                assert histories == sum(each["kind"] == "event-id" for each in content)
                for kind in ("call", "user-call"):
                    counts = [each["count"] for each in content if each["kind"] == kind]
                    assert histories == sum(counts)
    finally:
        stop.set()
        writer.join()


@pytest.mark.slow
def test_memory_is_bounded_whatever_the_number_of_rows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.exports.writing.PIECE", 2000)
    events = [visit(at * 60, f"user-{at}", f"/{at}" + "x" * 300) for at in range(12_000)]
    record_events(database, events, Report())
    del events
    tracemalloc.start()
    size = sum(len(piece) for _, piece in export(database, TABLES, format_="ndjson"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 6_000_000
    assert peak < size / 2
