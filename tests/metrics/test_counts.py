"""Counts of creations and of GetUserInfo calls by day: contract B.5 and B.9."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ..support.calls import BASE, NO_TENANT, client_like, get, ingest, utc

EVER = {"start_date": "1970-01-01", "end_date": "9999-12-31"}

Details = dict[str, int]


def created(type_: str, at: str, tenant: str | None = None, **rest: Any) -> dict[str, Any]:
    event = {"type": type_, "timestamp": utc(at), "user_id": "ann"} | rest
    return event if tenant is None else event | {"tenant_id": tenant}


def called(at: str, tenant: str | None = None, **rest: Any) -> dict[str, Any]:
    return created("userinfo", at, tenant, **rest)


def counts(client: FlaskClient, type_: str, **query: Any) -> dict[str, int]:
    answer = get(client, "/metrics/aggregated", metrics_type=type_, **(EVER | query))
    return {metric["date"]: metric["count"] for metric in answer["metrics"]}


def user_info(client: FlaskClient, **query: Any) -> dict[str, Details]:
    answer = get(client, "/userinfo/aggregated", **(EVER | query))
    return {metric["date"]: metric["details"] for metric in answer["metrics"]}


def user_info_with(client: FlaskClient, parameters: str) -> dict[str, Details]:
    path = f"{BASE}/userinfo/aggregated?start_date=2026-05-19&end_date=2026-05-19&{parameters}"
    (metric,) = client.get(path).get_json()["metrics"]
    return {metric["date"]: metric["details"]}


@pytest.mark.parametrize("type_", ["create_tenant", "create_saas_user"])
def test_creations_are_counted_by_day(client: FlaskClient, type_: str) -> None:
    ingest(client, created(type_, "2026-05-18", "acme"), created(type_, "2026-05-20", "acme"))
    ingest(client, created(type_, "2026-05-18", "beta"))
    assert get(client, "/metrics/aggregated", metrics_type=type_, **EVER) == {
        "metrics": [{"date": "2026-05-18", "count": 2}, {"date": "2026-05-20", "count": 1}]
    }


def test_created_tenant_users_come_with_details(client: FlaskClient) -> None:
    ingest(
        client,
        created("create_tenant_user", "2026-05-18", "acme"),
        created("create_tenant_user", "2026-05-18", "acme"),
        created("create_tenant_user", "2026-05-18", "会社"),
        created("create_tenant_user", "2026-05-19", "acme"),
    )
    assert get(client, "/metrics/aggregated", metrics_type="create_tenant_user", **EVER) == {
        "metrics": [
            {"date": "2026-05-18", "count": 3, "details": {"acme": 2, "会社": 1}},
            {"date": "2026-05-19", "count": 1, "details": {"acme": 1}},
        ]
    }


def test_calls_of_user_info_are_counted_by_day_and_tenant(client: FlaskClient) -> None:
    ingest(
        client,
        called("2026-05-18", "acme"),
        called("2026-05-18", "acme"),
        called("2026-05-18", "beta"),
        called("2026-05-19", "acme"),
    )
    assert get(client, "/userinfo/aggregated", **EVER) == {
        "metrics": [
            {"date": "2026-05-18", "details": {"acme": 2, "beta": 1}},
            {"date": "2026-05-19", "details": {"acme": 1}},
        ]
    }


def test_each_call_of_user_info_counts(client: FlaskClient) -> None:
    ingest(
        client,
        called("2026-05-19", "acme"),
        called("2026-05-19", "acme", env_id=3),
        called("2026-05-19", "acme", referer="/"),
        called("2026-05-19", "acme", env_id=3, referer="/"),
    )
    assert user_info(client) == {"2026-05-19": {"acme": 4}}


def test_the_types_are_counted_apart(client: FlaskClient) -> None:
    for type_ in ("create_tenant", "create_saas_user", "create_tenant_user", "userinfo"):
        ingest(client, created(type_, "2026-05-19", "acme"))
    for type_ in ("create_tenant", "create_saas_user", "create_tenant_user"):
        assert counts(client, type_) == {"2026-05-19": 1}
    assert user_info(client) == {"2026-05-19": {"acme": 1}}


def test_without_data_there_are_no_rows(client: FlaskClient) -> None:
    assert get(client, "/metrics/aggregated", metrics_type="create_tenant", **EVER) == {
        "metrics": []
    }
    assert get(client, "/userinfo/aggregated", **EVER) == {"metrics": []}


@pytest.mark.slow
def test_both_ends_are_included(client: FlaskClient) -> None:
    for day in range(15, 21):
        ingest(client, called(f"2026-05-{day}", "acme"))
        ingest(client, created("create_tenant", f"2026-05-{day}", "acme"))
    days = {"start_date": "2026-05-16", "end_date": "2026-05-18"}
    assert list(user_info(client, **days)) == ["2026-05-16", "2026-05-17", "2026-05-18"]
    assert list(counts(client, "create_tenant", **days)) == [*user_info(client, **days)]


def test_one_day_can_be_asked_for(client: FlaskClient) -> None:
    ingest(client, called("2026-05-18T23:59:59", "before"), called("2026-05-20", "after"))
    ingest(client, called("2026-05-19T00:00:00", "acme"), called("2026-05-19T23:59:59", "acme"))
    day = {"start_date": "2026-05-19", "end_date": "2026-05-19"}
    assert user_info(client, **day) == {"2026-05-19": {"acme": 2}}


def test_days_ascend(client: FlaskClient) -> None:
    for day in ("2026-01-01", "2025-12-31", "2026-05-19", "1970-01-01"):
        ingest(client, called(day, "acme"), created("create_saas_user", day))
    ascending = ["1970-01-01", "2025-12-31", "2026-01-01", "2026-05-19"]
    assert list(user_info(client)) == ascending
    assert list(counts(client, "create_saas_user")) == ascending


@pytest.mark.slow
@pytest.mark.parametrize(
    "parameters",
    [
        "tenant_ids=acme&tenant_ids=beta&tenant_ids=会社",
        "tenant_ids=acme,beta,会社",
        "tenant_ids=acme,beta&tenant_ids=会社",
        "tenant_ids=acme%2Cbeta%2C%E4%BC%9A%E7%A4%BE",
        "tenant_ids=acme,beta,acme&tenant_ids=会社,beta,nobody",
    ],
)
def test_tenant_ids_may_be_repeated_joined_by_commas_or_both(
    client: FlaskClient, parameters: str
) -> None:
    for tenant in ("acme", "beta", "会社", "gamma"):
        ingest(client, called("2026-05-19", tenant))
    assert user_info_with(client, parameters) == {"2026-05-19": {"acme": 1, "beta": 1, "会社": 1}}


def test_tenant_ids_restrict_the_calls_of_user_info(client: FlaskClient) -> None:
    ingest(client, called("2026-05-18", "acme"), called("2026-05-19", "beta"))
    assert user_info(client, tenant_ids="acme") == {"2026-05-18": {"acme": 1}}
    assert user_info(client, tenant_ids="Acme") == {}


def test_tenant_ids_restrict_the_tenants_created(client: FlaskClient) -> None:
    ingest(
        client,
        created("create_tenant", "2026-05-18", "acme"),
        created("create_tenant", "2026-05-18", "beta"),
        created("create_tenant", "2026-05-19", "beta"),
    )
    assert counts(client, "create_tenant", tenant_ids="acme") == {"2026-05-18": 1}


def test_tenant_ids_restrict_the_tenant_users_created(client: FlaskClient) -> None:
    for tenant in ("acme", "beta", "gamma"):
        ingest(client, created("create_tenant_user", "2026-05-19", tenant))
    query = EVER | {"metrics_type": "create_tenant_user", "tenant_ids": ["acme", "gamma"]}
    assert get(client, "/metrics/aggregated", **query)["metrics"] == [
        {"date": "2026-05-19", "count": 2, "details": {"acme": 1, "gamma": 1}}
    ]


@pytest.mark.parametrize("tenant", [None, "acme"])
def test_tenant_ids_are_ignored_for_saas_users(client: FlaskClient, tenant: str | None) -> None:
    ingest(client, created("create_saas_user", "2026-05-19", tenant))
    assert counts(client, "create_saas_user", tenant_ids="beta") == {"2026-05-19": 1}


def test_calls_without_a_tenant_count_under_the_all_zero_tenant(client: FlaskClient) -> None:
    ingest(client, called("2026-05-19"), called("2026-05-19", NO_TENANT))
    ingest(client, called("2026-05-19", "acme"))
    assert user_info(client) == {"2026-05-19": {NO_TENANT: 2, "acme": 1}}
    assert user_info(client, tenant_ids=NO_TENANT) == {"2026-05-19": {NO_TENANT: 2}}


def test_an_event_that_is_known_is_not_counted_again(client: FlaskClient) -> None:
    ingest(client, called("2026-05-19", "acme", id="e-1"))
    again = called("2026-05-20", "acme", id="e-1")
    answer = client.post(BASE + "/ingest/events", json=[again, again])
    assert answer.get_json()["duplicates"] == 2
    assert user_info(client) == {"2026-05-19": {"acme": 1}}


@pytest.mark.parametrize(
    ("settings", "at", "day"),
    [
        ({"time_zone": "UTC"}, "2026-05-19T23:59:59", "2026-05-19"),
        ({"time_zone": "Asia/Tokyo"}, "2026-05-19T14:59:59", "2026-05-19"),
        ({"time_zone": "Asia/Tokyo"}, "2026-05-19T15:00:00", "2026-05-20"),
        ({"time_zone": "America/New_York"}, "2026-05-19T03:59:59", "2026-05-18"),
        ({"time_zone": "America/New_York"}, "2026-05-19T04:00:00", "2026-05-19"),
        ({"time_zone": "Pacific/Kiritimati"}, "2026-05-18T10:00:00", "2026-05-19"),
    ],
)
def test_days_are_those_of_the_time_zone(client: FlaskClient, at: str, day: str) -> None:
    ingest(client, called(at, "acme"), created("create_tenant", at, "acme"))
    assert user_info(client) == {day: {"acme": 1}}
    assert counts(client, "create_tenant") == {day: 1}


@pytest.mark.parametrize("settings", [{"time_zone": "America/New_York"}])
def test_the_first_timestamp_counts_on_the_last_day_of_1969_in_the_west(
    client: FlaskClient,
) -> None:
    ingest(client, called("1970-01-01", "acme"))
    assert user_info(client, start_date="1969-12-31") == {"1969-12-31": {"acme": 1}}


def test_unknown_fields_and_parameters_are_ignored(client: FlaskClient) -> None:
    ingest(client, called("2026-05-19", "acme", browser={"name": "x"}))
    query = {"tenant_id": "beta", "limit": "0", "unknown": ["a", "b"]}
    assert user_info(client, **query) == {"2026-05-19": {"acme": 1}}
    assert counts(client, "create_tenant", **query) == {}


@pytest.mark.slow
def test_calls_told_at_once_are_all_counted(app: Flask, client: FlaskClient) -> None:
    begin = Barrier(4)

    def call_often(_: int) -> None:
        own = client_like(app, client)
        begin.wait()
        for _ in range(10):
            ingest(own, called("2026-05-19", "acme"), called("2026-05-19"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(call_often, range(4)))
    assert user_info(client) == {"2026-05-19": {NO_TENANT: 40, "acme": 40}}


@pytest.mark.slow
def test_an_event_told_twice_at_once_is_counted_once(app: Flask, client: FlaskClient) -> None:
    begin = Barrier(4)
    events = [called("2026-05-19", "acme", id=f"e-{number}") for number in range(20)]

    def tell(_: int) -> int:
        own = client_like(app, client)
        begin.wait()
        answers = [own.post(BASE + "/ingest/events", json=event) for event in events]
        return sum(answer.get_json()["accepted"] for answer in answers)

    with ThreadPoolExecutor(4) as pool:
        accepted = sum(pool.map(tell, range(4)))
    assert accepted == 20
    assert user_info(client) == {"2026-05-19": {"acme": 20}}
