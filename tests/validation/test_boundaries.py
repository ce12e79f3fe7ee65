"""The last values that are accepted, and the forms that a body may have."""

import gzip
import json
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from ..conftest import NOW
from ..support.reading import histories
from ..support.refusals import (
    ACTIVE_BODY,
    BASE,
    DAY_BODY,
    EVENT,
    LARGEST,
    LAST_SECOND,
    READS,
    WRITES,
    send,
    send_bytes,
    short,
)


@pytest.fixture
def settings() -> dict[str, Any]:
    """Take in what is of any time."""
    return {"accept_ahead": 3_000_000}


ACCEPTED_IDS = [
    "x" * 128,
    "😀" * 128,
    "👩‍👩‍👧‍👦",
    "e\u0301",
    "利用者",
    "مستخدم",
    "a b",
    "a/b",
    "a//b",
    "/",
    "..",
    "a%2Fb",
    "a?b#c",
    "a,b;c",
    "'; drop table user; --",
    "\u00a0",
    "\ufeff",
    "\ufffd",
    "0",
    "null",
]


@pytest.mark.parametrize("user_id", ACCEPTED_IDS, ids=short)
def test_an_id_may_be_any_printable_text(client: FlaskClient, user_id: str) -> None:
    answer = send(client, "UpdateUserBehaviorHistoriesByDay", DAY_BODY | {"user_id": user_id})
    assert (answer.status_code, answer.data) == (200, b"")
    assert histories(client, quote(user_id, safe="")) == [(NOW, "/home"), (NOW, "/away")]
    answer = send(client, "UpdateActiveUsers", ACTIVE_BODY | {"tenant_id": user_id})
    assert (answer.status_code, answer.data) == (200, b"")
    query = {"type": "daily", "date_from": "2026-05-19", "tenant_id": user_id, "env_id": "3"}
    told = client.get(f"{BASE}/active-users", query_string=query).get_json()
    assert told == {
        "data": [
            {"date": "2026-05-19", "tenant_id": user_id, "env_id": 3, "active_users": 7},
        ]
    }


@pytest.mark.parametrize("env_id", [0, 1, LARGEST])
@pytest.mark.parametrize("number", [0, LARGEST])
def test_the_least_and_the_largest_number_are_kept(
    client: FlaskClient, env_id: int, number: int
) -> None:
    body = ACTIVE_BODY | {"env_id": env_id, "active_users": number}
    assert send(client, "UpdateActiveUsers", body).status_code == 200
    query = {"type": "daily", "date_from": "2026-05-19", "tenant_id": "acme", "env_id": env_id}
    told = client.get(f"{BASE}/active-users", query_string=query).get_json()
    assert [(row["env_id"], row["active_users"]) for row in told["data"]] == [(env_id, number)]


@pytest.mark.parametrize("timestamp", [0, LAST_SECOND])
def test_the_first_and_the_last_second_are_kept(client: FlaskClient, timestamp: int) -> None:
    body = DAY_BODY | {
        "timestamp": timestamp,
        "histories": [{"timestamp": timestamp, "referer": ""}],
    }
    assert send(client, "UpdateUserBehaviorHistoriesByDay", body).status_code == 200
    event = EVENT | {"timestamp": timestamp}
    assert send(client, "IngestEvents", event).status_code == 200
    query = {"start_timestamp": timestamp, "end_timestamp": timestamp}
    told = client.get(f"{BASE}/metrics/page-statistics", query_string=query).get_json()
    assert (told["start_date"], told["end_date"]) == (timestamp, timestamp)
    assert told["total_page_views"] == 2


def test_the_first_and_the_last_date_are_kept(client: FlaskClient) -> None:
    for type_, dates in {
        "daily": [
            "0001-01-01",
            "1900-02-28",
            "1969-12-31",
            "1970-01-01",
            "2024-02-29",
            "9999-12-31",
        ],
        "monthly": ["0001-01", "0999-12", "1969-12", "1970-01", "9999-12"],
    }.items():
        for date in dates:
            body = ACTIVE_BODY | {"type": type_, "date": date}
            assert send(client, "UpdateActiveUsers", body).status_code == 200
        query = {"type": type_, "date_from": dates[0], "date_to": dates[-1]}
        told = client.get(f"{BASE}/active-users", query_string=query).get_json()
        assert [row["date"] for row in told["data"]] == dates


@pytest.mark.slow
@pytest.mark.parametrize("length", [0, 8192])
def test_the_shortest_and_the_longest_referer_are_kept(client: FlaskClient, length: int) -> None:
    referer = "x" * length
    body = DAY_BODY | {"histories": [{"timestamp": NOW, "referer": referer}]}
    assert send(client, "UpdateUserBehaviorHistoriesByDay", body).status_code == 200
    assert histories(client, "ann") == [(NOW, referer)]


def test_a_day_may_be_emptied(client: FlaskClient) -> None:
    assert send(client, "UpdateUserBehaviorHistoriesByDay", DAY_BODY).status_code == 200
    empty = DAY_BODY | {"histories": []}
    assert send(client, "UpdateUserBehaviorHistoriesByDay", empty).status_code == 200
    assert histories(client, "ann") == []


@pytest.mark.parametrize("operation", WRITES)
def test_a_byte_order_mark_a_charset_and_gzip_are_read(client: FlaskClient, operation: str) -> None:
    _, _, body = WRITES[operation]
    data = b"\xef\xbb\xbf" + json.dumps(body).encode()
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert send_bytes(client, operation, data, headers).status_code == 200
    packed = headers | {"Content-Encoding": "gzip"}
    assert send_bytes(client, operation, gzip.compress(data), packed).status_code == 200
    upper = headers | {"Content-Type": "Application/JSON", "Content-Encoding": "GZIP"}
    assert send_bytes(client, operation, gzip.compress(data), upper).status_code == 200


def test_lines_may_begin_with_a_byte_order_mark_and_end_in_any_way(client: FlaskClient) -> None:
    line = json.dumps({"type": "create_tenant", "tenant_id": "acme"}).encode()
    data = b"\xef\xbb\xbf" + line + b"\r\n\n" + line
    answer = client.post(f"{BASE}/ingest/events", data=data, content_type="application/x-ndjson")
    assert answer.get_json() == {"accepted": 2, "duplicates": 0, "ignored": 0, "refused": []}


def test_what_the_description_does_not_know_is_ignored(client: FlaskClient) -> None:
    unknown = {"unknown": [{"deep": None}], "Timestamp": "x"}
    assert send(client, "UpdateActiveUsers", ACTIVE_BODY | unknown).status_code == 200
    assert send(client, "IngestEvents", EVENT | unknown).status_code == 200
    body = DAY_BODY | unknown | {"histories": [DAY_BODY["histories"][0] | unknown]}
    assert send(client, "UpdateUserBehaviorHistoriesByDay", body).status_code == 200
    for path, query in READS.items():
        pairs = [*query.items(), ("unknown", "a"), ("unknown", "b"), ("", "")]
        assert client.get(BASE + path, query_string=pairs).status_code == 200
