"""The clock governs everything that knows time."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.days import MAX_TIMESTAMP
from app.double import Double, DoubleError

from ..conftest import NOW
from ..support.calls import BASE, get, ingest, utc
from ..support.signer import authorization


def test_a_frozen_clock_stands_and_a_moved_one_stands_elsewhere(d: Double) -> None:
    d.clock.freeze(NOW)
    assert d.clock.now() == NOW
    d.clock.move(60)
    assert d.clock.now() == NOW + 60
    d.clock.move(timedelta(days=-1))
    assert d.clock.now() == NOW + 60 - 86400
    d.clock.freeze("2026-05-19T11:22:58+09:00")
    assert d.clock.now() == NOW
    d.clock.freeze(datetime.fromtimestamp(NOW, UTC))
    assert d.clock.now() == NOW


def test_a_running_clock_keeps_its_distance(d: Double) -> None:
    d.clock.run(timedelta(days=-400))
    assert abs(d.clock.now() - (time.time() - 400 * 86400)) < 5
    d.clock.move(86400)
    assert d.state["clock"] == {"mode": "offset", "offset": -399 * 86400}
    d.clock.real()
    assert abs(d.clock.now() - time.time()) < 5
    d.clock.move(0)
    assert d.state["clock"] == {"mode": "real"}


@pytest.mark.parametrize("at", [0, MAX_TIMESTAMP])
def test_a_clock_stands_at_the_ends_of_time(client: FlaskClient, at: int) -> None:
    body = {"mode": "frozen", "at": at}
    assert client.put("/__double/clock", json=body).get_json() == body | {"now": at}
    answer = client.put("/__double/clock", json={"move": 1 if at else -1})
    assert answer.status_code == 400
    assert "the time of the clock must be from 0" in answer.get_json()["message"]
    assert client.get("/__double/clock").get_json()["now"] == at
    get(client, "/users/ann/behavior-histories")


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, 'must be {"mode": "real"}'),
        ({"mode": "stopped"}, "mode: must be one of real, frozen, offset"),
        ({"mode": "frozen"}, 'must be {"mode": "real"}'),
        ({"mode": "real", "at": 1}, 'must be {"mode": "real"}'),
        ({"mode": "offset", "offset": 1.5}, "offset: must be a whole number"),
        ({"mode": "frozen", "at": "2026-05-19T02:22:58"}, "at: must be UNIX seconds, or a time"),
        ({"mode": "frozen", "at": "0000-99-99"}, "at: must be UNIX seconds, or a time"),
        ({"mode": "frozen", "at": -1}, "at: must be from 0"),
        ({"mode": "frozen", "at": NOW * 1000}, "at: must be in seconds"),
        ({"mode": "frozen", "at": "0001-01-01T00:00:00+00:00"}, "at: must be from 0"),
        ({"move": "1h"}, "move: must be a whole number"),
        ({"move": 1, "mode": "real"}, 'must be {"mode": "real"}'),
        ({"move": 10**15}, "move: must be from"),
        ({"freeze": 1}, "freeze: is not known here"),
        ([], "must be an object"),
    ],
)
def test_a_bad_clock_is_refused_and_the_old_one_stays(
    client: FlaskClient, body: Any, place: str
) -> None:
    client.put("/__double/clock", json={"mode": "frozen", "at": NOW})
    answer = client.put("/__double/clock", json=body)
    assert answer.status_code == 400
    assert place in answer.get_json()["message"]
    assert client.get("/__double/clock").get_json()["now"] == NOW


@pytest.mark.parametrize("settings", [{"time_zone": "Europe/Berlin"}])
def test_the_month_of_histories_ends_today_by_the_clock(client: FlaskClient) -> None:
    """The first second of the first day and the last of today are in it, across a clock change."""
    first, last = utc("2026-02-26T23:00:00"), utc("2026-03-30T21:59:59")
    for at in (first - 1, first, last, last + 1):
        ingest(client, {"type": "userinfo", "user_id": "ann", "timestamp": at, "referer": f"/{at}"})
    client.put("/__double/clock", json={"mode": "frozen", "at": "2026-03-30T12:00:00+02:00"})
    days = get(client, "/users/ann/behavior-histories")["histories"]
    shown = [entry["timestamp"] for day in days for entry in day["histories"]]
    assert shown == [first, last]


def test_what_comes_without_a_time_gets_that_of_the_clock(d: Double) -> None:
    d.clock.freeze(NOW)
    d.events({"type": "create_tenant", "tenant_id": "acme"})
    assert d.state["events"][0]["timestamp"] == NOW


def test_the_journal_has_the_time_of_the_clock(client: FlaskClient) -> None:
    for at in (NOW, NOW - 10**6):
        client.put("/__double/clock", json={"mode": "frozen", "at": at})
        get(client, "/users/ann/behavior-histories")
    requests = client.get("/__double/requests").get_json()["requests"]
    assert [request["at"] for request in requests] == [NOW, NOW - 10**6]
    since = client.get(f"/__double/requests/count?since={NOW}").get_json()
    assert since == {"count": 1}


@pytest.mark.parametrize("settings", [{"double_auth": "strict"}])
def test_signatures_hold_by_the_clock(client: FlaskClient) -> None:
    client.put("/__double/clock", json={"mode": "frozen", "at": NOW})
    body = {"name": "sdk", "kind": "signature"}
    key = client.post("/__double/keys", json=body).get_json()
    path = f"{BASE}/users/ann/behavior-histories"
    for seconds, status in ((0, 200), (60, 200), (180, 401), (-180, 401)):
        header = authorization(key, at=NOW + seconds, method="GET", host="localhost", target=path)
        assert client.get(path, headers={"Authorization": header}).status_code == status


def test_moving_by_nothing_known_is_refused_in_python_too(d: Double) -> None:
    with pytest.raises(DoubleError, match="move: must be a whole number"):
        d.clock.move("1h")  # type: ignore[arg-type]
