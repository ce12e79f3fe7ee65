"""Active users: contract B.4 and B.9."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ..conftest import SetClock
from ..support.calls import BASE, NO_TENANT, client_like, get, ingest, put, utc

MOST = 2**63 - 1

Row = tuple[str, str, int, int]


def put_number(
    client: FlaskClient, date: str, number: int, *, tenant: str = "acme", env: int = 3
) -> None:
    type_ = "daily" if len(date) == len("YYYY-MM-DD") else "monthly"
    body = {"type": type_, "date": date, "tenant_id": tenant, "env_id": env}
    put(client, "/active-users", body | {"active_users": number})


def call(user: str, at: str, **rest: Any) -> dict[str, Any]:
    place = {"tenant_id": "acme", "env_id": 3}
    return {"type": "userinfo", "user_id": user, "timestamp": utc(at)} | place | rest


def call_nowhere(user: str, at: str, **rest: Any) -> dict[str, Any]:
    return {"type": "userinfo", "user_id": user, "timestamp": utc(at)} | rest


def rows(client: FlaskClient, type_: str = "daily", **query: Any) -> list[Row]:
    if "date_from" not in query:
        query["date_from"] = {"daily": "0001-01-01", "monthly": "0001-01"}[type_]
    answer = get(client, "/active-users", type=type_, **query)
    return [
        (row["date"], row["tenant_id"], row["env_id"], row["active_users"])
        for row in answer["data"]
    ]


def dates(client: FlaskClient, type_: str = "daily", **query: Any) -> list[str]:
    return [row[0] for row in rows(client, type_, **query)]


def test_a_number_that_was_put_is_answered(client: FlaskClient) -> None:
    put_number(client, "2026-05-19", 7)
    assert get(client, "/active-users", type="daily", date_from="2026-05-19") == {
        "data": [{"date": "2026-05-19", "tenant_id": "acme", "env_id": 3, "active_users": 7}]
    }


def test_without_data_there_are_no_rows(client: FlaskClient) -> None:
    assert get(client, "/active-users", type="daily", date_from="2026-05-19") == {"data": []}


def test_a_put_replaces_the_number(client: FlaskClient) -> None:
    put_number(client, "2026-05-19", 7)
    put_number(client, "2026-05-19", 5)
    assert rows(client) == [("2026-05-19", "acme", 3, 5)]


@pytest.mark.slow
def test_the_same_put_again_changes_nothing(client: FlaskClient) -> None:
    put_number(client, "2026-05-19", 7)
    put_number(client, "2026-05-19", 7)
    assert rows(client) == [("2026-05-19", "acme", 3, 7)]


@pytest.mark.parametrize("number", [0, 1, MOST])
def test_any_number_from_0_can_be_put(client: FlaskClient, number: int) -> None:
    put_number(client, "2026-05-19", number)
    assert rows(client) == [("2026-05-19", "acme", 3, number)]


@pytest.mark.parametrize("date", ["0001-01-01", "1969-12-31", "2024-02-29", "9999-12-31"])
def test_any_day_can_be_put(client: FlaskClient, date: str) -> None:
    put_number(client, date, 1)
    assert dates(client, date_from=date, date_to=date) == [date]


@pytest.mark.parametrize("date", ["0001-01", "1969-12", "2024-02", "9999-12"])
def test_any_month_can_be_put(client: FlaskClient, date: str) -> None:
    put_number(client, date, 1)
    assert dates(client, "monthly", date_from=date, date_to=date) == [date]


def test_days_and_months_stand_apart(client: FlaskClient) -> None:
    put_number(client, "2026-05-01", 1)
    put_number(client, "2026-05", 2)
    assert rows(client, "daily") == [("2026-05-01", "acme", 3, 1)]
    assert rows(client, "monthly") == [("2026-05", "acme", 3, 2)]


def test_the_computed_number_is_of_distinct_users(client: FlaskClient) -> None:
    ingest(
        client,
        call("ann", "2026-05-19T00:00:00"),
        call("ann", "2026-05-19T23:59:59"),
        call("bob", "2026-05-19T12:00:00"),
    )
    ingest(client, call("ann", "2026-05-19T00:00:00"))
    assert rows(client) == [("2026-05-19", "acme", 3, 2)]


def test_a_user_counts_on_each_day_and_once_a_month(client: FlaskClient) -> None:
    ingest(client, *(call("ann", f"2026-05-{day}") for day in (18, 19, 20)))
    assert [row[3] for row in rows(client, "daily")] == [1, 1, 1]
    assert rows(client, "monthly") == [("2026-05", "acme", 3, 1)]


def test_a_user_counts_in_each_tenant_and_environment(client: FlaskClient) -> None:
    ingest(
        client,
        call("ann", "2026-05-19"),
        call("ann", "2026-05-19", env_id=1),
        call("ann", "2026-05-19", tenant_id="beta"),
    )
    assert rows(client) == [
        ("2026-05-19", "acme", 1, 1),
        ("2026-05-19", "acme", 3, 1),
        ("2026-05-19", "beta", 3, 1),
    ]


def test_a_call_without_a_tenant_counts_under_the_all_zero_tenant(client: FlaskClient) -> None:
    ingest(client, call_nowhere("ann", "2026-05-19", env_id=1))
    ingest(client, call("ann", "2026-05-19", env_id=1, tenant_id=NO_TENANT))
    assert rows(client) == [("2026-05-19", NO_TENANT, 1, 1)]


@pytest.mark.slow
def test_a_call_without_an_environment_has_no_row(client: FlaskClient) -> None:
    ingest(client, call_nowhere("ann", "2026-05-19", tenant_id="acme"))
    assert rows(client) == []


@pytest.mark.parametrize("type_", ["create_tenant", "create_saas_user", "create_tenant_user"])
def test_creations_make_nobody_active(client: FlaskClient, type_: str) -> None:
    ingest(client, call("ann", "2026-05-19") | {"type": type_})
    assert rows(client) == []


def test_a_number_that_was_put_wins_over_the_computed_one(client: FlaskClient) -> None:
    ingest(client, call("ann", "2026-05-19"))
    put_number(client, "2026-05-19", 40)
    ingest(client, call("bob", "2026-05-19"))
    assert rows(client) == [("2026-05-19", "acme", 3, 40)]


def test_a_0_that_was_put_wins_over_the_computed_number(client: FlaskClient) -> None:
    ingest(client, call("ann", "2026-05-19"))
    put_number(client, "2026-05-19", 0)
    assert rows(client) == [("2026-05-19", "acme", 3, 0)]


def test_computing_goes_on_beside_a_number_that_was_put(client: FlaskClient) -> None:
    put_number(client, "2026-05-19", 40)
    for user in ("ann", "bob"):
        ingest(
            client,
            call(user, "2026-05-19"),
            call(user, "2026-05-19", env_id=1),
            call(user, "2026-05-20"),
        )
    assert rows(client) == [
        ("2026-05-19", "acme", 1, 2),
        ("2026-05-19", "acme", 3, 40),
        ("2026-05-20", "acme", 3, 2),
    ]
    assert rows(client, "monthly") == [("2026-05", "acme", 1, 2), ("2026-05", "acme", 3, 2)]


def test_both_ends_are_included(client: FlaskClient) -> None:
    for day in range(17, 22):
        put_number(client, f"2026-05-{day}", day)
    found = dates(client, date_from="2026-05-18", date_to="2026-05-20")
    assert found == ["2026-05-18", "2026-05-19", "2026-05-20"]
    assert dates(client, date_from="2026-05-19", date_to="2026-05-19") == ["2026-05-19"]


def test_both_months_at_the_ends_are_included(client: FlaskClient) -> None:
    for month in ("2025-11", "2025-12", "2026-01", "2026-02"):
        put_number(client, month, 1)
    found = dates(client, "monthly", date_from="2025-12", date_to="2026-01")
    assert found == ["2025-12", "2026-01"]


def test_without_date_to_there_is_no_end(client: FlaskClient) -> None:
    for date in ("2026-05-18", "2026-05-19", "9999-12-31"):
        put_number(client, date, 1)
    assert dates(client, date_from="2026-05-19") == ["2026-05-19", "9999-12-31"]


def test_rows_are_sorted_by_date_then_tenant_then_environment(client: FlaskClient) -> None:
    in_order = [
        ("2025-12-31", "zeta", 3),
        ("2026-01-01", NO_TENANT, 1),
        ("2026-01-01", "Acme", 1),
        ("2026-01-01", "acme", 2),
        ("2026-01-01", "acme", 10),
        ("2026-01-01", "acme-2", 1),
        ("2026-01-01", "é", 1),
        ("2026-01-01", "会社", 1),
        ("2026-01-01", "\uff9e", 1),
        ("2026-01-01", "\U0001f600", 1),
        ("2026-01-02", "acme", 1),
    ]
    for date, tenant, env in reversed(in_order):
        put_number(client, date, 1, tenant=tenant, env=env)
    assert [row[:3] for row in rows(client)] == in_order


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [("acme", 0), ("acme", 3), ("beta", 3)]),
        ({"tenant_id": "acme"}, [("acme", 0), ("acme", 3)]),
        ({"tenant_id": "acme", "env_id": "3"}, [("acme", 3)]),
        ({"tenant_id": "acme", "env_id": "0"}, [("acme", 0)]),
        ({"tenant_id": "acme", "env_id": "7"}, []),
        ({"tenant_id": "Acme"}, []),
        ({"tenant_id": "gamma"}, []),
    ],
)
def test_rows_can_be_restricted_to_a_tenant_and_an_environment(
    client: FlaskClient, query: dict[str, str], expected: list[tuple[str, int]]
) -> None:
    for tenant, env in (("acme", 0), ("acme", 3), ("beta", 3)):
        put_number(client, "2026-05-19", 1, tenant=tenant, env=env)
    assert [row[1:3] for row in rows(client, **query)] == expected


@pytest.mark.slow
def test_an_environment_needs_its_tenant(client: FlaskClient) -> None:
    query = {"type": "daily", "date_from": "2026-05-19", "env_id": 3}
    answer = client.get(BASE + "/active-users", query_string=query)
    assert answer.status_code == 400
    assert answer.get_json() == {
        "type": "invalid_request",
        "message": "env_id: needs tenant_id as well",
    }


def test_the_largest_environment_can_be_asked_for(client: FlaskClient) -> None:
    put_number(client, "2026-05-19", 1, env=MOST)
    assert rows(client, tenant_id="acme", env_id=MOST) == [("2026-05-19", "acme", MOST, 1)]


@pytest.mark.parametrize(
    ("type_", "date"),
    [
        ("daily", "2026-05"),
        ("daily", "2026-05-32"),
        ("daily", "2026-02-29"),
        ("monthly", "2026-05-19"),
        ("monthly", "2026-13"),
        ("weekly", "2026-05-19"),
    ],
)
def test_a_date_that_does_not_fit_its_type_is_refused(
    client: FlaskClient, type_: str, date: str
) -> None:
    body = {"type": type_, "date": date, "tenant_id": "acme", "env_id": 3, "active_users": 1}
    assert client.put(BASE + "/active-users", json=body).status_code == 400
    query = {"type": type_, "date_from": date}
    assert client.get(BASE + "/active-users", query_string=query).status_code == 400
    assert rows(client, "daily") == rows(client, "monthly") == []


@pytest.mark.parametrize(
    ("settings", "at", "day"),
    [
        ({"time_zone": "UTC"}, "2026-04-30T23:59:59", "2026-04-30"),
        ({"time_zone": "UTC"}, "2026-05-01T00:00:00", "2026-05-01"),
        ({"time_zone": "Asia/Tokyo"}, "2026-04-30T14:59:59", "2026-04-30"),
        ({"time_zone": "Asia/Tokyo"}, "2026-04-30T15:00:00", "2026-05-01"),
        ({"time_zone": "America/New_York"}, "2026-05-01T03:59:59", "2026-04-30"),
        ({"time_zone": "America/New_York"}, "2026-05-01T04:00:00", "2026-05-01"),
    ],
)
def test_days_and_months_are_those_of_the_time_zone(client: FlaskClient, at: str, day: str) -> None:
    ingest(client, call("ann", at))
    assert dates(client, "daily") == [day]
    assert dates(client, "monthly") == [day[:7]]


def test_unknown_fields_and_parameters_are_ignored(client: FlaskClient) -> None:
    body = {"type": "daily", "date": "2026-05-19", "tenant_id": "acme", "env_id": 3}
    put(client, "/active-users?force=1", body | {"active_users": 1, "note": ["x"], "users": None})
    assert rows(client, limit="0", unknown=["a", "b"]) == [("2026-05-19", "acme", 3, 1)]


def test_the_answer_to_a_put_is_empty_and_claims_no_type(client: FlaskClient) -> None:
    body = {"type": "daily", "date": "2026-05-19", "tenant_id": "acme", "env_id": 3}
    answer = client.put(BASE + "/active-users", json=body | {"active_users": 1})
    assert (answer.status_code, answer.data) == (200, b"")
    assert "Content-Type" not in answer.headers


def test_an_event_without_a_time_counts_now(client: FlaskClient, clock: SetClock) -> None:
    clock.timestamp = utc("2026-05-19T23:59:59")
    event = call("ann", "2026-05-19")
    del event["timestamp"]
    ingest(client, event)
    assert dates(client) == ["2026-05-19"]


@pytest.mark.slow
def test_puts_and_calls_at_once_are_all_counted(app: Flask, client: FlaskClient) -> None:
    begin = Barrier(4)

    def call_and_put(first: int) -> None:
        own = client_like(app, client)
        begin.wait()
        for number in range(first, first + 10):
            ingest(own, call("shared", "2026-05-19"), call(f"user-{number}", "2026-05-19"))
            put_number(own, "2026-05-19", 1000 + first, env=1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(call_and_put, (0, 10, 20, 30)))
    (put_row, computed_row) = rows(client)
    assert put_row[3] in (1000, 1010, 1020, 1030)
    assert computed_row == ("2026-05-19", "acme", 3, 41)
