"""The journal, and what is verified by it."""

import gzip
import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import Client

from app.double import Double, DoubleError
from app.double.journal import BYTES, REQUESTS, VIOLATIONS

from ..conftest import NOW
from ..support.calls import BASE, get, ingest, put
from .conftest import DAY, NUMBER


def requests(client: FlaskClient, **filters: Any) -> list[dict[str, Any]]:
    answer = client.get("/__double/requests", query_string=filters)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.get_json()["requests"]
    count = client.get("/__double/requests/count", query_string=filters).get_json()["count"]
    assert count == len(found)
    return found


def test_a_request_is_kept_with_all_that_was_sent(client: FlaskClient) -> None:
    client.put("/__double/clock", json={"mode": "frozen", "at": NOW})
    put(client, "/active-users", NUMBER)
    get(
        client,
        "/userinfo/aggregated",
        start_date="2026-01-01",
        end_date="2026-01-02",
        tenant_ids="a,b",
    )
    get(client, "/users/%E3%81%82%2F1/behavior-histories")
    common: dict[str, Any] = {
        "at": NOW,
        "status": 200,
        "error": None,
        "violations": [],
        "fault": None,
    }
    assert requests(client) == [
        {
            "number": 1,
            "method": "PUT",
            "path": f"{BASE}/active-users",
            "operation": "UpdateActiveUsers",
            "parameters": {},
            "body": NUMBER,
            **common,
        },
        {
            "number": 2,
            "method": "GET",
            "path": f"{BASE}/userinfo/aggregated",
            "operation": "GetAggregatedUserInfo",
            "parameters": {
                "start_date": "2026-01-01",
                "end_date": "2026-01-02",
                "tenant_ids": ["a", "b"],
            },
            "body": None,
            **common,
        },
        {
            "number": 3,
            "method": "GET",
            "path": f"{BASE}/users/あ/1/behavior-histories",
            "operation": "GetUserBehaviorHistories",
            "parameters": {"user_id": "あ/1"},
            "body": None,
            **common,
        },
    ]


def test_what_the_contract_refuses_is_kept_too(client: FlaskClient) -> None:
    client.get(f"{BASE}/nothing")
    client.delete(f"{BASE}/active-users")
    client.get(f"{BASE}/active-users", headers={"Authorization": "Basic x"})
    client.get(f"{BASE}/users/%FF/behavior-histories")
    client.put(f"{BASE}/active-users", data=b"{", content_type="application/json")
    client.put(f"{BASE}/active-users", data=b"x=1")
    too_large = b" " * (16 * 1024 * 1024 + 1)
    client.put(f"{BASE}/active-users", data=too_large, content_type="application/json")
    client.get(f"{BASE}/errors/internal-server-error")
    kept = requests(client)
    assert [request["status"] for request in kept] == [404, 405, 401, 400, 400, 415, 413, 500]
    assert all(request["error"] for request in kept)
    assert [request["body"] for request in kept[4:7]] == ["{", "x=1", None]


def test_control_and_health_are_no_requests_of_the_code_under_test(client: FlaskClient) -> None:
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json", "/__double/health"):
        assert client.get(path).status_code in (200, 308)
    client.get("/__double/nothing")
    client.get("/__double/state")
    assert requests(client) == []


def test_a_body_is_shown_as_it_was_before_it_was_packed(client: FlaskClient) -> None:
    body = gzip.compress(json.dumps(NUMBER).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert client.put(f"{BASE}/active-users", data=body, headers=headers).status_code == 200
    assert requests(client)[0]["body"] == NUMBER


def test_every_violation_is_told_where_the_message_names_ten(client: FlaskClient) -> None:
    entries = [{"timestamp": -1, "referer": 5} for _ in range(30)]
    answer = client.put(f"{BASE}/user-behavior-day", json=DAY | {"histories": entries})
    assert answer.get_json()["message"].count("; ") == 10
    outside = [{"timestamp": 0, "referer": ""} for _ in range(12)]
    client.put(f"{BASE}/user-behavior-day", json=DAY | {"histories": outside})
    client.post(f"{BASE}/ingest/events", json=[{"type": "x"}] * 15)
    client.get(
        f"{BASE}/active-users?type=x&tenant_id={'x' * 129}&env_id=y&date_from=1&date_from=2&type=z"
    )
    first, second, third, fourth = (request["violations"] for request in requests(client))
    assert len(first) == 60
    assert first[0] == "histories[0].timestamp: must be from 0 to 253402300799"
    assert [line.split(":")[0] for line in second] == [
        f"histories[{n}].timestamp" for n in range(12)
    ]
    assert len(third) == 15
    assert third[14].startswith("record 14: type: must be one of")
    assert sorted(fourth) == sorted(
        [
            "type: must be given once",
            "date_from: must be given once",
            "type: must be one of monthly, daily",
            "date_from: must be a date as YYYY-MM-DD, or a month as YYYY-MM",
            "tenant_id: must be 1 to 128 characters long",
            "env_id: must be a whole number",
        ]
    )


@pytest.mark.parametrize(
    ("method", "path", "request_", "expected"),
    [
        (
            "GET",
            "/active-users",
            {"type": "yearly", "date_from": "2026-02-30", "date_to": "x", "env_id": "1"},
            {"type", "date_from", "date_to", "env_id"},
        ),
        (
            "GET",
            "/active-users",
            {"type": "daily", "date_from": "2026-03", "tenant_id": "x" * 129, "env_id": "1"},
            {"date_from", "tenant_id"},
        ),
        (
            "GET",
            "/active-users",
            {"type": "daily", "date_from": "2026-03-02", "date_to": "2026-03-01", "env_id": "x"},
            {"date_from", "env_id"},
        ),
        (
            "GET",
            "/metrics/aggregated",
            {"metrics_type": "x", "start_date": "2026-03-02", "end_date": "2026-03-01"},
            {"metrics_type", "start_date"},
        ),
        (
            "GET",
            "/metrics/page-statistics",
            {"start_timestamp": "2", "end_timestamp": "1", "limit": "0"},
            {"start_timestamp", "limit"},
        ),
        (
            "PUT",
            "/active-users",
            {"type": "monthly", "date": "2026-03-01", "tenant_id": "", "env_id": -1},
            {"date", "tenant_id", "env_id", "active_users"},
        ),
    ],
)
def test_what_hangs_together_is_told_beside_what_is_wrong_alone(
    client: FlaskClient, method: str, path: str, request_: dict[str, Any], expected: set[str]
) -> None:
    place: dict[str, Any] = {"query_string" if method == "GET" else "json": request_}
    assert client.open(BASE + path, method=method, **place).status_code == 400
    violations = requests(client)[0]["violations"]
    assert {violation.split(":")[0] for violation in violations} == expected
    assert len(violations) == len(expected)


def test_requests_are_found_by_whom_they_are_about(client: FlaskClient) -> None:
    put(client, "/active-users", NUMBER)
    put(client, "/user-behavior-day", DAY)
    get(client, "/users/bob/behavior-histories")
    ingest(client, {"type": "userinfo", "user_id": "ann"}, {"type": "userinfo", "user_id": "bob"})
    get(client, "/active-users", type="daily", date_from="2026-01-01", tenant_id="acme")
    span = {"start_date": "2026-01-01", "end_date": "2026-01-02"}
    client.get(f"{BASE}/userinfo/aggregated", query_string=span | {"tenant_ids[]": "other,acme"})
    client.get(f"{BASE}/active-users")

    def numbers(**filters: Any) -> list[int]:
        return [request["number"] for request in requests(client, **filters)]

    assert numbers(user_id="bob") == [2, 3, 4]
    assert numbers(user_id="ann") == [4]
    assert numbers(tenant_id="acme") == [1, 5, 6]
    assert numbers(tenant_id="acme,other") == []
    assert numbers(operation="GetActiveUsers") == [5, 7]
    assert numbers(operation="GetActiveUsers", status=400) == [7]
    assert numbers(after=5) == [6, 7]
    assert numbers(after=7) == []
    assert numbers(since=0) == [1, 2, 3, 4, 5, 6, 7]
    assert numbers(user_id="bo") == []


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("operation=Get", "operation: must be one of"),
        ("status=x", "status: must be a whole number"),
        ("since=-1", "since: must be from 0"),
        ("user_id=", "user_id: must be 1 to 128"),
        ("status=1&status=2", "status: must be given once"),
        ("operatoin=GetActiveUsers", "operatoin: is not known here"),
        ("two%0Alines=", "two\\nlines: is not known here"),
    ],
)
@pytest.mark.parametrize("path", ["/requests", "/requests/count"])
def test_a_bad_filter_is_refused(client: FlaskClient, path: str, query: str, place: str) -> None:
    answer = client.get(f"/__double{path}?{query}")
    assert answer.status_code == 400
    assert answer.get_json()["message"].startswith(place)


@pytest.mark.slow
def test_the_last_thousand_are_kept_and_the_others_counted(client: FlaskClient) -> None:
    for _ in range(REQUESTS + 5):
        client.get(f"{BASE}/nothing")
    told = client.get("/__double/requests").get_json()
    assert [told["requests"][0]["number"], told["dropped"]] == [6, 5]
    assert len(told["requests"]) == REQUESTS
    client.delete("/__double/requests")
    assert client.get("/__double/requests").get_json() == {"requests": [], "dropped": 0}
    client.get(f"{BASE}/nothing")
    assert requests(client)[0]["number"] == 1


@pytest.mark.slow
def test_large_bodies_drop_older_requests(client: FlaskClient) -> None:
    body = b" " * (BYTES // 4 - 1000)
    for _ in range(6):
        client.put(f"{BASE}/active-users", data=body, content_type="application/json")
    told = client.get("/__double/requests/count").get_json()["count"]
    assert told == 4
    assert client.get("/__double/requests").get_json()["dropped"] == 2


def test_what_was_sent_is_verified_by_a_part_of_it(d: Double) -> None:
    client = Client(d.wsgi)
    for count in (4, 5):
        client.put(f"{BASE}/active-users", json=NUMBER | {"active_users": count})
    client.put(f"{BASE}/user-behavior-day", json=DAY)
    client.get(f"{BASE}/active-users?type=daily&date_from=2026-01-01&env_id=3&tenant_id=acme")
    d.verify("UpdateActiveUsers")
    d.verify("UpdateActiveUsers", times=2)
    d.verify("UpdateActiveUsers", body={"active_users": 5}, times=1)
    d.verify("UpdateActiveUsers", body={}, times={"at_least": 1, "at_most": 2})
    d.verify("UpdateUserBehaviorHistoriesByDay", body={"histories": [{"referer": "/x"}]})
    d.verify("GetActiveUsers", parameters={"env_id": 3, "type": "daily"}, status=200, times=1)
    d.verify(method="PUT", path=f"{BASE}/active-users", times=2)
    d.verify("IngestEvents", times=0)
    d.verify(times=4)
    with pytest.raises(AssertionError) as failed:
        d.verify("UpdateActiveUsers", body={"active_users": 6, "env_id": 3, "note": "x"})
    assert str(failed.value) == (
        "expected at least 1, found 0 of 4 requests; nearest is request 2, "
        f"PUT {BASE}/active-users; body.active_users: expected 6, was 5; "
        'body.note: expected "x", nothing was sent'
    )
    with pytest.raises(AssertionError, match=r"^expected exactly 1, found 2 of 4 requests$"):
        d.verify("UpdateActiveUsers", times=1)
    with pytest.raises(AssertionError, match=r"^expected exactly 0, found 1 of 4"):
        d.verify("GetActiveUsers", times={"at_most": 0})
    with pytest.raises(AssertionError, match=r'parameters.env_id: expected "4", was "3"'):
        d.verify("GetActiveUsers", parameters={"env_id": 4})
    with pytest.raises(AssertionError, match=r"body.histories: expected \[\], was \["):
        d.verify("UpdateUserBehaviorHistoriesByDay", body={"histories": []})
    d.clear_requests()
    with pytest.raises(AssertionError, match=r"^expected at least 1, found 0 of 0 requests$"):
        d.verify("GetActiveUsers")


def test_the_nearest_is_the_same_operation_first(d: Double) -> None:
    Client(d.wsgi).put(f"{BASE}/active-users", json=NUMBER)
    Client(d.wsgi).get(f"{BASE}/users/ann/behavior-histories")
    with pytest.raises(AssertionError, match="nearest is request 1"):
        d.verify("UpdateActiveUsers", body=dict.fromkeys(NUMBER, "other"))


@pytest.mark.parametrize(
    ("expected", "place"),
    [
        ({"operation": "Nope"}, "operation: must be one of"),
        ({"times": -1}, "times: must be from 0"),
        (
            {"times": {"at_least": 2, "at_most": 1}},
            "times: at_least must not be greater than at_most",
        ),
        ({"times": {}}, "times: must be a number, or an object"),
        ({"times": {"exactly": 1}}, "times: must be a number, or an object"),
        ({"times": "1"}, "times: must be a whole number"),
        ({"parameters": []}, "parameters: "),
        ({"bodies": {}}, "bodies: is not known here"),
    ],
)
def test_a_bad_expectation_is_no_failed_one(d: Double, expected: Any, place: str) -> None:
    with pytest.raises(DoubleError) as refused:
        d.verify(**expected)
    assert str(refused.value).startswith(place)


def raw(client: FlaskClient, body: str) -> Any:
    return client.put(
        f"{BASE}/active-users", data=body.encode(), content_type="application/json"
    ).status_code


@pytest.mark.parametrize(
    "body",
    [
        '{"tenant_id": "\\ud800"}',
        '{"active_users": NaN}',
        '{"active_users": 1e999}',
        '{"active_users": ' + "9" * 5000 + "}",
        "[" * 900 + "]" * 900,
        "[" * 5000,
        '{"user_id": ' * 480 + "1" + "}" * 480,
    ],
)
def test_no_body_makes_the_journal_unreadable(client: FlaskClient, body: str) -> None:
    assert raw(client, body) == 400
    assert len(requests(client)) == 1
    assert requests(client, user_id="ann") == []
    assert client.post("/__double/verify", json={"body": {"a": 1}}).status_code == 409
    json.loads(client.get("/__double/requests").data, parse_constant=pytest.fail)


@pytest.mark.slow
def test_what_is_compared_may_be_nested_deeply(client: FlaskClient) -> None:
    raw(client, '{"a":' * 400 + "1" + "}" * 400)
    deep = '{"body":' + '{"a":' * 400 + "2" + "}" * 401
    answer = client.post("/__double/verify", data=deep, content_type="application/json")
    assert answer.status_code in (400, 409)


@pytest.mark.slow
def test_a_request_that_is_wrong_everywhere_takes_no_more_than_it_may(client: FlaskClient) -> None:
    entries = [{"timestamp": -1, "referer": 5}] * 20_000
    client.put(f"{BASE}/user-behavior-day", json=DAY | {"histories": entries})
    assert len(requests(client)[0]["violations"]) == VIOLATIONS


def test_a_reset_connection_can_be_asked_for(d: Double) -> None:
    d.fail("*", connection="reset")
    with pytest.raises(ConnectionResetError):
        Client(d.wsgi).get(f"{BASE}/active-users")
    d.verify("GetActiveUsers", status=None, times=1)


def test_nothing_secret_is_in_the_journal(client: FlaskClient) -> None:
    client.get(f"{BASE}/active-users", headers={"Authorization": "Bearer hush", "Cookie": "hush"})
    assert b"hush" not in client.get("/__double/requests").data
