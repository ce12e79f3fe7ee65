"""Behaviour histories: contract B.2, B.3 and B.9."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ..conftest import NOW, SetClock
from ..support.calls import BASE, client_like, get, ingest, put, utc

DAY = 24 * 3600
TODAY = utc("2026-05-19")
LAST_SECOND = 253402300799

History = list[tuple[int, str]]


def body_of(user: str, timestamp: int, history: History) -> dict[str, Any]:
    histories = [{"timestamp": at, "referer": referer} for at, referer in history]
    return {"timestamp": timestamp, "user_id": user, "histories": histories}


def put_day(client: FlaskClient, user: str, timestamp: int, history: History) -> None:
    put(client, "/user-behavior-day", body_of(user, timestamp, history))


def put_entry(client: FlaskClient, timestamp: int) -> None:
    put_day(client, "ann", timestamp, [(timestamp, "/")])


def histories_of(client: FlaskClient, user: str = "ann") -> dict[int, History]:
    answer = get(client, f"/users/{quote(user, safe='')}/behavior-histories")
    return {
        day["behaved_at"]: [(entry["timestamp"], entry["referer"]) for entry in day["histories"]]
        for day in answer["histories"]
    }


def days_of(client: FlaskClient) -> list[int]:
    return list(histories_of(client))


def test_histories_are_answered_by_day(client: FlaskClient) -> None:
    put_day(client, "ann", NOW, [(NOW, "/home")])
    assert get(client, "/users/ann/behavior-histories") == {
        "histories": [
            {"behaved_at": TODAY, "histories": [{"timestamp": NOW, "referer": "/home"}]},
        ]
    }


@pytest.mark.slow
def test_a_put_replaces_the_day(client: FlaskClient) -> None:
    put_day(client, "ann", TODAY, [(TODAY, "/old"), (TODAY + 5, "/older")])
    put_day(client, "ann", TODAY + DAY - 1, [(TODAY + 7, "/new")])
    assert histories_of(client) == {TODAY: [(TODAY + 7, "/new")]}


def test_a_put_leaves_other_days_and_users_alone(client: FlaskClient) -> None:
    for days_ago in (2, 1, 0):
        put_entry(client, TODAY - days_ago * DAY)
    put_day(client, "bob", TODAY - DAY, [(TODAY - 1, "/bob")])
    put_day(client, "ann", TODAY - DAY, [])
    assert days_of(client) == [TODAY - 2 * DAY, TODAY]
    assert histories_of(client, "bob") == {TODAY - DAY: [(TODAY - 1, "/bob")]}


def test_the_same_put_again_changes_nothing(client: FlaskClient) -> None:
    history = [(TODAY, "/a"), (TODAY, "/b"), (TODAY, "/a")]
    put_day(client, "ann", TODAY, history)
    put_day(client, "ann", TODAY, history)
    assert histories_of(client) == {TODAY: history}


def test_an_empty_list_clears_the_day(client: FlaskClient) -> None:
    put_day(client, "ann", TODAY, [(TODAY, "/a")])
    put_day(client, "ann", TODAY, [])
    assert histories_of(client) == {}


def test_an_empty_list_for_a_user_who_is_not_known_is_no_error(client: FlaskClient) -> None:
    put_day(client, "nobody", TODAY, [])
    assert histories_of(client, "nobody") == {}


def test_entries_keep_their_multiplicity(client: FlaskClient) -> None:
    put_day(client, "ann", TODAY, [(TODAY, "/a")] * 3)
    assert histories_of(client) == {TODAY: [(TODAY, "/a")] * 3}


def test_entries_ascend_by_timestamp(client: FlaskClient) -> None:
    put_day(client, "ann", TODAY, [(TODAY + 2, "/a"), (TODAY, "/c"), (TODAY + 1, "/b")])
    assert histories_of(client) == {TODAY: [(TODAY, "/c"), (TODAY + 1, "/b"), (TODAY + 2, "/a")]}


def test_entries_of_one_second_keep_the_order_they_were_given_in(client: FlaskClient) -> None:
    put_day(client, "ann", TODAY, [(TODAY + 1, "/z"), (TODAY + 1, "/a"), (TODAY, "/m")])
    ingest(
        client,
        {"type": "userinfo", "user_id": "ann", "timestamp": TODAY + 1, "referer": "/b"},
        {"type": "userinfo", "user_id": "ann", "timestamp": TODAY + 1, "referer": "/A"},
    )
    assert [referer for _, referer in histories_of(client)[TODAY]] == ["/m", "/z", "/a", "/b", "/A"]


def test_a_put_replaces_what_events_added(client: FlaskClient) -> None:
    ingest(client, {"type": "userinfo", "user_id": "ann", "timestamp": TODAY, "referer": "/event"})
    put_day(client, "ann", TODAY, [(TODAY, "/put")])
    assert histories_of(client) == {TODAY: [(TODAY, "/put")]}


def test_days_ascend(client: FlaskClient) -> None:
    for days_ago in (1, 31, 0, 8):
        put_entry(client, TODAY - days_ago * DAY)
    assert days_of(client) == [TODAY - days_ago * DAY for days_ago in (31, 8, 1, 0)]


@pytest.mark.parametrize(
    ("timestamp", "is_in"),
    [
        (TODAY - 31 * DAY - 1, False),
        (TODAY - 31 * DAY, True),
        (TODAY - 30 * DAY - 1, True),
        (TODAY, True),
        (TODAY + DAY - 1, True),
        (TODAY + DAY, False),
    ],
)
def test_histories_are_of_today_and_the_31_days_before_it(
    client: FlaskClient, timestamp: int, is_in: bool
) -> None:
    put_entry(client, timestamp)
    assert days_of(client) == ([timestamp // DAY * DAY] if is_in else [])


def test_a_day_leaves_the_histories_at_midnight(client: FlaskClient, clock: SetClock) -> None:
    put_entry(client, TODAY)
    clock.timestamp = TODAY + 32 * DAY - 1
    assert days_of(client) == [TODAY]
    clock.timestamp += 1
    assert days_of(client) == []


def test_a_user_who_is_not_known_has_no_histories(client: FlaskClient) -> None:
    assert get(client, "/users/nobody/behavior-histories") == {"histories": []}


@pytest.mark.parametrize("outside", [TODAY - 1, TODAY + DAY, 0, LAST_SECOND])
def test_an_entry_outside_the_day_is_refused_by_its_index(
    client: FlaskClient, outside: int
) -> None:
    put_day(client, "ann", TODAY, [(TODAY, "/before")])
    history = [(TODAY, "/first"), (TODAY + DAY - 1, "/last"), (outside, "/outside")]
    answer = client.put(BASE + "/user-behavior-day", json=body_of("ann", TODAY, history))
    assert answer.status_code == 400
    assert answer.get_json()["type"] == "invalid_request"
    assert "histories[2].timestamp" in answer.get_json()["message"]
    assert histories_of(client) == {TODAY: [(TODAY, "/before")]}


@pytest.mark.parametrize("timestamp", [0, LAST_SECOND])
def test_an_entry_outside_the_first_or_last_day_is_refused_by_its_index(
    client: FlaskClient, timestamp: int
) -> None:
    body = body_of("ann", timestamp, [(NOW, "/outside")])
    answer = client.put(BASE + "/user-behavior-day", json=body)
    assert answer.status_code == 400
    assert "histories[0].timestamp" in answer.get_json()["message"]


def test_the_first_and_last_second_are_in_the_day(client: FlaskClient) -> None:
    history = [(TODAY, "/first"), (TODAY + DAY - 1, "/last")]
    put_day(client, "ann", NOW, history)
    assert histories_of(client) == {TODAY: history}


@pytest.mark.parametrize(
    ("settings", "first", "last"),
    [
        ({"time_zone": "Asia/Tokyo"}, "2026-05-18T15:00:00", "2026-05-19T14:59:59"),
        ({"time_zone": "America/New_York"}, "2026-05-18T04:00:00", "2026-05-19T03:59:59"),
        ({"time_zone": "Asia/Kathmandu"}, "2026-05-18T18:15:00", "2026-05-19T18:14:59"),
    ],
)
def test_a_day_is_one_of_the_time_zone(client: FlaskClient, first: str, last: str) -> None:
    history = [(utc(first), "/first"), (utc(last), "/last")]
    put_day(client, "ann", NOW, history)
    assert histories_of(client) == {utc(first): history}
    body = body_of("ann", NOW, [(utc(last) + 1, "/tomorrow")])
    assert client.put(BASE + "/user-behavior-day", json=body).status_code == 400


@pytest.mark.parametrize("settings", [{"time_zone": "America/Sao_Paulo"}])
def test_a_day_whose_midnight_was_skipped_begins_when_the_clocks_went_on(
    client: FlaskClient, clock: SetClock
) -> None:
    one_o_clock = clock.timestamp = utc("2017-10-15T03:00:00")
    put_entry(client, one_o_clock - 1)
    put_entry(client, one_o_clock)
    assert days_of(client) == [one_o_clock - DAY, one_o_clock]


@pytest.mark.parametrize("settings", [{"time_zone": "America/New_York"}])
@pytest.mark.parametrize(("day", "hours"), [("2026-03-08", 23), ("2026-11-01", 25)])
def test_a_day_is_as_long_as_its_clocks_say(
    client: FlaskClient, clock: SetClock, day: str, hours: int
) -> None:
    start = utc(day) + (5 if hours == 23 else 4) * 3600
    clock.timestamp = start
    put_entry(client, start + hours * 3600 - 1)
    assert days_of(client) == [start]
    body = body_of("ann", start, [(start + hours * 3600, "/tomorrow")])
    assert client.put(BASE + "/user-behavior-day", json=body).status_code == 400


@pytest.mark.slow
@pytest.mark.parametrize(
    "referer",
    [
        "https://app.example/home",
        "/users?action=delete_user",
        "/a?b=c&d=%20#e?f",
        "/ページ#見出し",
        "/with space",
        "",
    ],
)
def test_a_referer_is_answered_exactly_as_it_was_sent(client: FlaskClient, referer: str) -> None:
    put_day(client, "ann", TODAY, [(TODAY, referer)])
    assert histories_of(client) == {TODAY: [(TODAY, referer)]}


@pytest.mark.parametrize(
    "user",
    [
        "3f2b8c1e-0000-4000-8000-5d6e7f8a9b0c",
        "ann@example.com",
        "a/b",
        "/a//b/",
        "a/behavior-histories",
        "100%",
        "%2F",
        "a b+c",
        "a?b=c#d",
        "利用者",
        "\U0001f600",
        "x" * 128,
    ],
)
def test_a_user_id_may_be_any_printable_text(client: FlaskClient, user: str) -> None:
    put_day(client, user, TODAY, [(TODAY, "/")])
    assert histories_of(client, user) == {TODAY: [(TODAY, "/")]}


def test_user_ids_are_compared_exactly(client: FlaskClient) -> None:
    put_day(client, "ann", TODAY, [(TODAY, "/")])
    assert histories_of(client, "Ann") == {}
    assert histories_of(client, "ann ") == {}


@pytest.mark.slow
def test_unknown_fields_and_parameters_are_ignored(client: FlaskClient) -> None:
    body = body_of("ann", TODAY, [(TODAY, "/")])
    body["histories"][0]["title"] = {"en": "Home"}
    put(client, "/user-behavior-day?dry_run=true", body | {"tenant_id": 7})
    answer = get(client, "/users/ann/behavior-histories", days="1", unknown=["a", "b"])
    assert answer["histories"] == [
        {"behaved_at": TODAY, "histories": body_of("", 0, [(TODAY, "/")])["histories"]}
    ]


def test_the_answer_to_a_put_is_empty_and_claims_no_type(client: FlaskClient) -> None:
    answer = client.put(BASE + "/user-behavior-day", json=body_of("ann", TODAY, []))
    assert (answer.status_code, answer.data) == (200, b"")
    assert "Content-Type" not in answer.headers


@pytest.mark.slow
def test_puts_of_one_day_at_once_leave_one_of_their_lists(app: Flask, client: FlaskClient) -> None:
    lists = [[(TODAY + second, f"/{name}") for second in range(50)] for name in "abcd"]
    begin = Barrier(len(lists))
    seen: list[History] = []

    def put_and_read(history: History) -> None:
        own = client_like(app, client)
        begin.wait()
        for _ in range(5):
            put_day(own, "ann", TODAY, history)
            seen.append(histories_of(own)[TODAY])

    with ThreadPoolExecutor(len(lists)) as pool:
        list(pool.map(put_and_read, lists))
    assert len(seen) == 20
    assert all(history in lists for history in seen)
    assert histories_of(client)[TODAY] in lists


@pytest.mark.slow
def test_puts_of_many_users_at_once_are_all_stored(app: Flask, client: FlaskClient) -> None:
    users = [f"user-{number}" for number in range(40)]
    begin = Barrier(4)

    def put_all(own_users: list[str]) -> None:
        own = client_like(app, client)
        begin.wait()
        for user in own_users:
            put_day(own, user, TODAY, [(TODAY, "/shared"), (TODAY, f"/{user}")])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put_all, [users[start::4] for start in range(4)]))
    for user in users:
        assert histories_of(client, user) == {TODAY: [(TODAY, "/shared"), (TODAY, f"/{user}")]}
