"""Records as the platform sends them, with what a test changes."""

import json
from typing import Any


def eventbridge(
    event_type: str, *, id: str = "id-1", log: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """Return an EventBridge event; `log` changes the log of the call inside of it."""
    uri, answer = {
        "create_tenant": ("/v1/auth/tenants", {"id": "tenant-a", "name": "Example"}),
        "create_saas_user": ("/v1/auth/users", {"id": "user-a", "email": "a@example.com"}),
        "create_tenant_user": (
            "/v1/auth/tenants/tenant-a/users",
            {"id": "user-a", "tenant_id": "tenant-a"},
        ),
    }.get(event_type, ("/v1/auth/roles", {}))
    call = {
        "log_id": f"log-of-{id}",
        "date_time": "2026-05-19T11:22:58+09:00",
        "date": "2026-05-19",
        "ttl": 1794709378,
        "http_status": 201,
        "uri": uri,
        "ip_address": "192.0.2.1",
        "referer": "",
        "request_method": "POST",
        "saas_id": "saas",
        "api_key": "api",
        "request_body": json.dumps({"name": "例"}),
        "response_body": json.dumps(answer),
    }
    return {
        "version": "0",
        "id": id,
        "detail-type": "api_call",
        "source": "aws.partner/saasus.io/x/y",
        "account": "123456789012",
        "time": "2026-05-19T02:22:58Z",
        "region": "ap-northeast-1",
        "resources": [],
        "detail": {
            "event_type": event_type,
            "event": json.dumps(call | (log or {})),
            "trace_id": f"trace-of-{id}",
        },
    } | changes


USERINFO_ANSWER = {
    "id": "user-a",
    "email": "a@example.com",
    "tenants": [
        {"id": "tenant-a", "envs": [{"id": 1, "name": "dev"}, {"id": 3, "name": "prod"}]},
        {"id": "tenant-b", "envs": [{"id": 3, "name": "prod"}]},
        {"id": "tenant-c", "envs": []},
    ],
}


def api_log(
    method: str = "GET",
    uri: str = "/v1/auth/userinfo?token=eyJ",
    answer: object = USERINFO_ANSWER,
    *,
    id: str = "log-1",
    **changes: Any,
) -> dict[str, Any]:
    """Return a log of the Apilog API."""
    return {
        "trace_id": f"trace-of-{id}",
        "api_log_id": id,
        "created_at": 1779157378,
        "created_date": "2026-05-19",
        "ttl": 1794709378,
        "request_method": method,
        "saas_id": "saas",
        "api_key": "api",
        "response_status": "200",
        "request_uri": uri,
        "remote_address": "192.0.2.1",
        "referer": "https://app.example.com/home?action=open",
        "request_body": "",
        "response_body": json.dumps(answer),
    } | changes


def page(*logs: dict[str, Any]) -> dict[str, Any]:
    return {"api_logs": list(logs), "cursor": "next"}
