"""A state holds everything: what is put back from it answers like what it was taken from."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config import load_settings
from app.double import application

from ..support.calls import BASE, utc
from ..support.examples import examples
from ..support.records import api_log, eventbridge, page

# Midnights around the change of clocks in Berlin, where the 29th has 23 hours, and other seconds.
MIDNIGHTS = [utc(f"2026-03-{time}:00") for time in ("28T18:30", "28T23:00", "29T00:00", "29T22:00")]
TIMES = [midnight + seconds for midnight in MIDNIGHTS for seconds in (-1, 0)]
LAST = max(TIMES)
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata")

times = st.sampled_from(TIMES)
users = st.sampled_from(("ann", "ユーザー"))
tenants = st.sampled_from(("acme", "beta"))
referers = st.sampled_from(("", "/a", "/a?x=1", "/b#c"))
ids = st.sampled_from(("1", "2", "3"))


def optional(**fields: Any) -> Any:
    return st.fixed_dictionaries({}, optional=fields)


events = st.one_of(
    st.builds(
        lambda more, **event: {"type": "userinfo", **event, **more},
        optional(tenant_id=tenants, env_id=st.integers(1, 2), referer=referers, id=ids),
        timestamp=times,
        user_id=users,
    ),
    st.builds(
        lambda type_, **event: {"type": type_, **event},
        st.sampled_from(("create_tenant", "create_tenant_user", "create_saas_user")),
        timestamp=times,
        user_id=users,
        tenant_id=tenants,
    ),
)
days = st.builds(
    lambda at, user, offsets: {
        "timestamp": at,
        "user_id": user,
        "histories": [{"timestamp": at, "referer": f"/{offset}"} for offset in offsets],
    },
    times,
    users,
    st.lists(st.integers(0, 3), max_size=2),
)
numbers = st.builds(
    lambda day, **number: {"type": "daily", "date": f"2026-03-{day}", **number},
    st.integers(28, 30),
    tenant_id=tenants,
    env_id=st.integers(1, 2),
    active_users=st.integers(0, 9),
)
calls = st.one_of(
    st.tuples(st.just("POST"), st.just("/ingest/events"), st.lists(events, min_size=1, max_size=8)),
    st.tuples(st.just("PUT"), st.just("/user-behavior-day"), days),
    st.tuples(st.just("PUT"), st.just("/active-users"), numbers),
    st.tuples(
        st.just("POST"),
        st.just("/ingest/eventbridge"),
        st.builds(
            lambda id_, log_id: eventbridge("create_tenant", id=id_, log={"log_id": log_id}),
            ids,
            ids,
        ),
    ),
    st.tuples(
        st.just("POST"),
        st.just("/ingest/apilog"),
        st.builds(lambda id_: page(api_log(id=id_)), ids),
    ),
)

READS = (
    "/users/ann/behavior-histories",
    "/users/%E3%83%A6%E3%83%BC%E3%82%B6%E3%83%BC/behavior-histories",
    "/users/user-a/behavior-histories",
    "/active-users?type=daily&date_from=2026-01-01",
    "/active-users?type=monthly&date_from=2026-01",
    "/userinfo/aggregated?start_date=2026-01-01&end_date=2026-12-31",
    f"/metrics/page-statistics?start_timestamp=0&end_timestamp={LAST}",
    *(
        f"/metrics/aggregated?metrics_type={type_}&start_date=2026-01-01&end_date=2026-12-31"
        for type_ in ("create_tenant", "create_saas_user", "create_tenant_user")
    ),
)


@contextmanager
def made(zone: str) -> Iterator[FlaskClient]:
    given = {"time_zone": zone, "accept_ahead": 100}  # the platform's records are of May
    app = application.make_double(load_settings(given, {}))
    client = app.test_client()
    client.put("/__double/clock", json={"mode": "frozen", "at": LAST})
    yield client
    application.close(app)


def do(client: FlaskClient, written: list[tuple[str, str, Any]]) -> list[Any]:
    answers = []
    for method, path, body in written:
        answer = client.open(BASE + path, method=method, json=body)
        assert answer.status_code == 200, answer.text
        answers.append(answer.data)
    return answers


def answers(client: FlaskClient) -> list[bytes]:
    return [bytes(client.get(BASE + path).data) for path in READS]


@pytest.mark.slow
@settings(max_examples=examples(60))
@given(
    st.sampled_from(ZONES), st.lists(calls, min_size=1, max_size=12), st.lists(calls, max_size=4)
)
def test_a_state_that_is_put_back_answers_the_same_and_goes_on_the_same(
    zone: str, before: list[tuple[str, str, Any]], after: list[tuple[str, str, Any]]
) -> None:
    with made(zone) as first, made("Asia/Tokyo") as second, made(zone) as third:
        do(first, before)
        state = first.get("/__double/state").data
        assert second.put("/__double/state", json=json.loads(state)).status_code == 200
        assert third.post("/__double/state", json=without_settings(state)).status_code == 200
        for other in (second, third):
            assert other.get("/__double/state").data == state
            assert answers(other) == answers(first)
        told = do(first, after)
        for other in (second, third):
            assert do(other, after) == told
            assert other.get("/__double/state").data == first.get("/__double/state").data
            assert answers(other) == answers(first)


def without_settings(state: bytes) -> Any:
    document = json.loads(state)
    del document["settings"]
    return document
