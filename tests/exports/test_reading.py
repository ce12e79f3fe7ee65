import json
import tracemalloc
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from flask.testing import FlaskClient

from app.analytics.events import Event, Report
from app.analytics.recording import record_events
from app.exports.reading import import_export
from app.ingest.files import UnreadableFile
from app.storage.database import Database
from app.storage.event_ids import digest_of

from ..ingest.test_files import Endless
from ..support.calls import get, ingest, put, utc
from ..support.export_files import exported, imported

HEAD = {"kind": "export", "version": 1, "time_zone": "UTC"}
VISIT = {"kind": "history", "timestamp": 5, "user_id": "ann", "referer": "/a"}
CALL = {"kind": "call", "type": "userinfo", "date": "2026-05-19", "tenant_id": "t", "count": 2}
PLACE = {"type": "monthly", "date": "2026-05", "tenant_id": "t", "env_id": 3}
ACTIVE = {"kind": "active-user", **PLACE, "user_id": "ann"}
NUMBER = {"kind": "number", **PLACE, "active_users": 7}
DIGEST = digest_of("client", "e").hex()
EVENT_ID = {"kind": "event-id", "digest": DIGEST, "date": "2026-05-19"}
OLD_EVENT_ID = {"kind": "event-id", "source": "client", "id": "e", "date": "2026-05-19"}
ALL = [VISIT, CALL, ACTIVE, NUMBER, EVENT_ID]


def ndjson(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in (HEAD, *lines))


@pytest.mark.parametrize("record", ALL, ids=lambda record: record["kind"])
def test_what_is_known_changes_nothing(database: Database, record: dict[str, Any]) -> None:
    report = imported(database, ndjson(record, record))
    assert (report.accepted, report.duplicates, report.refused) == (1, 1, []) or (
        # Those of a user and second that stand together are one.
        record["kind"] == "history" and report.accepted == 2
    )
    content = exported(database)
    again = imported(database, ndjson(record, record))
    assert (again.accepted, again.duplicates, again.refused) == (0, 2, [])
    assert exported(database) == content


@pytest.mark.parametrize(
    ("record", "change", "message"),
    [
        (
            VISIT,
            {"referer": "/b"},
            "timestamp: the user already has different histories in this second",
        ),
        (CALL, {"count": 3}, "a different value is already stored"),
        (NUMBER, {"active_users": 0}, "a different value is already stored"),
        (EVENT_ID, {"date": "2026-05-20"}, "a different value is already stored"),
    ],
)
def test_what_contradicts_what_is_stored_is_refused_by_its_line(
    database: Database, record: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    imported(database, ndjson(*ALL))
    content = exported(database)
    report = imported(database, ndjson(ACTIVE, record | change))
    assert report.refused == [{"index": 3, "message": message}]
    assert (report.accepted, report.duplicates) == (0, 1)
    assert exported(database) == content


def test_refusals_come_by_line_whatever_was_wrong(database: Database) -> None:
    imported(database, ndjson(*ALL))
    report = imported(
        database, ndjson(CALL | {"count": 9}, VISIT | {"referer": "/b"}, 5, CALL | {"count": 8})
    )
    assert [refusal["index"] for refusal in report.refused] == [2, 3, 4, 5]


def test_two_copies_behind_each_other_are_one(database: Database) -> None:
    content = ndjson(VISIT, VISIT | {"referer": "/b"}, *ALL[1:])
    report = imported(database, content + content)
    assert (report.accepted, report.duplicates, report.refused) == (6, 6, [])


def test_copies_of_one_history_are_one(database: Database) -> None:
    assert imported(database, ndjson(VISIT) + ndjson(VISIT)).duplicates == 1
    csv = b"timestamp,user_id,referer\r\n7,ann,/a\r\n"
    report = imported(database, csv + csv)
    assert (report.accepted, report.duplicates, len(report.refused)) == (1, 1, 1)


def test_the_same_of_a_user_and_second_apart_from_its_others_is_refused(
    database: Database,
) -> None:
    report = imported(database, ndjson(VISIT, CALL, VISIT | {"timestamp": 6}, VISIT, VISIT))
    assert report.accepted == 3
    assert [refusal["index"] for refusal in report.refused] == [5, 6]


@pytest.mark.parametrize("old", [ndjson(OLD_EVENT_ID), b"source,id,date\nclient,e,2026-05-19\n"])
def test_ids_of_events_as_older_versions_wrote_them_are_the_same(
    database: Database, old: bytes
) -> None:
    assert imported(database, old).accepted == 1
    assert imported(database, ndjson(EVENT_ID)).duplicates == 1
    at = utc("2026-05-19T02:22:58")
    report = Report()
    event = Event("userinfo", at, user_id="ann", id=("client", "e"))
    record_events(database, [event], report)
    assert (report.accepted, report.duplicates) == (0, 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "the line must be JSON: "),
        ("5", "must be an object"),
        ("[]", "must be an object"),
        ("{}", "kind: must be one of history, call, active-user, user-call, number, event-id"),
        ('{"kind": []}', "kind: must be one of "),
        (VISIT | {"timestamp": -1}, "timestamp: must be from 0 to 253402300799"),
        (VISIT | {"timestamp": "5"}, "timestamp: must be a whole number"),
        (VISIT | {"user_id": ""}, "user_id: must be 1 to 128 characters long"),
        (VISIT | {"referer": "\ud800"}, "referer: must hold printable characters only"),
        (VISIT | {"referer": "x" * 8193}, "referer: must be 0 to 8192 characters long"),
        ({"kind": "history"}, "timestamp: is required; user_id: is required; referer: is"),
        (CALL | {"type": "login"}, "type: must be one of userinfo, "),
        (CALL | {"date": "2026-02-30"}, "date: must be a date that exists"),
        (CALL | {"date": 5}, "date: must be text"),
        (CALL | {"count": 0}, "count: must be from 1 to 1000000000000"),
        (CALL | {"count": 10**12 + 1}, "count: must be from 1 to 1000000000000"),
        (
            CALL | {"kind": "user-call", "user_id": "u", "count": 10**12 + 1},
            "count: must be from 1 to 1000000000000",
        ),
        (ACTIVE | {"date": "2026-05-01"}, "date: must be a month as YYYY-MM, since type is"),
        (ACTIVE | {"type": "daily"}, "date: must be a date as YYYY-MM-DD, since type is"),
        (ACTIVE | {"env_id": True}, "env_id: must be a whole number"),
        (NUMBER | {"active_users": 1.5}, "active_users: must be a whole number"),
        (
            EVENT_ID | {"digest": DIGEST[1:]},
            "digest: must be 32 hexadecimal digits, 0 to 9 and a to f",
        ),
        (
            EVENT_ID | {"digest": DIGEST.upper()},
            "digest: must be 32 hexadecimal digits, 0 to 9 and a to f",
        ),
        (EVENT_ID | {"digest": 5}, "digest: must be 32 hexadecimal digits, 0 to 9 and a to f"),
        (OLD_EVENT_ID | {"source": "x"}, "source: must be one of client, eventbridge, "),
        (OLD_EVENT_ID | {"id": "a\nb"}, "id: must hold printable characters only"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_stored(
    database: Database, line: Any, message: str
) -> None:
    text = line if isinstance(line, str) else json.dumps(line)
    content = json.dumps(HEAD) + "\n\n" + text + "\n" + json.dumps(VISIT)
    report = imported(database, content.encode())
    assert report.accepted == 1
    (refusal,) = report.refused
    assert refusal["index"] == 3
    assert refusal["message"].startswith(message)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"5,ann", "must have 3 cells"),
        (b"5,ann,/a,", "must have 3 cells"),
        (b"five,ann,/a", "timestamp: must be a whole number"),
        (b"1e3,ann,/a", "timestamp: must be a whole number"),
        (b"-1,ann,/a", "timestamp: must be from 0 to 253402300799"),
        (b",ann,/a", "timestamp: must be a whole number"),
        (b'5,ann,"/a', "the line must be CSV: unexpected end of data"),
        (b'5,ann,"/a"b', "the line must be CSV: ',' expected after '\"'"),
        (b"5,\xff,/a", "the line must be UTF-8: byte 2 is not"),
        (b"5,ann," + b"x" * 200_000, "the line must be CSV: field larger than field limit"),
    ],
)
def test_a_bad_line_of_csv_is_named(database: Database, line: bytes, message: str) -> None:
    report = imported(database, b"timestamp,user_id,referer\r\n" + line + b"\r\n6,bob,/b\r\n")
    assert report.accepted == 1
    (refusal,) = report.refused
    assert refusal["index"] == 2
    assert refusal["message"].startswith(message)


def test_csv_of_a_spreadsheet_is_read(database: Database) -> None:
    content = b"\xef\xbb\xbftype,date,tenant_id,count\n\nuserinfo,2026-05-19,t,2"
    assert imported(database, content).accepted == 1
    assert exported(database) == ndjson(CALL).replace(b": ", b":").replace(b", ", b",")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"nonsense\n", "is not an export: "),
        (b"[1]\n", "is not an export: "),
        (b"\xff\n", "is not an export: "),
        (b'"a\n', "is not an export: "),
        (json.dumps(VISIT).encode(), "is not an export: "),
        (b'{"kind": "export"}', "is not an export: "),
        (b'{"kind": "export", "version": "1", "time_zone": "UTC"}', "is not an export: "),
        (b"timestamp,referer,user_id\n", "is not an export: "),
        (
            json.dumps(HEAD | {"version": 2}).encode(),
            "has version 2 (line 1), but this program reads version 1",
        ),
        (
            json.dumps(HEAD | {"time_zone": "Asia/Tokyo"}).encode(),
            "has days in Asia/Tokyo (line 1), but this database has days in UTC; "
            "make a new one with ANALYSIS_TIME_ZONE=Asia/Tokyo",
        ),
    ],
)
def test_another_file_is_refused_as_a_whole(
    database: Database, content: bytes, message: str
) -> None:
    with pytest.raises(UnreadableFile) as refused:
        imported(database, content)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("content", [b"", b"\n \n", json.dumps(HEAD).encode(), b"source,id,date"])
def test_a_file_without_records_is_read(database: Database, content: bytes) -> None:
    report = imported(database, content)
    assert (report.accepted, report.duplicates, report.refused) == (0, 0, [])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_histories_of_a_second_are_never_parted(
    database: Database, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("app.exports.reading.BATCH", size)
    others = [VISIT | {"referer": f"/{number}"} for number in (3, 1, 2, 1)]
    content = ndjson(*others, VISIT | {"user_id": "bob"}, VISIT | {"timestamp": 6}, CALL)
    assert imported(database, content).accepted == 7
    assert imported(database, content).duplicates == 7


def test_summaries_and_numbers_are_right_afterwards(
    client: FlaskClient, database: Database
) -> None:
    at = utc("2026-05-01T10:00:00")
    ingest(client, {"type": "userinfo", "user_id": "bob", "timestamp": at, "referer": "/a"})
    asked = {"start_timestamp": 0, "end_timestamp": utc("2026-05-19T00:00:00")}
    assert get(client, "/metrics/page-statistics", **asked)["total_page_views"] == 1
    imported(database, ndjson(*ALL, VISIT | {"timestamp": at + 1}))
    statistics = get(client, "/metrics/page-statistics", **asked)
    assert (statistics["total_page_views"], statistics["total_unique_users"]) == (3, 2)
    numbers = {"type": "monthly", "date_from": "2026-05"}
    assert get(client, "/active-users", **numbers)["data"][0]["active_users"] == 7
    # An id that came with an export is known to feeds.
    event = {"type": "create_tenant", "tenant_id": "t", "id": "e"}
    answer = client.post("/v1/analysis/ingest/events", json=event)
    assert answer.get_json()["duplicates"] == 1


def test_users_who_were_active_add_to_those_who_are_known(
    client: FlaskClient, database: Database
) -> None:
    place = {"tenant_id": "t", "env_id": 3, "timestamp": utc("2026-05-01T10:00:00")}
    ingest(client, place | {"type": "userinfo", "user_id": "ann"})
    imported(database, ndjson(ACTIVE, ACTIVE | {"user_id": "bob"}))
    (told,) = get(client, "/active-users", type="monthly", date_from="2026-05")["data"]
    assert told["active_users"] == 2


def test_a_number_is_stored_beside_a_computed_one(client: FlaskClient, database: Database) -> None:
    imported(database, ndjson(ACTIVE, NUMBER))
    (told,) = get(client, "/active-users", type="monthly", date_from="2026-05")["data"]
    assert told["active_users"] == 7
    put(client, "/active-users", PLACE | {"active_users": 8})
    assert imported(database, ndjson(NUMBER)).refused


def test_an_import_that_was_interrupted_can_be_run_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.exports.reading.BATCH", 2)
    content = ndjson(*ALL)
    reports = import_export(database, cast(BinaryIO, Endless(iter([content]))), lambda _: None)
    assert next(reports).accepted == 2
    reports.close()  # type: ignore[attr-defined]
    report = imported(database, content)
    assert (report.accepted, report.duplicates, report.refused) == (3, 2, [])


@pytest.mark.slow
def test_memory_is_bounded_whatever_the_length(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.exports.reading.BATCH", 200)
    padding = "x" * 1000

    def lines() -> Any:
        yield ndjson()
        for number in range(4_000):
            record = VISIT | {"timestamp": 5 + number, "unknown": padding}
            yield json.dumps(record).encode() + b"\n"

    tracemalloc.start()
    stream = cast(BinaryIO, Endless(lines()))
    accepted = sum(report.accepted for report in import_export(database, stream, lambda _: None))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert accepted == 4_000
    assert peak < 2_000_000


def test_progress_is_the_bytes_that_were_read(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_bytes(ndjson(*ALL))
    read: list[int] = []
    with file.open("rb") as stream:
        list(import_export(database, stream, read.append))
    assert sum(read) == file.stat().st_size
