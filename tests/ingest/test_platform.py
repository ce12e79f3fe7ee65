import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from ..conftest import NOW
from ..support.reading import DAY, active, counts, everything, histories, pages
from ..support.records import USERINFO_ANSWER, api_log, eventbridge, page
from .test_events import NO_TENANT, NOTHING, report

EVENTBRIDGE = "/v1/analysis/ingest/eventbridge"
APILOG = "/v1/analysis/ingest/apilog"


def test_eventbridge_creations_are_counted(client: FlaskClient) -> None:
    records = [
        eventbridge("create_tenant", id="1"),
        eventbridge("create_saas_user", id="2"),
        eventbridge("create_tenant_user", id="3"),
        eventbridge("create_tenant_user", id="4", time="2026-05-19T23:59:59Z"),
        eventbridge("create_tenant_user", id="5", time="2026-05-20T09:00:00+09:00"),
    ]
    assert client.post(EVENTBRIDGE, json=records).json == report(accepted=5)
    assert counts(client, "create_tenant") == {DAY: 1}
    assert counts(client, "create_saas_user") == {DAY: 1}
    assert counts(client, "create_tenant_user") == {
        DAY: {"tenant-a": 2},
        "2026-05-20": {"tenant-a": 1},
    }


def test_a_second_delivery_changes_nothing(client: FlaskClient) -> None:
    record = eventbridge("create_tenant")
    assert client.post(EVENTBRIDGE, json=record).json == report(accepted=1)
    before = everything(client)
    later = record | {"time": "2026-05-19T23:00:00Z", "new_field": {}}
    assert client.post(EVENTBRIDGE, json=[later, record]).json == report(duplicates=2)
    assert everything(client) == before


def test_without_an_id_the_trace_id_tells_a_second_delivery(client: FlaskClient) -> None:
    record = eventbridge("create_tenant")
    del record["id"]
    assert client.post(EVENTBRIDGE, json=[record, record]).json == report(1, duplicates=1)


@pytest.mark.parametrize(
    "record",
    [
        eventbridge("delete_tenant"),
        eventbridge("a type of next year", detail={"event_type": "new"}),
        eventbridge("create_tenant", log={"http_status": 400, "response_body": "{}"}),
        eventbridge("create_tenant", log={"http_status": "500"}),
    ],
)
def test_what_is_not_counted_is_accepted_and_ignored(
    client: FlaskClient, record: dict[str, Any]
) -> None:
    assert client.post(EVENTBRIDGE, json=record).json == report(ignored=1)
    assert everything(client) == NOTHING


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (5, "must be an object"),
        ({}, "detail: must be an object"),
        ({"detail": {}}, "detail.event_type: must be text"),
        (eventbridge("create_tenant", detail={"event_type": "create_tenant"}), "detail.event: "),
        (eventbridge("create_tenant", time="yesterday"), "time: must be a time such as"),
        (eventbridge("create_tenant", time="1969-12-31T23:59:59Z"), "time: must be from 0"),
        (eventbridge("create_tenant", id=5), "id: must be text"),  # type: ignore[arg-type]
        (
            eventbridge("create_tenant", log={"response_body": "{"}),
            "detail.event.response_body: must be JSON text",
        ),
        (
            eventbridge("create_tenant", log={"response_body": "{}"}),
            "detail.event.response_body.id: must be text",
        ),
        (
            eventbridge("create_tenant", log={"response_body": "[" * 100_000}),
            "detail.event.response_body: must be JSON text",
        ),
        (
            eventbridge("create_tenant_user", log={"uri": "/v1/auth/tenants/"}),
            "detail.event.uri: must be /v1/auth/tenants/{tenant_id}/users",
        ),
    ],
)
def test_a_bad_record_is_refused_by_the_name_of_its_field(
    client: FlaskClient, record: Any, message: str
) -> None:
    answer = client.post(EVENTBRIDGE, json=record)
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["message"].startswith(f"nothing was stored: record 0: {message}")
    good = eventbridge("create_tenant", id="good")
    mixed = client.post(EVENTBRIDGE, json=[record, good]).json
    assert mixed is not None
    assert (mixed["accepted"], mixed["refused"][0]["index"]) == (1, 0)


def test_an_apilog_userinfo_call_counts_in_each_tenant_and_environment(
    client: FlaskClient,
) -> None:
    assert client.post(APILOG, json=page(api_log())).json == report(accepted=1)
    assert counts(client, "userinfo") == {DAY: {"tenant-a": 1, "tenant-b": 1, "tenant-c": 1}}
    rows = [("tenant-a", 1, 1), ("tenant-a", 3, 1), ("tenant-b", 3, 1)]
    assert active(client) == [(DAY, *row) for row in rows]
    assert active(client, "monthly") == [("2026-05", *row) for row in rows]
    assert histories(client, "user-a") == [(NOW, "https://app.example.com/home?action=open")]
    assert pages(client) == [("https://app.example.com/home", 1, 1)]


def test_a_user_without_tenants_counts_under_the_all_zero_one(client: FlaskClient) -> None:
    answers = ({"id": "user-a"}, {"id": "user-a", "tenants": []}, {"id": "b", "tenants": None})
    logs = [api_log(answer=answer, id=f"{n}", referer="") for n, answer in enumerate(answers)]
    client.post(APILOG, json=page(*logs))
    assert counts(client, "userinfo") == {DAY: {NO_TENANT: 3}}
    assert pages(client) == []


def test_apilog_creations_are_counted_and_the_rest_is_ignored(client: FlaskClient) -> None:
    logs = [
        api_log("POST", "/v1/auth/tenants", {"id": "t"}, id="1", response_status="201"),
        api_log("POST", "/v1/auth/users", {"id": "u"}, id="2", response_status="201"),
        api_log("POST", "/v1/auth/tenants/t%2F1/users", {"id": "u"}, id="3"),
        api_log("GET", "/v1/auth/tenants", {"tenants": []}, id="4"),
        api_log("DELETE", "/v1/auth/tenants/t", None, id="5"),
        api_log("POST", "/v1/auth/tenants", {}, id="6", response_status="400"),
        api_log(id="7", response_status="401", response_body="not JSON"),
        api_log("GET", "/v1/auth/userinfo/search/email", {"id": "x"}, id="8"),
        {},
    ]
    assert client.post(APILOG, json=[page(*logs[:4]), page(*logs[4:])]).json == report(3, ignored=6)
    assert counts(client, "create_tenant") == {DAY: 1}
    assert counts(client, "create_saas_user") == {DAY: 1}
    assert counts(client, "create_tenant_user") == {DAY: {"t/1": 1}}
    assert counts(client, "userinfo") == {}


def test_a_page_again_changes_nothing(client: FlaskClient) -> None:
    logs = page(api_log(id="1"), api_log(id="2"))
    assert client.post(APILOG, json=logs).json == report(accepted=2)
    before = everything(client)
    assert client.post(APILOG, json=logs).json == report(duplicates=2)
    assert everything(client) == before


@pytest.mark.parametrize("first", ["eventbridge", "apilog"])
def test_a_creation_that_both_feeds_tell_of_counts_once(client: FlaskClient, first: str) -> None:
    feeds = {
        "eventbridge": (EVENTBRIDGE, eventbridge("create_tenant", log={"log_id": "shared"})),
        "apilog": (
            APILOG,
            page(api_log("POST", "/v1/auth/tenants", {"id": "tenant-a"}, id="shared")),
        ),
    }
    path, body = feeds.pop(first)
    assert client.post(path, json=body).json == report(accepted=1)
    ((path, body),) = feeds.values()
    assert client.post(path, json=body).json == report(duplicates=1)
    assert counts(client, "create_tenant") == {DAY: 1}


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (7, "must be an object"),
        (api_log(created_at="x"), "created_at: must be a whole number"),
        (api_log(created_at=NOW * 1000), "created_at: must be in seconds"),
        (api_log(answer=[]), "response_body: must be an object"),
        (api_log(answer={}), "response_body.id: must be text"),
        (api_log(response_body=None), "response_body: must be an object"),
        (api_log(answer=USERINFO_ANSWER | {"tenants": 5}), "response_body.tenants: must be a list"),
        (
            api_log(answer=USERINFO_ANSWER | {"tenants": [{"id": "t", "envs": [{"id": "3"}]}]}),
            "response_body.tenants.envs.id: must be a whole number",
        ),
        (api_log(referer=5), "referer: must be text"),
        (api_log(api_log_id="x" * 129), "api_log_id: must be 1 to 128 characters long"),
    ],
)
def test_a_bad_log_is_refused_by_the_name_of_its_field(
    client: FlaskClient, log: Any, message: str
) -> None:
    answer = client.post(APILOG, json=page(log))
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["message"].startswith(f"nothing was stored: record 0: {message}")
    assert everything(client) == NOTHING


@pytest.mark.parametrize("body", [{}, {"api_logs": {}}, [{"api_logs": []}, 5], "x"])
def test_what_is_no_page_is_a_400(client: FlaskClient, body: Any) -> None:
    answer = client.post(APILOG, json=body)
    assert answer.status_code == 400
    assert answer.json is not None
    assert "must be" in answer.json["message"]


def test_a_uri_that_cannot_be_split_is_not_counted(client: FlaskClient) -> None:
    log = api_log(request_uri="http://[", id="1")
    assert client.post(APILOG, json=page(log)).json == report(ignored=1)
    answer = client.post(EVENTBRIDGE, json=eventbridge("create_tenant_user", log={"uri": "//["}))
    assert answer.status_code == 400


def test_the_bodies_may_be_objects_instead_of_text(client: FlaskClient) -> None:
    record = eventbridge("create_tenant")
    log = json.loads(record["detail"]["event"])
    record["detail"]["event"] = log | {"response_body": json.loads(log["response_body"])}
    assert client.post(EVENTBRIDGE, json=record).json == report(accepted=1)
