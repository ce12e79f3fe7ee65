"""What the server must answer, in plain Python: facts in lists, and each answer counted from them.

For time zones whose local date never goes back.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from .calls import NO_TENANT


@dataclass(frozen=True)
class Entry:
    user: str
    day: date
    timestamp: int
    referer: str


@dataclass(frozen=True)
class Call:
    type: str
    day: date
    tenant: str
    env: int | None
    user: str | None


class Model:
    def __init__(self, zone: str, *, keep_query: bool) -> None:
        self.zone = ZoneInfo(zone)
        self.keep_query = keep_query
        self.entries: list[Entry] = []
        self.calls: list[Call] = []
        self.puts: list[dict[str, Any]] = []
        self.ids: set[str] = set()

    def day_of(self, timestamp: int) -> date:
        return datetime.fromtimestamp(timestamp, self.zone).date()

    def first_second(self, day: date) -> int:
        noon = int(datetime.combine(day, time(12), self.zone).timestamp())
        seconds = range(noon - 36 * 3600, noon)
        return seconds[bisect_left(seconds, day, key=self.day_of)]

    def put_day(self, *, timestamp: int, user_id: str, histories: list[dict[str, Any]]) -> None:
        day = self.day_of(timestamp)
        kept = [entry for entry in self.entries if (entry.user, entry.day) != (user_id, day)]
        new = [Entry(user_id, day, entry["timestamp"], entry["referer"]) for entry in histories]
        self.entries = kept + new

    def put_active_users(self, body: dict[str, Any]) -> None:
        self.puts.append(body)

    def ingest(
        self, records: Sequence[tuple[Any, bool]], *, all_or_nothing: bool, now: int
    ) -> dict[str, Any] | None:
        """Take records, each with whether it is good; return the report, or None for a 400.

        In the report, `refused` holds indexes.
        """
        refused = [index for index, (_, good) in enumerate(records) if not good]
        if refused and (all_or_nothing or len(refused) == len(records)):
            return None
        accepted = duplicates = 0
        for record, good in records:
            if not good:
                continue
            if "id" in record and record["id"] in self.ids:
                duplicates += 1
                continue
            if "id" in record:
                self.ids.add(record["id"])
            accepted += 1
            self._happened(record, record.get("timestamp", now))
        return {
            "accepted": accepted,
            "duplicates": duplicates,
            "ignored": 0,
            "refused": refused,
        }

    def _happened(self, event: dict[str, Any], timestamp: int) -> None:
        day = self.day_of(timestamp)
        tenant = event.get("tenant_id", NO_TENANT)
        if event["type"] == "create_saas_user":
            tenant = NO_TENANT
        user = event.get("user_id")
        self.calls.append(Call(event["type"], day, tenant, event.get("env_id"), user))
        if event["type"] == "userinfo" and event.get("referer"):
            self.entries.append(Entry(event["user_id"], day, timestamp, event["referer"]))

    def histories(self, user_id: str, now: int) -> dict[str, Any]:
        days = []
        for back in range(31, -1, -1):
            day = self.day_of(now) - timedelta(days=back)
            entries = [e for e in self.entries if e.user == user_id and e.day == day]
            entries.sort(key=lambda entry: entry.timestamp)
            if entries:
                days.append(
                    {
                        "behaved_at": self.first_second(day),
                        "histories": [
                            {"timestamp": e.timestamp, "referer": e.referer} for e in entries
                        ],
                    }
                )
        return {"histories": days}

    def active_users(
        self,
        *,
        type: str,
        date_from: str,
        date_to: str | None = None,
        tenant_id: str | None = None,
        env_id: int | None = None,
    ) -> dict[str, Any]:
        length = {"daily": len("YYYY-MM-DD"), "monthly": len("YYYY-MM")}[type]
        users: defaultdict[tuple[str, str, int], set[str | None]] = defaultdict(set)
        for call in self.calls:
            if call.type == "userinfo" and call.env is not None:
                users[call.day.isoformat()[:length], call.tenant, call.env].add(call.user)
        numbers = {key: len(found) for key, found in users.items()}
        for put in self.puts:
            if put["type"] == type:
                numbers[put["date"], put["tenant_id"], put["env_id"]] = put["active_users"]
        return {
            "data": [
                {"date": when, "tenant_id": tenant, "env_id": env, "active_users": number}
                for (when, tenant, env), number in sorted(numbers.items())
                if when >= date_from
                and (date_to is None or when <= date_to)
                and (tenant_id is None or tenant == tenant_id)
                and (env_id is None or env == env_id)
            ]
        }

    def metrics(
        self, *, metrics_type: str, start: date, end: date, tenant_ids: list[str] | None = None
    ) -> dict[str, Any]:
        if metrics_type == "create_saas_user":
            tenant_ids = None
        metrics = []
        for day, details in self._details(metrics_type, start, end, tenant_ids):
            metric = {"date": day.isoformat(), "count": sum(details.values())}
            if metrics_type == "create_tenant_user":
                metric |= {"details": details}
            metrics.append(metric)
        return {"metrics": metrics}

    def user_info(
        self, *, start: date, end: date, tenant_ids: list[str] | None = None
    ) -> dict[str, Any]:
        return {
            "metrics": [
                {"date": day.isoformat(), "details": details}
                for day, details in self._details("userinfo", start, end, tenant_ids)
            ]
        }

    def _details(
        self, type_: str, start: date, end: date, tenant_ids: list[str] | None
    ) -> list[tuple[date, dict[str, int]]]:
        counts: defaultdict[date, dict[str, int]] = defaultdict(dict)
        for call in self.calls:
            wanted = tenant_ids is None or call.tenant in tenant_ids
            if call.type == type_ and start <= call.day <= end and wanted:
                counts[call.day][call.tenant] = counts[call.day].get(call.tenant, 0) + 1
        return sorted(counts.items())

    def page_statistics(self, start: int, end: int) -> dict[str, Any]:
        entries = [entry for entry in self.entries if start <= entry.timestamp <= end]
        pages: list[dict[str, Any]] = []
        for page in {self._page(entry) for entry in entries}:
            users = [entry.user for entry in entries if self._page(entry) == page]
            pages.append(
                {"page_url": page, "total_views": len(users), "unique_users": len(set(users))}
            )
        pages.sort(key=lambda page: (-page["total_views"], page["page_url"]))
        return {
            "start_date": start,
            "end_date": end,
            "total_page_views": len(entries),
            "total_unique_users": len({entry.user for entry in entries}),
            "page_statistics": pages,
        }

    def _page(self, entry: Entry) -> str:
        if self.keep_query:
            return entry.referer
        return entry.referer.split("?")[0].split("#")[0]
