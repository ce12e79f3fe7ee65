"""Calls that must succeed, as short as a test wants them."""

from datetime import UTC, datetime
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

BASE = "/v1/analysis"
NO_TENANT = "00000000-0000-0000-0000-000000000000"


def utc(text: str) -> int:
    """Return the UNIX second of a time such as 2026-05-19T02:22:58, in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def get(client: FlaskClient, path: str, **query: Any) -> Any:
    """Return the JSON that a read answers."""
    answer = client.get(BASE + path, query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def put(client: FlaskClient, path: str, body: dict[str, Any]) -> None:
    answer = client.put(BASE + path, json=body)
    assert answer.status_code == 200, answer.text


def ingest(client: FlaskClient, *events: dict[str, Any]) -> None:
    """Store events, of which none may be refused or known."""
    answer = client.post(BASE + "/ingest/events", json=events)
    assert answer.status_code == 200, answer.text
    assert answer.get_json()["accepted"] == len(events), answer.text


def client_like(app: Flask, client: FlaskClient) -> FlaskClient:
    """Return another client with the same key, for another thread."""
    other = app.test_client()
    other.environ_base.update(client.environ_base)
    return other
