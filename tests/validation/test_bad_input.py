"""What is refused, and how: contract B.7 and B.8; and the last values that are not."""

import copy
import gzip
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.auth import keys

from ..conftest import NOW, SetClock
from ..support.reading import everything, histories
from ..support.records import api_log, eventbridge, page
from ..support.refusals import (
    ACTIVE_BODY,
    BASE,
    DAY_BODY,
    EVENT,
    LARGEST,
    LAST_SECOND,
    OBJECT,
    READS,
    WRITES,
    refused,
    send,
    send_bytes,
    short,
)

LIMIT = 2048
CREATIONS = ("create_tenant", "create_saas_user", "create_tenant_user")

REQUIRED = "is required"
TEXT = "must be text"
NUMBER = "must be a whole number"
RANGE = "must be from 0 to "
LENGTH = "must be 1 to 128 characters long"
PRINTABLE = "must hold printable characters only"
SECONDS = "must be in seconds"
DATE = "must be a date as YYYY-MM-DD"
EXISTS = "must be a date that exists"
MONTH = "must be a month as YYYY-MM"
LIST = "must be a list"


class Missing:
    """Stands for a field that is left out."""

    def __repr__(self) -> str:
        return "left out"


MISSING = Missing()
NO_TEXT: list[Any] = [None, 5, True, ["x"], {"x": "x"}]
NO_NUMBER: list[Any] = [None, "5", "", True, False, 5.0, 1.5, 1e300, [5], {}]
UNPRINTABLE = ["a\nb", "\t", "\x00", "a\x7f", "\x85", "\u2028", "\u2029", "\ud800", "a\udfff"]
NO_ID = [
    (MISSING, REQUIRED),
    ("", LENGTH),
    ("x" * 129, LENGTH),
    ("😀" * 129, LENGTH),
    *((value, TEXT) for value in NO_TEXT[1:]),
    *((value, PRINTABLE) for value in UNPRINTABLE),
]
NO_COUNT = [
    (MISSING, REQUIRED),
    *((value, NUMBER) for value in NO_NUMBER[1:]),
    *((value, RANGE) for value in (-1, -(2**63), LARGEST + 1, 10**400)),
]
NO_TIMESTAMP = [
    (MISSING, REQUIRED),
    *((value, NUMBER) for value in NO_NUMBER[1:]),
    *((value, RANGE) for value in (-1, LAST_SECOND + 1, 99999999999999)),
    (1779157378000, SECONDS),
    (9999999999999, SECONDS),
]
NO_REFERER = [
    (MISSING, REQUIRED),
    ("x" * 8193, "must be 0 to 8192 characters long"),
    *((value, TEXT) for value in NO_TEXT),
    *((value, PRINTABLE) for value in UNPRINTABLE),
]
NO_DAY = [
    ("", DATE),
    ("2026-05", DATE),
    ("2026-5-19", DATE),
    ("20260519", DATE),
    ("2026/05/19", DATE),
    (" 2026-05-19", DATE),
    ("2026-05-19\n", DATE),
    ("2026-05-19T00:00:00Z", DATE),
    ("2026-W21-2", DATE),
    ("\uff12\uff10\uff12\uff16-05-19", DATE),
    ("02026-05-19", DATE),
    ("today", DATE),
    ("2025-02-30", EXISTS),
    ("2025-02-29", EXISTS),
    ("2025-04-31", EXISTS),
]
NO_MONTH = [
    ("", MONTH),
    ("2026-05-19", MONTH),
    ("2026-13", MONTH),
    ("2026-00", MONTH),
    ("0000-01", MONTH),
    ("2026-5", MONTH),
    ("2026-05\n", MONTH),
    ("202605", MONTH),
    ("\uff12\uff10\uff12\uff16-05", MONTH),
]
OUTSIDE_THE_CALENDAR = ["2026-13-01", "2026-00-10", "2026-05-32", "2026-05-00", "0000-01-01"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """A client of an application that holds something of each kind."""
    app = create_app({"database": tmp_path_factory.mktemp("shared") / "a.db"}, clock=SetClock())
    database = app.extensions["database"]
    token = keys.create_bearer_key(database, name="test", scopes=keys.SCOPES)
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    feed = [EVENT, EVENT | {"id": "event-2", "user_id": "bob", "referer": "/away"}]
    feed += [{"type": type_, "user_id": "ann", "tenant_id": "acme"} for type_ in CREATIONS]
    assert client.post(f"{BASE}/ingest/events", json=feed).get_json()["accepted"] == len(feed)
    assert client.put(f"{BASE}/active-users", json=ACTIVE_BODY | {"env_id": 1}).status_code == 200
    assert all(stored(client))
    yield client
    database.close()


@pytest.fixture(scope="module")
def known(shared: FlaskClient) -> list[Any]:
    """What was stored after the last test."""
    return stored(shared)


@pytest.fixture
def guarded(shared: FlaskClient, known: list[Any]) -> Iterator[FlaskClient]:
    """A client whose test must leave what is stored as it is."""
    before = known.copy()
    yield shared
    known[:] = stored(shared)
    assert known == before


def stored(client: FlaskClient) -> list[Any]:
    return [*everything(client), histories(client, "ann"), histories(client, "bob")]


def changed(body: Any, place: str, value: object) -> Any:
    """Return a copy of a body with a value, or without one, at a place as `histories.1.referer`."""
    copied = copy.deepcopy(body)
    *path, last = [int(step) if step.isdigit() else step for step in place.split(".")]
    inner = copied
    for step in path:
        inner = inner[step]
    if value is MISSING:
        del inner[last]
    else:
        inner[last] = value
    return copied


def shown(place: str) -> str:
    """Return a place as messages name it: `histories.1.referer` is `histories[1].referer`."""
    steps = [f"[{step}]" if step.isdigit() else f".{step}" for step in place.split(".")]
    return "".join(steps).removeprefix(".")


def fields(*tables: tuple[str, list[tuple[Any, str]]]) -> list[tuple[str, Any, str]]:
    return [(place, value, word) for place, table in tables for value, word in table]


@pytest.mark.parametrize(
    ("place", "value", "word"),
    fields(
        ("timestamp", [(None, "must not be null"), *NO_TIMESTAMP]),
        ("user_id", [(None, "must not be null"), *NO_ID]),
        ("histories", [(MISSING, REQUIRED), (None, "must not be null")]),
        ("histories", [({}, LIST), ("x", LIST), (5, LIST), (True, LIST)]),
        ("histories.1", [(None, OBJECT), (5, OBJECT), ("x", OBJECT), ([], OBJECT)]),
        ("histories.1.timestamp", [(None, NUMBER), *NO_TIMESTAMP]),
        ("histories.1.referer", NO_REFERER),
    ),
    ids=short,
)
def test_a_bad_field_of_a_day_is_named(
    guarded: FlaskClient, place: str, value: object, word: str
) -> None:
    body = changed(DAY_BODY, place, value)
    message = refused(send(guarded, "UpdateUserBehaviorHistoriesByDay", body), word)
    assert message.startswith(f"{shown(place)}: ")


@pytest.mark.parametrize(
    ("place", "value", "word"),
    fields(
        ("type", [(MISSING, REQUIRED), (None, "must not be null")]),
        (
            "type",
            [(value, "must be one of daily, monthly") for value in ("weekly", "", 5, ["daily"])],
        ),
        ("date", [(MISSING, REQUIRED), (None, "must not be null")]),
        ("date", [(value, TEXT) for value in NO_TEXT[1:]]),
        ("date", NO_DAY),
        ("tenant_id", [(None, "must not be null"), *NO_ID]),
        ("env_id", [(None, "must not be null"), *NO_COUNT]),
        ("active_users", [(None, "must not be null"), *NO_COUNT]),
    ),
    ids=short,
)
def test_a_bad_field_of_active_users_is_named(
    guarded: FlaskClient, place: str, value: object, word: str
) -> None:
    answer = send(guarded, "UpdateActiveUsers", changed(ACTIVE_BODY, place, value))
    assert refused(answer, word).startswith(f"{place}: ")


@pytest.mark.parametrize(("month", "word"), NO_MONTH)
def test_a_bad_month_of_active_users_is_named(guarded: FlaskClient, month: str, word: str) -> None:
    body = ACTIVE_BODY | {"type": "monthly", "date": month}
    message = refused(send(guarded, "UpdateActiveUsers", body), word)
    assert message == f"date: {word}, since type is monthly"


@pytest.mark.parametrize("day", OUTSIDE_THE_CALENDAR)
def test_a_day_outside_the_calendar_is_named(guarded: FlaskClient, day: str) -> None:
    refused(send(guarded, "UpdateActiveUsers", ACTIVE_BODY | {"date": day}), "date: must be a date")
    for path, names in {
        "/active-users": ["date_from", "date_to"],
        "/metrics/aggregated": ["start_date", "end_date"],
        "/userinfo/aggregated": ["start_date", "end_date"],
    }.items():
        for name in names:
            answer = guarded.get(BASE + path, query_string=READS[path] | {name: day})
            refused(answer, f"{name}: must be a date")


@pytest.mark.parametrize(
    ("place", "value", "word"),
    fields(
        ("type", [(MISSING, REQUIRED)]),
        (
            "type",
            [
                (value, "must be one of userinfo, create_tenant,")
                for value in ("login", "", None, 5, ["userinfo"])
            ],
        ),
        ("timestamp", [(None, NUMBER), *NO_TIMESTAMP[1:]]),
        ("user_id", [(MISSING, "is required where type is userinfo"), (None, TEXT), *NO_ID[1:]]),
        ("tenant_id", [(None, TEXT), *NO_ID[1:]]),
        ("env_id", [(None, NUMBER), *NO_COUNT[1:]]),
        ("referer", NO_REFERER[1:]),
        ("id", [(None, TEXT), *NO_ID[1:]]),
    ),
    ids=short,
)
def test_a_bad_field_of_an_event_is_named(
    guarded: FlaskClient, place: str, value: object, word: str
) -> None:
    event = changed(EVENT | {"id": "new"}, place, value)
    message = refused(send(guarded, "IngestEvents", event), word)
    assert message.startswith(f"nothing was stored: record 0: {place}: ")


@pytest.mark.parametrize(
    ("type_", "missing"),
    [
        ("create_tenant", "tenant_id"),
        ("create_saas_user", "user_id"),
        ("create_tenant_user", "user_id"),
        ("create_tenant_user", "tenant_id"),
    ],
)
def test_a_field_that_a_type_of_event_needs_is_named(
    guarded: FlaskClient, type_: str, missing: str
) -> None:
    event = changed(EVENT | {"id": "new", "type": type_}, missing, MISSING)
    message = refused(send(guarded, "IngestEvents", event))
    assert message == f"nothing was stored: record 0: {missing}: is required where type is {type_}"


@pytest.mark.parametrize("value", [None, 5, "x", True, [EVENT]], ids=short)
def test_an_event_that_is_no_object_is_named(guarded: FlaskClient, value: object) -> None:
    refused(send(guarded, "IngestEvents", [value]), "record 0: ", OBJECT)


@pytest.mark.parametrize(
    ("log", "changes", "words"),
    [
        ({}, {"id": MISSING, "detail.trace_id": MISSING}, ("id: ", TEXT)),
        ({}, {"id": "x" * 129}, ("id: ", LENGTH)),
        ({}, {"id": "\ud800"}, ("id: ", PRINTABLE)),
        ({}, {"time": MISSING}, ("time: must be a time such as 2026-05-19T02:22:58Z",)),
        ({}, {"time": NOW}, ("time: must be a time such as",)),
        ({}, {"time": "2025-02-30T00:00:00Z"}, ("time: must be a time such as",)),
        ({}, {"time": "1969-12-31T23:59:59Z"}, ("time: ", RANGE)),
        ({}, {"time": "0001-01-01T00:00:00+14:00"}, ("time: ",)),
        ({}, {"time": "9999-12-31T23:59:59-14:00"}, ("time: ",)),
        ({}, {"detail": MISSING}, ("detail: ", OBJECT)),
        ({}, {"detail": "create_tenant"}, ("detail: ", OBJECT)),
        ({}, {"detail.event_type": MISSING}, ("detail.event_type: ", TEXT)),
        ({}, {"detail.event_type": 5}, ("detail.event_type: ", TEXT)),
        ({}, {"detail.event": "{"}, ("detail.event: must be JSON text",)),
        ({}, {"detail.event": "[" * 100_000}, ("detail.event: must be JSON text",)),
        ({}, {"detail.event": "NaN"}, ("detail.event: must be JSON text",)),
        ({}, {"detail.event": MISSING}, ("detail.event: ", OBJECT)),
        ({"response_body": "{}"}, {}, ("detail.event.response_body.id: ", TEXT)),
        ({"response_body": '{"id": ""}'}, {}, ("detail.event.response_body.id: ", LENGTH)),
        ({"response_body": "{"}, {}, ("detail.event.response_body: must be JSON text",)),
        ({"log_id": 5}, {}, ("detail.event.log_id: ", TEXT)),
    ],
    ids=short,
)
def test_a_bad_field_of_an_eventbridge_event_is_named(
    guarded: FlaskClient, log: dict[str, Any], changes: dict[str, object], words: tuple[str, ...]
) -> None:
    record = eventbridge("create_tenant", log=log)
    for place, value in changes.items():
        record = changed(record, place, value)
    message = refused(send(guarded, "IngestEventBridge", record), *words)
    assert message.startswith(f"nothing was stored: record 0: {words[0]}")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("api_log_id", 5, ("api_log_id: ", TEXT)),
        ("api_log_id", "x" * 129, ("api_log_id: ", LENGTH)),
        ("created_at", MISSING, ("created_at: ", NUMBER)),
        ("created_at", "1779157378", ("created_at: ", NUMBER)),
        ("created_at", True, ("created_at: ", NUMBER)),
        ("created_at", 1779157378000, ("created_at: ", SECONDS)),
        ("created_at", -1, ("created_at: ", RANGE)),
        ("referer", 5, ("referer: ", TEXT)),
        ("referer", "x" * 8193, ("referer: ", "must be 0 to 8192 characters long")),
        ("response_body", MISSING, ("response_body: ", OBJECT)),
        ("response_body", "", ("response_body: must be JSON text",)),
        ("response_body", "[]", ("response_body: ", OBJECT)),
        ("response_body", "[" * 100_000, ("response_body: must be JSON text",)),
        ("response_body", "{}", ("response_body.id: ", TEXT)),
        ("response_body", '{"id": "a", "tenants": 5}', ("response_body.tenants: ", LIST)),
        ("response_body", '{"id": "a", "tenants": [5]}', ("response_body.tenants: ", OBJECT)),
        ("response_body", '{"id": "a", "tenants": [{}]}', ("response_body.tenants.id: ", TEXT)),
        (
            "response_body",
            '{"id": "a", "tenants": [{"id": "t", "envs": [{"id": "3"}]}]}',
            ("response_body.tenants.envs.id: ", NUMBER),
        ),
    ],
    ids=short,
)
def test_a_bad_field_of_an_apilog_is_named(
    guarded: FlaskClient, place: str, value: object, words: tuple[str, ...]
) -> None:
    record = page(changed(api_log(), place, value))
    message = refused(send(guarded, "IngestApilog", record), *words)
    assert message.startswith(f"nothing was stored: record 0: {words[0]}")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, ("api_logs: ", LIST)),
        ({"api_logs": None}, ("api_logs: ", LIST)),
        ({"api_logs": {}}, ("api_logs: ", LIST)),
        (5, (OBJECT,)),
        ([page(), "x"], (OBJECT,)),
        (page("x"), ("record 0: ", OBJECT)),  # type: ignore[arg-type]
    ],
    ids=short,
)
def test_a_page_that_is_none_is_refused(
    guarded: FlaskClient, value: object, words: tuple[str, ...]
) -> None:
    refused(send(guarded, "IngestApilog", value), *words)


@pytest.mark.parametrize(
    ("operation", "good"),
    [
        ("IngestEvents", EVENT | {"id": "new"}),
        ("IngestEventBridge", eventbridge("create_tenant")),
        ("IngestApilog", page(api_log())),
    ],
)
def test_all_or_nothing_stores_nothing_of_a_list_with_a_bad_record(
    guarded: FlaskClient, operation: str, good: dict[str, Any]
) -> None:
    _, path, _ = WRITES[operation]
    bad = page(api_log(created_at=-1)) if operation == "IngestApilog" else {}
    answer = guarded.post(f"{BASE}{path}?all_or_nothing=true", json=[good, bad])
    refused(answer, "nothing was stored: record 1: ")


@pytest.mark.parametrize("value", ["yes", "TRUE", "1"])
@pytest.mark.parametrize("operation", [name for name in WRITES if name.startswith("Ingest")])
def test_all_or_nothing_is_true_or_false(guarded: FlaskClient, operation: str, value: str) -> None:
    _, path, body = WRITES[operation]
    answer = guarded.post(BASE + path, query_string={"all_or_nothing": value}, json=body)
    assert refused(answer) == "all_or_nothing: must be true or false"


@pytest.mark.parametrize("operation", [name for name in WRITES if name.startswith("Update")])
def test_a_body_that_is_no_object_is_refused(guarded: FlaskClient, operation: str) -> None:
    for data in (b"null", b"5", b'"x"', b"true", b"[]"):
        refused(send_bytes(guarded, operation, data), OBJECT)
    refused(send(guarded, operation, {}), REQUIRED)


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("seconds", [-86400, 86400, LAST_SECOND - NOW, -NOW])
def test_an_entry_outside_the_day_is_named(guarded: FlaskClient, at: int, seconds: int) -> None:
    body = changed(DAY_BODY, f"histories.{at}.timestamp", NOW + seconds)
    message = refused(send(guarded, "UpdateUserBehaviorHistoriesByDay", body))
    start = NOW // 86400 * 86400
    assert message == (
        f"histories[{at}].timestamp: must be in the day of timestamp, "
        f"from {start} to {start + 86399}"
    )


@pytest.mark.slow
def test_every_bad_field_is_named_and_a_long_list_of_them_is_cut(guarded: FlaskClient) -> None:
    body = {"timestamp": "x", "histories": [{"timestamp": NOW}, {"referer": 5}]}
    answer = send(guarded, "UpdateUserBehaviorHistoriesByDay", body)
    refused(
        answer,
        "timestamp: must be a whole number",
        "user_id: is required",
        "histories[0].referer: is required",
        "histories[1].timestamp: is required",
        "histories[1].referer: must be text",
    )
    answer = send(
        guarded, "UpdateUserBehaviorHistoriesByDay", DAY_BODY | {"histories": [{}] * 100_000}
    )
    assert len(refused(answer, "histories[0].timestamp: is required", "more")) < 1000


@pytest.mark.parametrize(
    ("path", "name", "value", "word"),
    [
        *(("/active-users", "type", *case) for case in [(MISSING, REQUIRED)]),
        *(
            ("/active-users", "type", value, "must be one of monthly, daily")
            for value in ("weekly", "", "Daily", "daily,monthly")
        ),
        *(("/active-users", "date_from", *case) for case in [(MISSING, REQUIRED), *NO_DAY]),
        *(("/active-users", "date_to", *case) for case in NO_DAY if case[0]),
        *(
            ("/metrics/aggregated", "metrics_type", value, "must be one of create_tenant, ")
            for value in ("userinfo", "", "create_tenant,create_saas_user")
        ),
        ("/metrics/aggregated", "metrics_type", MISSING, REQUIRED),
        *(
            (path, name, *case)
            for path in ("/metrics/aggregated", "/userinfo/aggregated")
            for name in ("start_date", "end_date")
            for case in [(MISSING, REQUIRED), *NO_DAY]
        ),
        *(
            (path, "tenant_ids", value, word)
            for path in ("/metrics/aggregated", "/userinfo/aggregated")
            for value, word in [
                ("a,,b", LENGTH),
                ("a,", LENGTH),
                ("x" * 129, LENGTH),
                (["a", "b\x00"], PRINTABLE),
                (["a", "\u2028"], PRINTABLE),
            ]
        ),
        *(
            ("/active-users", "tenant_id", *case)
            for case in [
                ("x" * 129, LENGTH),
                ("a\nb", PRINTABLE),
                ("\x85", PRINTABLE),
            ]
        ),
        *(
            (path, name, value, word)
            for path, name in [
                ("/active-users", "env_id"),
                ("/metrics/page-statistics", "start_timestamp"),
                ("/metrics/page-statistics", "end_timestamp"),
            ]
            for value, word in [
                *((value, NUMBER) for value in ("x", "1.5", "5.0", "1e3", "0x10", "true")),
                *(
                    (value, NUMBER)
                    for value in (" 5", "+5", "5\n", "1_000", "\uff15", "null", "--1")
                ),
                ("-1", RANGE),
                ("9223372036854775808", RANGE),
                ("9" * 20, RANGE),
                ("9" * 5000, ""),
            ]
        ),
        *(
            ("/metrics/page-statistics", name, *case)
            for name in ("start_timestamp", "end_timestamp")
            for case in [
                (MISSING, REQUIRED),
                ("", NUMBER),
                (str(LAST_SECOND + 1), RANGE),
                ("1779157378000", SECONDS),
            ]
        ),
    ],
    ids=short,
)
def test_a_bad_query_parameter_is_named(
    guarded: FlaskClient, path: str, name: str, value: Any, word: str
) -> None:
    query = changed(READS[path] | {name: "x"}, name, value)
    assert refused(guarded.get(BASE + path, query_string=query), word).startswith(name)


@pytest.mark.parametrize(
    ("name", "month", "word"),
    [
        (name, *case)
        for name in ("date_from", "date_to")
        for case in NO_MONTH
        if case[0] or name == "date_from"
    ],
)
def test_a_bad_month_in_a_query_is_named(
    guarded: FlaskClient, name: str, month: str, word: str
) -> None:
    query = {"type": "monthly", "date_from": "0001-01", "date_to": "9999-12"} | {name: month}
    answer = guarded.get(f"{BASE}/active-users", query_string=query)
    assert refused(answer) == f"{name}: {word}, since type is monthly"


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/active-users", {"type": "daily", "date_from": "2026-05-20", "date_to": "2026-05-19"}),
        ("/active-users", {"type": "monthly", "date_from": "2026-06", "date_to": "2026-05"}),
        (
            "/metrics/aggregated",
            {
                "metrics_type": "create_tenant",
                "start_date": "2026-05-20",
                "end_date": "2026-05-19",
            },
        ),
        ("/userinfo/aggregated", {"start_date": "2026-05-20", "end_date": "2026-05-19"}),
        ("/metrics/page-statistics", {"start_timestamp": "2", "end_timestamp": "1"}),
    ],
)
def test_a_beginning_after_the_end_is_named(
    guarded: FlaskClient, path: str, query: dict[str, str]
) -> None:
    first, last = list(query)[-2:]
    answer = guarded.get(BASE + path, query_string=query)
    assert refused(answer) == f"{first}: must not be after {last}"


def test_an_environment_needs_a_tenant(guarded: FlaskClient) -> None:
    query = {"type": "daily", "date_from": "2026-05-19", "env_id": "3"}
    answer = guarded.get(f"{BASE}/active-users", query_string=query)
    assert refused(answer) == "env_id: needs tenant_id as well"


@pytest.mark.parametrize(
    ("path", "name"), [(path, name) for path, query in READS.items() for name in query]
)
def test_a_parameter_given_twice_is_named(guarded: FlaskClient, path: str, name: str) -> None:
    query = [*READS[path].items(), (name, READS[path][name])]
    assert refused(guarded.get(BASE + path, query_string=query)) == f"{name}: must be given once"


@pytest.mark.parametrize(
    ("user_id", "word"),
    [
        ("", LENGTH),
        ("x" * 129, LENGTH),
        ("%F0%9F%98%80" * 129, LENGTH),
        *((quote(value, safe=""), PRINTABLE) for value in UNPRINTABLE if value.isascii()),
        ("%0A", PRINTABLE),
        ("%0Aann", PRINTABLE),
        ("ann%0A", PRINTABLE),
        ("ann%0D%0A/x", PRINTABLE),
        ("%C2%85", PRINTABLE),
        ("%E2%80%A8", PRINTABLE),
    ],
    ids=short,
)
def test_a_bad_user_id_in_a_path_is_named(guarded: FlaskClient, user_id: str, word: str) -> None:
    answer = guarded.get(f"{BASE}/users/{user_id}/behavior-histories")
    assert refused(answer) == f"user_id: {word}"


@pytest.mark.parametrize("text", ["%FF", "a%C3", "%ED%A0%80", "%C0%AF", "%F5%80%80%80"])
@pytest.mark.parametrize(
    "target",
    [
        "/users/{}/behavior-histories",
        "/active-users?type=daily&date_from=2026-05-19&tenant_id={}",
        "/active-users?type=daily&date_from=2026-05-19&unknown={}",
        "/metrics/aggregated?metrics_type=create_tenant&start_date=2026-05-19&end_date={}",
        "/metrics/page-statistics?start_timestamp={}&end_timestamp=5",
        "/userinfo/aggregated?start_date=2026-05-19&end_date=2026-05-19&tenant_ids={}",
        "/errors/internal-server-error?{}",
        "/nothing/{}",
    ],
)
def test_a_target_that_is_no_utf_8_is_refused(guarded: FlaskClient, target: str, text: str) -> None:
    answer = guarded.get(BASE + target.format(text))
    assert refused(answer) == "the path and query must be UTF-8, percent-encoded"


def test_a_character_that_is_half_percent_encoded_is_refused(guarded: FlaskClient) -> None:
    # As some WSGI servers hand it on: the first byte as it is, the second encoded.
    query = "start_timestamp=0&end_timestamp=9&unknown=\xc3%A9"
    target = f"{BASE}/metrics/page-statistics"
    sent = {"QUERY_STRING": query, "REQUEST_URI": f"{target}?{query}"}
    answer = guarded.get(target, environ_overrides=sent)
    assert refused(answer) == "the path and query must be UTF-8, percent-encoded"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ("must be JSON",)),
        (b" \n", ("must be JSON",)),
        (b"{", ("must be JSON",)),
        (b"{'timestamp': 5}", ("must be JSON", "line 1, column 2")),
        (b"timestamp=5", ("must be JSON",)),
        (b"{} {}", ("must be JSON", "line 1, column 4")),
        (b'{"a": 1,}', ("must be JSON",)),
        (b'{"a": "\n"}', ("must be JSON",)),
        (b'{"a": 05}', ("must be JSON",)),
        (b'{"a": NaN}', ("must be JSON", "NaN")),
        (b'[{"a": Infinity}]', ("must be JSON", "Infinity")),
        (b'{"a": -Infinity}', ("must be JSON", "-Infinity")),
        (b'{"a": "\xff"}', ("must be UTF-8", "byte 7")),
        (b'{"a": "\xed\xa0\x80"}', ("must be UTF-8", "byte 7")),
        ('{"a": 5}'.encode("utf-16"), ("must be UTF-8", "byte 0")),
        (b"[" * 100_000, ("nested",)),
        (b"[" * 100_000 + b"]" * 100_000, ("nested",)),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, ("nested",)),
        (b'{"a": ' + b"9" * 5000 + b"}", ("digits",)),
        (b'{"a": -' + b"9" * 5000 + b"}", ("digits",)),
    ],
    ids=short,
)
@pytest.mark.parametrize("operation", WRITES)
def test_a_body_that_is_no_json_is_refused(
    guarded: FlaskClient, operation: str, data: bytes, words: tuple[str, ...]
) -> None:
    message = refused(send_bytes(guarded, operation, data), *words)
    assert message.startswith("the body ")
    assert "sys." not in message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", ("must be JSON",)),
        (b"\xff", ("must be UTF-8",)),
        (b"NaN", ("must be JSON", "NaN")),
        (b"[" * 100_000, ("nested",)),
        (b'{"a": ' + b"9" * 5000 + b"}", ("digits",)),
        (b"5", (OBJECT,)),
        (b"[]", (OBJECT,)),
    ],
    ids=short,
)
def test_a_line_that_is_no_json_object_is_named(
    guarded: FlaskClient, line: bytes, words: tuple[str, ...]
) -> None:
    data = json.dumps(EVENT | {"id": "new"}).encode() + b"\n" + line
    answer = guarded.post(
        f"{BASE}/ingest/events?all_or_nothing=true",
        data=data,
        content_type="application/x-ndjson",
    )
    message = refused(answer, "nothing was stored: record 1: ", *words)
    assert "sys." not in message


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "json",
        "application/jsonx",
    ],
)
@pytest.mark.parametrize("operation", WRITES)
def test_another_content_type_is_refused(
    guarded: FlaskClient, operation: str, content_type: str
) -> None:
    _, _, body = WRITES[operation]
    data = json.dumps(body).encode()
    answer = send_bytes(guarded, operation, data, {"Content-Type": content_type})
    refused(answer, "Content-Type must be application/json", status=415)


@pytest.mark.parametrize("operation", WRITES)
def test_no_content_type_is_refused(guarded: FlaskClient, operation: str) -> None:
    method, path, body = WRITES[operation]
    answer = guarded.open(BASE + path, method=method, data=json.dumps(body))
    refused(answer, "Content-Type must be application/json", status=415)


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "x", "gzip, gzip", "gzip;q=1"])
@pytest.mark.parametrize("operation", WRITES)
def test_another_content_encoding_is_refused(
    guarded: FlaskClient, operation: str, encoding: str
) -> None:
    _, _, body = WRITES[operation]
    data = gzip.compress(json.dumps(body).encode())
    answer = send_bytes(guarded, operation, data, {"Content-Encoding": encoding})
    refused(answer, "Content-Encoding must be gzip", status=415)


@pytest.mark.parametrize("operation", WRITES)
def test_a_body_that_is_no_whole_gzip_is_refused(guarded: FlaskClient, operation: str) -> None:
    _, _, body = WRITES[operation]
    plain = json.dumps(body).encode()
    packed = gzip.compress(plain)
    wrong_checksum = packed[:-8] + bytes(byte ^ 255 for byte in packed[-8:-4]) + packed[-4:]
    for data in (
        b"",
        plain,
        packed[:-1],
        packed[:-8],
        packed[:10],
        packed + b"x",
        packed + gzip.compress(b" "),
        wrong_checksum,
    ):
        answer = send_bytes(guarded, operation, data, {"Content-Encoding": "gzip"})
        refused(answer, "gzip")


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"max_body": LIMIT}], ids=["limited"])
@pytest.mark.parametrize("operation", WRITES)
def test_a_body_over_the_limit_is_refused(client: FlaskClient, operation: str) -> None:
    _, _, body = WRITES[operation]
    plain = json.dumps(body).encode()
    too_large = plain + b" " * (LIMIT + 1 - len(plain))
    bomb = gzip.compress(plain + b" " * 10_000_000)[:LIMIT]
    noise = bytes(range(256)) * 8 + b"x"
    before = everything(client)
    answer = send_bytes(client, operation, too_large)
    refused(answer, f"must not be over {LIMIT} bytes", status=413)
    for data in (gzip.compress(too_large), bomb):
        answer = send_bytes(client, operation, data, {"Content-Encoding": "gzip"})
        refused(answer, f"must not unpack to over {LIMIT} bytes", status=413)
    answer = send_bytes(client, operation, noise, {"Content-Encoding": "gzip"})
    refused(answer, f"must not be over {LIMIT} bytes", status=413)
    assert everything(client) == before


@pytest.mark.parametrize("settings", [{"max_body": LIMIT}], ids=["limited"])
@pytest.mark.parametrize("operation", WRITES)
def test_a_body_at_the_limit_is_read(client: FlaskClient, operation: str) -> None:
    data = b"5" + b" " * (LIMIT - 1)
    refused(send_bytes(client, operation, data), OBJECT)
    packed = send_bytes(client, operation, gzip.compress(data), {"Content-Encoding": "gzip"})
    refused(packed, OBJECT)


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        BASE,
        f"{BASE}/",
        f"{BASE}/nothing",
        f"{BASE}/active-users/",
        f"{BASE}//active-users",
        f"/{BASE}/active-users",
        "/V1/analysis/active-users",
        "/active-users",
        f"{BASE}/users/ann",
        f"{BASE}/users/ann/behavior-histories/",
        f"{BASE}/users/behavior-histories",
        f"{BASE}/ingest",
        f"{BASE}/%00",
        f"{BASE}/\n",
        f"{BASE}/{'x' * 10_000}",
    ],
    ids=short,
)
def test_an_unknown_path_is_not_found(guarded: FlaskClient, path: str) -> None:
    for method in ("GET", "PUT", "POST", "DELETE", "OPTIONS", "BREW"):
        answer = guarded.open(path.replace("\n", "%0A"), method=method, json={})
        assert refused(answer, status=404) == "there is nothing at this path"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/user-behavior-day", {"PUT"}),
        ("/users/ann/behavior-histories", {"GET", "HEAD"}),
        ("/active-users", {"GET", "HEAD", "PUT"}),
        ("/metrics/aggregated", {"GET", "HEAD"}),
        ("/metrics/page-statistics", {"GET", "HEAD"}),
        ("/userinfo/aggregated", {"GET", "HEAD"}),
        ("/errors/internal-server-error", {"GET", "HEAD"}),
        ("/ingest/events", {"POST"}),
        ("/ingest/eventbridge", {"POST"}),
        ("/ingest/apilog", {"POST"}),
    ],
)
def test_another_method_is_told_those_that_are_allowed(
    guarded: FlaskClient, path: str, allowed: set[str]
) -> None:
    methods = {"GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"}
    for method in methods - allowed:
        answer = guarded.open(BASE + path, method=method)
        refused(answer, ", ".join(sorted(allowed)), status=405)
        assert set(answer.headers["Allow"].split(", ")) == allowed


def test_a_head_that_is_refused_has_no_body(guarded: FlaskClient) -> None:
    for path, status in {"/active-users": 400, "/nothing": 404, "/ingest/events": 405}.items():
        answer = guarded.head(BASE + path)
        assert (answer.status_code, answer.data) == (status, b"")
        assert answer.headers["Content-Type"] == "application/json"


def test_the_operation_that_always_fails_answers_with_an_error(guarded: FlaskClient) -> None:
    refused(guarded.get(f"{BASE}/errors/internal-server-error"), status=500)


def test_a_bug_is_an_error_that_tells_nothing_of_it(
    guarded: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the inside")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("app.analytics.active_user_counts.get_active_users", fail)
        answer = guarded.get(f"{BASE}/active-users", query_string=READS["/active-users"])
    assert "inside" not in refused(answer, "trace id", status=500)
    assert "the inside" in caplog.text
