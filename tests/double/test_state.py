"""State, seed and snapshots."""

import json
from threading import Event, Thread
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.config import load_settings
from app.double import Double, DoubleError, application
from app.double.namespaces import SNAPSHOTS

from ..conftest import NOW
from ..support.calls import BASE, get, ingest, put, utc
from ..support.records import api_log, eventbridge, page
from .conftest import DAY, NUMBER, VISIT


def state(client: FlaskClient) -> bytes:
    answer = client.get("/__double/state")
    assert answer.status_code == 200
    return bytes(answer.data)


def control(client: FlaskClient, method: str, path: str, document: Any = None) -> Any:
    answer = client.open(f"/__double{path}", method=method, json=document)
    assert answer.status_code == 200, answer.text
    return answer.get_json(silent=True)


def test_the_state_is_readable_and_has_a_line_for_each_record(client: FlaskClient) -> None:
    control(client, "PUT", "/clock", {"mode": "frozen", "at": NOW})
    ingest(client, VISIT, {"type": "create_tenant", "tenant_id": "ビーム", "id": "e-1"})
    put(client, "/user-behavior-day", DAY)
    put(client, "/active-users", NUMBER)
    assert state(client).decode() == (
        "{\n"
        '  "version": 1,\n'
        '  "settings": {"time_zone": "UTC", "keep_query": "off", "collapse_ids": "off"},\n'
        f'  "clock": {{"mode": "frozen", "at": {NOW}}},\n'
        '  "events": [\n'
        f'    {{"type": "userinfo", "timestamp": {NOW}, "user_id": "ann", "tenant_id": "acme", '
        '"env_id": 3, "referer": "/home"},\n'
        f'    {{"type": "create_tenant", "timestamp": {NOW}, "tenant_id": "ビーム", "id": "e-1"}}\n'
        "  ],\n"
        '  "histories": [\n'
        f'    {{"user_id": "bob", "timestamp": {utc("2026-05-19")}, "histories": '
        f'[{{"timestamp": {NOW}, "referer": "/x"}}]}}\n'
        "  ],\n"
        '  "active_users": [\n'
        '    {"type": "daily", "date": "2026-05-19", "tenant_id": "acme", "env_id": 3, '
        '"active_users": 5}\n'
        "  ]\n"
        "}\n"
    )


def test_an_empty_double_has_an_empty_state(client: FlaskClient) -> None:
    assert json.loads(state(client)) == {
        "version": 1,
        "settings": {"time_zone": "UTC", "keep_query": "off", "collapse_ids": "off"},
        "clock": {"mode": "real"},
        "events": [],
        "histories": [],
        "active_users": [],
    }


def test_a_day_that_was_put_over_events_stands_among_the_histories(client: FlaskClient) -> None:
    ingest(client, VISIT, VISIT | {"timestamp": NOW + 86400})
    put(client, "/user-behavior-day", DAY | {"user_id": "ann", "histories": []})
    before = state(client)
    assert json.loads(before)["histories"] == [
        {"user_id": "ann", "timestamp": utc("2026-05-19"), "histories": []}
    ]
    control(client, "PUT", "/state", json.loads(before))
    assert state(client) == before


def test_events_of_the_platform_are_known_again_after_their_state_was_restored(
    client: FlaskClient,
) -> None:
    feeds: list[tuple[str, Any]] = [
        ("eventbridge", eventbridge("create_tenant")),
        ("apilog", page(api_log(id="other"))),
        ("events", [{"type": "create_tenant", "tenant_id": "t", "id": "mine"}]),
    ]
    for path, body in feeds:
        assert client.post(f"{BASE}/ingest/{path}", json=body).get_json()["accepted"] == 1
    before = state(client)
    control(client, "PUT", "/state", json.loads(before))
    assert state(client) == before
    for path, body in feeds:
        assert client.post(f"{BASE}/ingest/{path}", json=body).get_json()["duplicates"] == 1
    assert state(client) == before


@pytest.mark.slow
def test_the_same_calls_give_the_same_bytes(settings: dict[str, Any]) -> None:
    documents = []
    for _ in range(2):
        app = application.make_double(load_settings(settings, {}))
        client = app.test_client()
        control(client, "PUT", "/clock", {"mode": "frozen", "at": NOW})
        control(client, "POST", "/faults", {"path": "*", "probability": 0.5, "status": 503})
        for number in range(20):
            client.put(f"{BASE}/active-users", json=NUMBER | {"active_users": number})
            client.post(f"{BASE}/ingest/events", json=[VISIT | {"timestamp": NOW - number}, {}])
            client.get(f"{BASE}/active-users?type=daily&date_from=bad")
        documents.append((state(client), client.get("/__double/requests").data))
        application.close(app)
    assert documents[0] == documents[1]
    assert b"503" in documents[0][1]


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"event": []}, "event: is not known here"),
        ({"\ud800": []}, "\\ud800: is not known here"),
        ({"settings": {"\ud800": 1}}, "settings: \\ud800 is not known"),
        ({"two\nlines": []}, "two\\nlines: is not known here"),
        ({"version": 2}, "version: must be from 1 to 1"),
        ({"events": {}}, "events: "),
        ({"events": [VISIT, 3]}, "events[1]: must be an object"),
        ({"events": [VISIT, VISIT | {"type": "visit"}]}, "events[1].type: must be one of"),
        ({"events": [{"type": "userinfo"}]}, "events[0].user_id: is required"),
        ({"events": [VISIT | {"places": [{}]}]}, "events[0].places: must be a list"),
        ({"events": [VISIT | {"source": "mail", "id": "1"}]}, "events[0].source: must be one of"),
        ({"histories": [DAY, {}]}, "histories[1].timestamp: is required"),
        ({"histories": [DAY | {"histories": [{}]}]}, "histories[0].histories[0].timestamp: is req"),
        (
            {"histories": [DAY | {"histories": [{"timestamp": 1, "referer": ""}]}]},
            "histories[0].histories[0].timestamp: must be in the day",
        ),
        ({"active_users": [NUMBER, NUMBER | {"env_id": -1}]}, "active_users[1].env_id: must be"),
        ({"active_users": [NUMBER | {"date": "2026-02-30"}]}, "active_users[0].date: must be a da"),
        ({"clock": {"mode": "frozen"}}, "clock: must be"),
        ({"clock": {"mode": "frozen", "at": "noon"}}, "clock: must be UNIX seconds, or"),
        ({"settings": {"time_zone": "Mars/Base"}}, "settings: time_zone: "),
        ({"settings": {"keep_query": None}}, "settings: keep_query: must be one of on, off"),
        ({"settings": {"port": 1}}, "settings: port is not known"),
        ("state", "must be an object"),
        ([VISIT, {"type": "x"}], "events[1].type: must be one of"),
    ],
)
@pytest.mark.parametrize("path", ["/state", "/seed"])
def test_a_bad_state_is_refused_by_its_place_and_changes_nothing(
    client: FlaskClient, path: str, document: Any, place: str
) -> None:
    put(client, "/active-users", NUMBER)
    before = state(client)
    answer = client.put(f"/__double{path}", json=document)
    assert answer.status_code == 400
    assert place in answer.get_json()["message"]
    assert state(client) == before
    control(client, "POST", "/reset")
    assert json.loads(state(client))["active_users"] == []


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {"Content-Type": "application/json"}, 400),
        (b'{"version": NaN}', {"Content-Type": "application/json"}, 400),
        (b"null", {"Content-Type": "application/json"}, 400),
        (b"[" * 100_000, {"Content-Type": "application/json"}, 400),
        (b"", {"Content-Type": "application/json"}, 400),
        (b"{}", {}, 415),
    ],
)
def test_a_state_that_is_no_json_is_refused(
    client: FlaskClient, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = client.put("/__double/state", data=body, headers=headers)
    assert answer.status_code == status
    assert answer.get_json().keys() == {"type", "message"}


def test_all_that_is_wrong_with_a_state_is_told(client: FlaskClient) -> None:
    answer = client.put("/__double/state", json={"events": [{"type": "x"}, {"timestamp": -1}]})
    assert [line.split(":")[0] for line in answer.get_json()["message"].split("; ")] == [
        "events[0].type",
        "events[1].type",
        "events[1].timestamp",
    ]


def test_a_state_is_in_its_own_time_zone(client: FlaskClient) -> None:
    midnight = utc("2026-05-18T15:00:00")  # in Tokyo
    events = [VISIT | {"timestamp": midnight - 1}, VISIT | {"timestamp": midnight}]
    control(client, "PUT", "/state", {"settings": {"time_zone": "Asia/Tokyo"}, "events": events})
    days = get(client, "/active-users", type="daily", date_from="2026-01-01")["data"]
    assert [day["date"] for day in days] == ["2026-05-18", "2026-05-19"]
    control(client, "POST", "/reset")
    ingest(client, *events)
    days = get(client, "/active-users", type="daily", date_from="2026-01-01")["data"]
    assert [day["date"] for day in days] == ["2026-05-18"]


def test_a_seed_is_what_a_reset_goes_back_to(client: FlaskClient) -> None:
    control(
        client, "PUT", "/seed", {"active_users": [NUMBER], "clock": {"mode": "offset", "offset": 7}}
    )
    seeded = state(client)
    for _ in range(2):
        put(client, "/active-users", NUMBER | {"active_users": 6})
        ingest(client, VISIT)
        control(client, "PUT", "/clock", {"mode": "frozen", "at": 0})
        control(client, "POST", "/faults", {"path": "*", "status": 500})
        assert state(client) != seeded
        control(client, "POST", "/reset")
        assert state(client) == seeded
        assert control(client, "GET", "/faults") == {"faults": []}
        assert control(client, "GET", "/requests") == {"requests": [], "dropped": 0}
    assert get(client, "/active-users", type="daily", date_from="2026-05-19")["data"][0] == {
        name: value for name, value in NUMBER.items() if name != "type"
    }


def test_what_is_added_stands_beside_what_is_there(d: Double) -> None:
    d.put_active_users("daily", "2026-05-19", "acme", 3, 5)
    d.add([VISIT])
    d.events(VISIT | {"user_id": "bob"})
    d.put_histories("carl", NOW, [{"timestamp": NOW, "referer": "/x"}])
    assert [event["user_id"] for event in d.state["events"]] == ["ann", "bob"]
    assert [len(d.state[name]) for name in ("histories", "active_users")] == [1, 1]
    before = d.state
    with pytest.raises(DoubleError, match=r"^active_users\[0\]\.env_id: must be"):
        d.add({"events": [VISIT], "active_users": [NUMBER | {"env_id": "3"}]})
    with pytest.raises(DoubleError, match=r"^settings: cannot be changed"):
        d.add({"settings": {"time_zone": "Asia/Tokyo"}})
    assert d.state == before
    assert d.requests() == []


def test_a_snapshot_is_restored_as_often_as_wanted(d: Double) -> None:
    d.clock.freeze(NOW)
    d.put_active_users("monthly", "2026-05", "acme", 1, 5)
    d.snapshot("before")
    before = d.state
    for _ in range(2):
        d.put_active_users("monthly", "2026-05", "acme", 1, 6)
        d.clock.move(60)
        assert d.state != before
        d.restore("before")
        assert d.state == before
    d.reset()
    d.restore("before")
    assert d.state == before
    d.snapshot("before")
    d.delete_snapshot("before")
    for again in (d.restore, d.delete_snapshot):
        with pytest.raises(DoubleError, match="there is no snapshot before"):
            again("before")


@pytest.mark.parametrize("name", ["", "a/b", "..", "-a", "ü", "a" * 101, "a b", "a\n"])
def test_a_snapshot_has_a_plain_name(client: FlaskClient, name: str) -> None:
    answer = client.post(f"/__double/snapshots/{quote(name, safe='')}")
    assert answer.status_code in (400, 404, 405)
    assert answer.get_json().keys() == {"type", "message"}


def test_there_are_not_more_snapshots_than_memory_bears(d: Double) -> None:
    for number in range(SNAPSHOTS):
        d.snapshot(f"s{number}")
    d.snapshot("s0")
    with pytest.raises(DoubleError, match=f"there are already {SNAPSHOTS} snapshots"):
        d.snapshot("another")


@pytest.mark.slow
def test_a_reset_while_requests_run_leaves_none_in_between(app: Flask) -> None:
    """Each answer is of the seed or of one write, whole."""
    hours = [NOW - 3600 * hour for hour in range(300, 700)]

    def views(referer: str) -> list[dict[str, Any]]:
        return [VISIT | {"timestamp": at, "referer": referer} for at in hours]

    control(app.test_client(), "PUT", "/seed", {"events": views("/seed")})
    over, problems = Event(), []

    def repeat(work: Any) -> None:
        client = app.test_client()
        try:
            while not over.is_set():
                work(client)
        except BaseException as error:
            problems.append(error)

    def read(client: FlaskClient) -> None:
        query = {"start_timestamp": 0, "end_timestamp": NOW}
        told = get(client, "/metrics/page-statistics", **query)
        assert [page["page_url"] for page in told["page_statistics"]] in (["/seed"], ["/new"])
        assert told["total_page_views"] == len(hours)
        assert told["total_unique_users"] == 1

    def write(client: FlaskClient) -> None:
        control(client, "PUT", "/state", {"events": views("/new")})
        control(client, "POST", "/reset")

    works = [read, read, write, write]
    threads = [Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    over.wait(3)
    over.set()
    for thread in threads:
        thread.join()
    assert not problems, problems[0]
