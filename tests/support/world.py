"""An application beside the model of what it must answer."""

import json
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app import create_app
from app.days import MAX_TIMESTAMP

from ..conftest import SetClock
from .calls import BASE
from .model import Model

USERS = ["ann", "Ann", "利用者//of acme?"]
CREATIONS = ["create_tenant", "create_saas_user", "create_tenant_user"]


@dataclass(frozen=True)
class Moment:
    """A second of a local day: 0 is its first, -1 its last."""

    day: date
    second: int


class World:
    """An application and the model beside it; each method calls both and compares."""

    def __init__(self, zone: str, *, keep_query: bool, folder: str) -> None:
        self.model = Model(zone, keep_query=keep_query)
        self.clock = SetClock(self.at(Moment(date(2017, 11, 15), 0)))
        config = {
            "database": Path(folder, "analysis.db"),
            "time_zone": zone,
            "keep_query": keep_query,
            "synchronous": "off",
            "auth": False,
            "accept_ahead": 3_000_000,  # the model takes in what is of any time
        }
        self.app = create_app(config, clock=self.clock)
        self.client = self.app.test_client()

    def close(self) -> None:
        self.app.extensions["database"].close()

    def at(self, moment: Moment) -> int:
        day = moment.day if moment.second >= 0 else moment.day + timedelta(days=1)
        return self.model.first_second(day) + moment.second

    def set_clock(self, moment: Moment) -> None:
        self.clock.timestamp = self.at(moment)

    def put_day(
        self, user: str, moment: Moment, entries: list[tuple[int, str]], times: int
    ) -> None:
        body = self.day_body(user, moment, entries)
        for _ in range(times):
            self.put("/user-behavior-day", body)
            self.model.put_day(**body)

    def put_day_with_entry_outside(
        self,
        user: str,
        moment: Moment,
        entries: list[tuple[int, str]],
        outside: tuple[int, int],
        at: int,
    ) -> None:
        body = self.day_body(user, moment, entries)
        days, second = outside
        timestamp = self.at(Moment(moment.day + timedelta(days=days), second))
        at = min(at, len(entries))
        body["histories"].insert(at, {"timestamp": timestamp, "referer": "/outside"})
        answer = self.client.put(BASE + "/user-behavior-day", json=body)
        assert answer.status_code == 400
        assert f"histories[{at}].timestamp" in answer.get_json()["message"]

    def put_active_users(
        self, day: date, monthly: bool, tenant: str, env: int, number: int, times: int
    ) -> None:
        body = {"type": "daily", "date": day.isoformat()}
        if monthly:
            body = {"type": "monthly", "date": day.isoformat()[:7]}
        rest = {"tenant_id": tenant, "env_id": env, "active_users": number}
        for _ in range(times):
            self.put("/active-users", body | rest)
            self.model.put_active_users(body | rest)

    def ingest(self, records: list[tuple[Any, bool]], all_or_nothing: bool, lines: bool) -> None:
        records = [(self.timed(record), good) for record, good in records]
        texts = [json.dumps(record) for record, _ in records]
        answer = self.client.post(
            BASE + "/ingest/events",
            query_string={"all_or_nothing": "true"} if all_or_nothing else {},
            data="\n".join(texts) if lines else f"[{','.join(texts)}]",
            content_type="application/x-ndjson" if lines else "application/json",
        )
        report = self.model.ingest(records, all_or_nothing=all_or_nothing, now=self.clock.timestamp)
        if report is None:
            assert answer.status_code == 400
        else:
            assert answer.status_code == 200
            told = answer.get_json()
            told["refused"] = [refusal["index"] for refusal in told["refused"]]
            assert told == report

    def call_invalidly(self, call: tuple[str, str, Any]) -> None:
        method, path, body = call
        answer = self.client.open(BASE + path, method=method, json=body)
        assert answer.status_code == 400

    def read_active_users(
        self, dates: list[date], monthly: bool, open_end: bool, tenant: str | None, env: int | None
    ) -> None:
        length = 7 if monthly else 10
        first, last = (day.isoformat()[:length] for day in dates)
        query: dict[str, Any] = {"type": "monthly" if monthly else "daily", "date_from": first}
        if not open_end:
            query["date_to"] = last
        if tenant is not None:
            query["tenant_id"] = tenant
            if env is not None:
                query["env_id"] = env
        self.ask("/active-users", self.model.active_users(**query), **query)

    def read_counts(self, dates: list[date], groups: list[list[str]] | None) -> None:
        start, end = dates
        tenant_ids = None if groups is None else [tenant for group in groups for tenant in group]
        query: dict[str, Any] = {"start_date": start.isoformat(), "end_date": end.isoformat()}
        if groups is not None:
            query["tenant_ids"] = [",".join(group) for group in groups]
        expected = self.model.user_info(start=start, end=end, tenant_ids=tenant_ids)
        self.ask("/userinfo/aggregated", expected, **query)
        for type_ in CREATIONS:
            expected = self.model.metrics(
                metrics_type=type_, start=start, end=end, tenant_ids=tenant_ids
            )
            self.ask("/metrics/aggregated", expected, metrics_type=type_, **query)

    def read_page_statistics(self, moments: tuple[Moment, Moment]) -> None:
        self.ask_page_statistics(*sorted(map(self.at, moments)))

    def read_page_statistics_of_few_seconds(self, moment: Moment, length: int) -> None:
        self.ask_page_statistics(self.at(moment), self.at(moment) + length)

    def compare_everything(self) -> None:
        for user in USERS:
            expected = self.model.histories(user, self.clock.timestamp)
            self.ask(f"/users/{quote(user, safe='')}/behavior-histories", expected)
        for type_, first in (("daily", "0001-01-01"), ("monthly", "0001-01")):
            expected = self.model.active_users(type=type_, date_from=first)
            self.ask("/active-users", expected, type=type_, date_from=first)
        self.read_counts([date.min, date.max], None)
        self.ask_page_statistics(0, MAX_TIMESTAMP)

    def ask_page_statistics(self, start: int, end: int) -> None:
        self.ask(
            "/metrics/page-statistics",
            self.model.page_statistics(start, end),
            start_timestamp=start,
            end_timestamp=end,
        )

    def ask(self, path: str, expected: dict[str, Any], **query: Any) -> None:
        answer = self.client.get(BASE + path, query_string=query)
        assert answer.status_code == 200, answer.text
        assert answer.get_json() == expected, f"{path} {query} answered {answer.text}"

    def put(self, path: str, body: dict[str, Any]) -> None:
        answer = self.client.put(BASE + path, json=body)
        assert (answer.status_code, answer.data) == (200, b"")
        assert "Content-Type" not in answer.headers

    def day_body(self, user: str, moment: Moment, entries: list[tuple[int, str]]) -> dict[str, Any]:
        histories = [
            {"timestamp": self.at(Moment(moment.day, second)), "referer": referer}
            for second, referer in entries
        ]
        return {"timestamp": self.at(moment), "user_id": user, "histories": histories}

    def timed(self, record: Any) -> Any:
        if isinstance(record, dict) and isinstance(record.get("timestamp"), Moment):
            return record | {"timestamp": self.at(record["timestamp"])}
        return record
