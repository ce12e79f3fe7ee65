import gzip
import json
import threading
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.days import Calendar
from app.demo import make_events
from app.storage.event_ids import read_ids

from ..conftest import NOW, SetClock
from ..support.reading import DAY, active, counts, everything, histories, pages

EVENTS = "/v1/analysis/ingest/events"
NO_TENANT = "00000000-0000-0000-0000-000000000000"
NOTHING: list[Any] = [{}, {}, {}, {}, [], [], []]


def report(accepted: int = 0, duplicates: int = 0, ignored: int = 0, **refused: str) -> Any:
    return {
        "accepted": accepted,
        "duplicates": duplicates,
        "ignored": ignored,
        "refused": [
            {"index": int(index.strip("_")), "message": message}
            for index, message in refused.items()
        ],
    }


def userinfo(**changes: Any) -> dict[str, Any]:
    event = {"type": "userinfo", "user_id": "ann", "tenant_id": "acme", "env_id": 3}
    return event | {"referer": "/home?x=1"} | changes


def send_lines(client: FlaskClient, lines: bytes, **headers: str) -> TestResponse:
    return client.post(
        EVENTS, data=lines, headers={"Content-Type": "application/x-ndjson"} | headers
    )


def test_a_userinfo_event_is_a_call_an_active_user_and_a_view(client: FlaskClient) -> None:
    assert client.post(EVENTS, json=userinfo()).json == report(accepted=1)
    assert counts(client, "userinfo") == {DAY: {"acme": 1}}
    assert active(client) == [(DAY, "acme", 3, 1)]
    assert active(client, "monthly") == [("2026-05", "acme", 3, 1)]
    assert histories(client, "ann") == [(NOW, "/home?x=1")]
    assert pages(client) == [("/home", 1, 1)]


def test_without_an_environment_a_user_is_not_counted_as_active(client: FlaskClient) -> None:
    event = userinfo()
    del event["env_id"]
    client.post(EVENTS, json=event)
    assert counts(client, "userinfo") == {DAY: {"acme": 1}}
    assert histories(client, "ann") == [(NOW, "/home?x=1")]
    assert active(client) == []


def test_without_a_tenant_the_all_zero_one_counts(client: FlaskClient) -> None:
    event = userinfo()
    del event["tenant_id"]
    client.post(EVENTS, json=event)
    assert counts(client, "userinfo") == {DAY: {NO_TENANT: 1}}
    assert active(client) == [(DAY, NO_TENANT, 3, 1)]


@pytest.mark.parametrize("without", [{}, {"referer": ""}])
def test_without_a_referer_there_is_no_history(
    client: FlaskClient, without: dict[str, str]
) -> None:
    event = userinfo()
    del event["referer"]
    assert client.post(EVENTS, json=event | without).json == report(accepted=1)
    assert counts(client, "userinfo") == {DAY: {"acme": 1}}
    assert histories(client, "ann") == []
    assert pages(client) == []


def test_a_user_is_active_once_a_day_and_month_however_many_calls(
    client: FlaskClient,
) -> None:
    day = 86400
    calls = [userinfo(timestamp=NOW + n * day, user_id=user) for n in (0, 0, 1) for user in "ab"]
    client.post(EVENTS, json=calls)
    client.post(EVENTS, json=calls)
    assert active(client) == [(DAY, "acme", 3, 2), ("2026-05-20", "acme", 3, 2)]
    assert active(client, "monthly") == [("2026-05", "acme", 3, 2)]
    assert counts(client, "userinfo") == {DAY: {"acme": 8}, "2026-05-20": {"acme": 4}}


def test_creations_count_by_type_day_and_tenant(client: FlaskClient) -> None:
    answer = client.post(
        EVENTS,
        json=[
            {"type": "create_tenant", "tenant_id": "a"},
            {"type": "create_tenant", "tenant_id": "b"},
            {"type": "create_saas_user", "user_id": "u", "tenant_id": "ignored"},
            {"type": "create_tenant_user", "user_id": "u", "tenant_id": "b"},
            {"type": "create_tenant_user", "user_id": "v", "tenant_id": "b"},
            {"type": "create_tenant_user", "user_id": "u", "tenant_id": "a"},
        ],
    )
    assert answer.json == report(accepted=6)
    assert counts(client, "create_tenant") == {DAY: 2}
    assert counts(client, "create_saas_user") == {DAY: 1}
    assert counts(client, "create_tenant_user") == {DAY: {"a": 1, "b": 2}}
    assert counts(client, "userinfo") == {}
    assert active(client) == []


def test_good_events_are_stored_and_each_bad_one_is_told(client: FlaskClient) -> None:
    answer = client.post(
        EVENTS,
        json=[
            {"type": "create_tenant"},
            userinfo(),
            userinfo(timestamp=NOW * 1000, env_id="3"),
            7,
            {"type": "create_tenant_user", "user_id": "u"},
            userinfo(user_id="bob"),
        ],
    )
    assert answer.status_code == 200
    assert answer.json == report(
        accepted=2,
        _0="tenant_id: is required where type is create_tenant",
        _2="timestamp: must be in seconds: 13 digits look like milliseconds; "
        "env_id: must be a whole number",
        _3="must be an object",
        _4="tenant_id: is required where type is create_tenant_user",
    )
    assert counts(client, "userinfo") == {DAY: {"acme": 2}}


def test_all_or_nothing_stores_nothing_if_one_is_refused(client: FlaskClient) -> None:
    answer = client.post(f"{EVENTS}?all_or_nothing=true", json=[userinfo(), userinfo(user_id="")])
    assert answer.status_code == 400
    assert answer.json == {
        "type": "invalid_request",
        "message": "nothing was stored: record 1: user_id: must be 1 to 128 characters long",
    }
    assert everything(client) == NOTHING
    answer = client.post(f"{EVENTS}?all_or_nothing=true", json=[userinfo(), userinfo()])
    assert answer.json == report(accepted=2)


def test_a_request_whose_every_event_is_refused_is_a_400(client: FlaskClient) -> None:
    for body in ({"type": "userinfo"}, [{"type": "userinfo"}], [1, 2], 5, "text"):
        answer = client.post(EVENTS, json=body)
        assert answer.status_code == 400
        assert answer.json is not None
        assert answer.json["message"].startswith("nothing was stored: record 0: ")
    assert everything(client) == NOTHING


def test_the_message_of_many_refusals_is_short(client: FlaskClient) -> None:
    answer = client.post(EVENTS, json=[1] * 5000)
    assert len(answer.text) < 1000
    assert "and 4990 more" in answer.text


@pytest.mark.parametrize("body", [[], ""])
def test_no_events_are_no_mistake(client: FlaskClient, body: Any) -> None:
    answer = send_lines(client, b"\n \n") if body == "" else client.post(EVENTS, json=body)
    assert answer.json == report()


def test_an_event_of_an_id_that_is_known_changes_nothing(client: FlaskClient) -> None:
    first = client.post(EVENTS, json=[userinfo(id="e-1"), userinfo(id="e-1", user_id="bob")])
    assert first.json == report(accepted=1, duplicates=1)
    before = everything(client)
    again = client.post(EVENTS, json=userinfo(id="e-1", timestamp=5))
    assert again.json == report(duplicates=1)
    assert everything(client) == before


def test_lines_may_be_blank_broken_or_end_anyhow(client: FlaskClient) -> None:
    good = json.dumps(userinfo(), ensure_ascii=False).encode()
    lines = b"\xef\xbb\xbf" + good + b"\r\n\n{\n" + good[:-1] + b"\xff}\nNaN\n  \n" + good
    answer = send_lines(client, lines)
    assert answer.json is not None
    assert answer.json["accepted"] == 2
    messages = [refusal["message"] for refusal in answer.json["refused"]]
    assert [refusal["index"] for refusal in answer.json["refused"]] == [1, 2, 3]
    assert messages[0].startswith("the line must be JSON: ")
    assert messages[1].startswith("the line must be UTF-8: ")
    assert messages[2] == "the line must be JSON: NaN is not a number of JSON"


def test_lines_of_text_separators_stay_one_line(client: FlaskClient) -> None:
    line = json.dumps(userinfo(referer="/a\u00a0b")).encode()
    assert send_lines(client, line).json == report(accepted=1)


@pytest.mark.slow
def test_gzip_bodies_are_unpacked(client: FlaskClient) -> None:
    lines = b"".join(json.dumps(userinfo(id=f"{n}")).encode() + b"\n" for n in range(2000))
    packed = {"Content-Encoding": "gzip"}
    assert send_lines(client, gzip.compress(lines), **packed).json == report(accepted=2000)
    again = gzip.compress(json.dumps(userinfo(id="0")).encode())
    answer = client.post(EVENTS, data=again, headers={"Content-Type": "application/json"} | packed)
    assert answer.json == report(duplicates=1)


def test_time_is_the_clock_s_where_an_event_has_none(client: FlaskClient, clock: SetClock) -> None:
    clock.timestamp = 86399
    client.post(EVENTS, json=userinfo())
    clock.timestamp = 86400
    client.post(EVENTS, json=userinfo())
    assert counts(client, "userinfo") == {"1970-01-01": {"acme": 1}, "1970-01-02": {"acme": 1}}


def test_the_operations_stand_at_the_root_too(client: FlaskClient) -> None:
    assert client.post("/ingest/events", json=userinfo()).json == report(accepted=1)


@pytest.mark.slow
def test_calls_at_once_lose_and_double_nothing(app: Flask, client: FlaskClient) -> None:
    def post(thread: int) -> None:
        own = app.test_client()
        own.environ_base.update(client.environ_base)
        for n in range(10):
            shared = userinfo(id=f"shared-{n}", user_id=f"user-{n}")
            own.post(EVENTS, json=[shared, userinfo(id=f"{thread}-{n}", user_id=f"user-{n}")])

    threads = [threading.Thread(target=post, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts(client, "userinfo") == {DAY: {"acme": 10 + 40}}
    assert active(client) == [(DAY, "acme", 3, 10)]
    assert pages(client) == [("/home", 50, 10)]


@pytest.mark.slow
def test_a_call_of_many_events_stores_what_many_calls_store(
    app: Flask, client: FlaskClient, tmp_path: Path
) -> None:
    random = Random(5)
    made = list(make_events(Calendar("UTC"), NOW, events=400, days=3))
    events = made + random.sample(made, 50)  # known ones, between and behind their first delivery
    events += [event | {"id": f"again-{number}"} for number, event in enumerate(made[:50])]
    random.shuffle(events)
    assert client.post(EVENTS, json=events).json == report(accepted=450, duplicates=50)
    other = create_app(database=tmp_path / "other.db", auth=False, clock=SetClock())
    one_by_one = other.test_client()
    answers = [one_by_one.post(EVENTS, json=event).json for event in events]
    assert sum(answer["duplicates"] for answer in answers if answer) == 50
    tables = [
        "select user.name, block, second, seq, timestamp, url from behavior "
        "join user on user.id = user_id join referer on referer.id = referer_id",
        "select type, day, name, count from call_count join tenant on tenant.id = tenant_id",
        "select monthly, period, tenant.name, env_id, user.name, calls from active_user "
        "join tenant on tenant.id = tenant_id join user on user.id = user_id",
        "select day, type, tenant.name, user.name, count from user_call "
        "join tenant on tenant.id = tenant_id join user on user.id = user_id",
        "select monthly, period, name, env_id, computed, put from active_users "
        "join tenant on tenant.id = tenant_id",
    ]
    with (
        closing(other.extensions["database"]) as alone,
        alone.reading() as one,
        app.extensions["database"].reading() as together,
    ):
        for sql in tables:
            assert sorted(together.execute(sql)) == sorted(one.execute(sql))
        assert list(read_ids(together)) == list(read_ids(one))
