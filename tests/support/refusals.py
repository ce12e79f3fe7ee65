"""Good calls to make bad ones of, and what every refusal has (contract B.8)."""

import json
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from ..conftest import NOW
from .records import api_log, eventbridge, page

BASE = "/v1/analysis"
LAST_SECOND = 253402300799
LARGEST = 2**63 - 1
OBJECT = "must be an object"

TYPES = {
    400: "invalid_request",
    401: "unauthorized",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    409: "verification_failed",
    413: "payload_too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
    500: "internal_server_error",
}

DAY_BODY: dict[str, Any] = {
    "timestamp": NOW,
    "user_id": "ann",
    "histories": [{"timestamp": NOW, "referer": "/home"}, {"timestamp": NOW, "referer": "/away"}],
}
ACTIVE_BODY: dict[str, Any] = {
    "type": "daily",
    "date": "2026-05-19",
    "tenant_id": "acme",
    "env_id": 3,
    "active_users": 7,
}
EVENT: dict[str, Any] = {
    "type": "userinfo",
    "timestamp": NOW,
    "user_id": "ann",
    "tenant_id": "acme",
    "env_id": 3,
    "referer": "/home",
    "id": "event-1",
}

HEEDED = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}
"""What browsers and search engines are told by every answer that is neither a page nor its file."""

WRITES: dict[str, tuple[str, str, Any]] = {
    "UpdateUserBehaviorHistoriesByDay": ("PUT", "/user-behavior-day", DAY_BODY),
    "UpdateActiveUsers": ("PUT", "/active-users", ACTIVE_BODY),
    "IngestEvents": ("POST", "/ingest/events", EVENT),
    "IngestEventBridge": ("POST", "/ingest/eventbridge", eventbridge("create_tenant")),
    "IngestApilog": ("POST", "/ingest/apilog", page(api_log())),
}

READS: dict[str, dict[str, Any]] = {
    "/active-users": {
        "type": "daily",
        "date_from": "2026-05-01",
        "date_to": "2026-05-31",
        "tenant_id": "acme",
        "env_id": "3",
    },
    "/metrics/aggregated": {
        "metrics_type": "create_tenant",
        "start_date": "2026-05-01",
        "end_date": "2026-05-31",
    },
    "/metrics/page-statistics": {"start_timestamp": "0", "end_timestamp": "9"},
    "/userinfo/aggregated": {"start_date": "2026-05-01", "end_date": "2026-05-31"},
}


def check_error(status: int, content_type: str | None, body: bytes, *words: str) -> str:
    """Check that an answer is `Error` and that its message has the words; return the message."""
    assert content_type == "application/json"
    told = json.loads(body)
    assert told.keys() == {"type", "message"}
    assert told["type"] == TYPES[status]
    message: str = told["message"]
    for word in words:
        assert word in message
    return message


def refused(answer: TestResponse, *words: str, status: int = 400) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["X-Saasus-Trace-Id"]
    return check_error(status, answer.headers.get("Content-Type"), answer.data, *words)


def send(client: FlaskClient, operation: str, body: Any) -> TestResponse:
    method, path, _ = WRITES[operation]
    return client.open(BASE + path, method=method, json=body)


def send_bytes(
    client: FlaskClient, operation: str, data: bytes, headers: dict[str, str] | None = None
) -> TestResponse:
    method, path, _ = WRITES[operation]
    given = {"Content-Type": "application/json"} | (headers or {})
    return client.open(BASE + path, method=method, data=data, headers=given)


def short(value: object) -> str | None:
    return ascii(value)[:40] if not isinstance(value, bytes) else ascii(value[:20])
