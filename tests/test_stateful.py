"""Sequences of calls that schemathesis makes from the description; each answer is the model's.

The description has no links, so they are added here: each write leads to all that reads, with what
it wrote, and to another write of the same, and each read to all that writes.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import schemathesis
from flask import Flask
from hypothesis import Phase, settings
from schemathesis import Case, GenerationMode, Response

from app import create_app
from app.auth import keys

from .conftest import NOW, SetClock
from .support import schemathesis_hooks  # noqa: F401 (makes valid data fit together)
from .support.model import Model
from .support.records import api_log, eventbridge, page
from .support.refusals import BASE, LAST_SECOND, WRITES

pytestmark = pytest.mark.slow

MONTH = 32 * 86400

DATES = {"start_date": "1970-01-01", "end_date": "9999-12-31"}
READS: list[tuple[str, dict[str, Any]]] = [
    ("GetUserBehaviorHistories", {"user_id": "$request.body#/user_id"}),
    ("GetActiveUsers", {"type": "daily", "date_from": "0001-01-01"}),
    ("GetActiveUsers", {"type": "monthly", "date_from": "0001-01"}),
    ("GetAggregatedMetrics", DATES),
    ("GetAggregatedUserInfo", DATES),
    ("GetPageStatistics", {"start_timestamp": 0, "end_timestamp": LAST_SECOND}),
]
"""What a write leads to, with parameters that ask for all that is there."""

AGAIN = {
    "UpdateActiveUsers": ("type", "date", "tenant_id", "env_id"),
    "UpdateUserBehaviorHistoriesByDay": ("timestamp", "user_id"),
}
"""The fields that say which number or day is set: a write leads to another one of the same."""

USER = {"id": "user-a", "tenants": [{"id": "tenant-a", "envs": [{"id": 3}]}]}
LOG = api_log(answer=USER)
PLATFORM: dict[str, tuple[Any, dict[str, Any]]] = {
    "IngestEventBridge": (
        eventbridge("create_tenant"),
        {"type": "create_tenant", "tenant_id": "tenant-a", "timestamp": NOW, "id": "event"},
    ),
    "IngestApilog": (
        page(LOG),
        {
            "type": "userinfo",
            "user_id": "user-a",
            "tenant_id": "tenant-a",
            "env_id": 3,
            "referer": LOG["referer"],
            "timestamp": NOW,
            "id": "log",
        },
    ),
}
"""What is sent where the description says too little, and the event that it is."""


def links(source: str) -> Iterator[dict[str, Any]]:
    if source not in WRITES:
        yield from ({"operationId": name} for name in WRITES)
        return
    yield from ({"operationId": name, "parameters": asked} for name, asked in READS)
    if source in AGAIN:
        same = {name: f"$request.body#/{name}" for name in AGAIN[source]}
        yield {"operationId": source, "requestBody": same}


def linked(description: dict[str, Any]) -> dict[str, Any]:
    """Return a description with links between its operations, and without keys."""
    del description["security"]
    for methods in description["paths"].values():
        for method in methods.keys() - {"parameters"}:
            answers = methods[method]["responses"]
            added = enumerate(links(methods[method]["operationId"]))
            answers.get("200", {})["links"] = {f"link{number}": link for number, link in added}
    return description


class Pair:
    """An application and the model of what it must answer."""

    def __init__(self, folder: str) -> None:
        self.model = Model("UTC", keep_query=False)
        path = Path(folder, "analysis.db")
        config = {"database": path, "synchronous": "off", "accept_ahead": 3_000_000}
        self.app = create_app(config, clock=SetClock())
        self._database = self.app.extensions["database"]
        token = keys.create_bearer_key(self._database, name="test", scopes=keys.SCOPES)
        self.headers = {"Authorization": f"Bearer {token}"}

    def close(self) -> None:
        self._database.close()

    def compare(self, operation: str, response: Response) -> bool:
        """Compare a 200 with the model; tell whether it had something to show, or stored it."""
        sent: Any = response.request
        query = parse_qs(urlsplit(sent.url).query)
        if operation not in WRITES:
            told = response.json()
            assert told == self._expected(operation, unquote(urlsplit(sent.url).path), query)
            return any(isinstance(value, list) and value for value in told.values())
        if operation == "UpdateUserBehaviorHistoriesByDay":
            body = json.loads(sent.body)
            day = {name: body[name] for name in ("timestamp", "user_id", "histories")}
            self.model.put_day(**day)
            return bool(body["histories"])
        if operation == "UpdateActiveUsers":
            self.model.put_active_users(json.loads(sent.body))
            return True
        return self._compare_report(operation, query, sent, response.json())

    def _compare_report(
        self, operation: str, query: dict[str, list[str]], sent: Any, report: dict[str, Any]
    ) -> bool:
        if operation in PLATFORM:
            body, event = PLATFORM[operation]
            records = [(event, True)] if json.loads(sent.body) == body else []
        else:
            refused = {refusal["index"] for refusal in report["refused"]}
            records = [(each, index not in refused) for index, each in enumerate(_events(sent))]
        told = self.model.ingest(
            records, all_or_nothing=query.get("all_or_nothing") == ["true"], now=NOW
        )
        assert told is not None
        assert told["accepted"] == report["accepted"]
        assert told["duplicates"] == report["duplicates"]
        return bool(report["accepted"])

    def _expected(self, operation: str, path: str, query: dict[str, list[str]]) -> Any:
        one = {name: values[0] for name, values in query.items()}
        if operation == "GetUserBehaviorHistories":
            user = path.removeprefix(f"{BASE}/users/").removesuffix("/behavior-histories")
            return self.model.histories(user, NOW)
        if operation == "GetActiveUsers":
            named = ("type", "date_from", "date_to", "tenant_id")
            asked: dict[str, Any] = {name: one[name] for name in named if name in one}
            if "env_id" in one:
                asked["env_id"] = int(one["env_id"])
            return self.model.active_users(**asked)
        if operation == "GetPageStatistics":
            start, end = int(one["start_timestamp"]), int(one["end_timestamp"])
            told = self.model.page_statistics(start, end)
            if "limit" in one:
                del told["page_statistics"][int(one["limit"]) :]
            return told
        span = {name: date.fromisoformat(one[f"{name}_date"]) for name in ("start", "end")}
        given = filter(None, query.get("tenant_ids", ()))
        tenants = [part for value in given for part in value.split(",")]
        counted: dict[str, Any] = {**span, "tenant_ids": tenants or None}
        if operation == "GetAggregatedUserInfo":
            return self.model.user_info(**counted)
        return self.model.metrics(metrics_type=one["metrics_type"], **counted)


def _events(sent: Any) -> list[Any]:
    """Return the records of a body of events."""
    if sent.headers["Content-Type"] == "application/json":
        body = json.loads(sent.body)
        return body if isinstance(body, list) else [body]
    text = sent.body if isinstance(sent.body, str) else sent.body.decode()
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def test_each_answer_of_a_sequence_of_calls_is_that_of_the_model(app: Flask) -> None:
    described = app.test_client().get("/openapi.json").get_json()
    machine: Any = schemathesis.openapi.from_dict(linked(described)).as_state_machine()
    shown: Counter[str] = Counter()

    class Calls(machine):
        def setup(self) -> None:
            with ExitStack() as stack:
                self.pair = stack.enter_context(
                    closing(Pair(stack.enter_context(TemporaryDirectory())))
                )
                self.teardown = stack.pop_all().close

        def get_call_kwargs(self, case: Case[Any]) -> dict[str, Any]:
            return {"app": self.pair.app, "headers": self.pair.headers}

        def before_call(self, case: Case[Any]) -> None:
            if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
                return
            operation = case.operation.definition.raw["operationId"]
            if operation in PLATFORM:
                case.body, _ = PLATFORM[operation]
            elif operation == "UpdateUserBehaviorHistoriesByDay":
                body: Any = case.body
                if not NOW - MONTH < body["timestamp"] <= NOW:
                    body["timestamp"] = NOW - body["timestamp"] % MONTH

        def after_call(self, response: Response, case: Case[Any]) -> None:
            super().after_call(response, case)
            if response.status_code == 200:
                operation = case.operation.definition.raw["operationId"]
                shown[operation] += self.pair.compare(operation, response)

    # Fewer do not show something of each operation, also at work.
    Calls.run(settings=settings(max_examples=100, stateful_step_count=15, phases=[Phase.generate]))
    assert {name for name in shown if shown[name]} == {name for name, _ in READS} | WRITES.keys()
