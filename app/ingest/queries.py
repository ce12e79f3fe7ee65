"""Storing events, with all that is derived from them."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from .. import summaries
from ..database import Database
from ..days import month_of
from ..dictionary import Dictionary
from ..user_analysis.queries import append_behaviors
from .events import Event, EventId, Report

FIND_ID = "select 1 from event_id where source = :source and id = :id"

INSERT_ID = """
insert into event_id (source, id, day)
values (:source, :id, :day)
on conflict do nothing
"""

ADD_CALLS = """
insert into call_count (type, day, tenant_id, count)
values (:type, :day, :tenant_id, :count)
on conflict (type, day, tenant_id) do update set count = count + excluded.count
"""

MARK_ACTIVE = """
insert into active_user (monthly, period, tenant_id, env_id, user_id)
values (?, ?, ?, ?, ?)
on conflict do nothing
"""

ADD_ACTIVE = """
insert into active_users (monthly, period, tenant_id, env_id, computed)
values (?, ?, ?, ?, ?)
on conflict (monthly, period, tenant_id, env_id) do update
set computed = computed + excluded.computed
"""


def record_events(database: Database, events: Sequence[Event], report: Report) -> None:
    """Store events in one transaction; count in the report what was stored and what was known."""
    with database.writing() as connection:
        batch = _Batch(database, connection)
        accepted = sum(batch.add(event) for event in events)
        batch.finish()
    report.accepted += accepted
    report.duplicates += len(events) - accepted


class _Batch:
    """The events of one transaction, with what is derived from them gathered for few statements."""

    def __init__(self, database: Database, connection: sqlite3.Connection) -> None:
        self._day_of = database.calendar.day_of
        self._connection = connection
        self._names = Dictionary(connection)
        self._calls: Counter[tuple[str, int, int]] = Counter()
        self._active: dict[tuple[bool, int, int, int, int], None] = {}
        self._behaviors: defaultdict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)

    def add(self, event: Event) -> bool:
        """Take an event in, and tell whether it is new."""
        day = self._day_of(event.timestamp)
        if not self._is_new(event, day):
            return False
        user = None
        if event.type == "userinfo" and event.user_id is not None:
            user = self._names.user(event.user_id)
            if event.referer:
                entry = {"timestamp": event.timestamp, "referer": event.referer}
                self._behaviors[day, user].append(entry)
        for place in event.places:
            tenant = self._names.tenant(place.tenant_id)
            self._calls[event.type, day, tenant] += 1
            if user is not None:
                for env_id in place.env_ids:
                    self._active[False, day, tenant, env_id, user] = None
                    self._active[True, month_of(day), tenant, env_id, user] = None
        return True

    def finish(self) -> None:
        """Store what was gathered."""
        self._connection.executemany(
            ADD_CALLS,
            [
                {"type": type_, "day": day, "tenant_id": tenant, "count": count}
                for (type_, day, tenant), count in self._calls.items()
            ],
        )
        new: Counter[tuple[bool, int, int, int]] = Counter()
        for active in self._active:
            new[active[:4]] += self._connection.execute(MARK_ACTIVE, active).rowcount
        self._connection.executemany(
            ADD_ACTIVE, [(*key, count) for key, count in new.items() if count]
        )
        added = (entry for entries in self._behaviors.values() for entry in entries)
        summaries.drop(self._connection, (entry["timestamp"] for entry in added))
        for (day, user), entries in self._behaviors.items():
            append_behaviors(self._connection, self._names, day=day, user=user, histories=entries)

    def _is_new(self, event: Event, day: int) -> bool:
        if event.twin and self._known(event.twin):
            return False
        if event.id and not self._insert(event.id, day):
            return False
        if event.log_id:
            self._insert(event.log_id, day)
        return True

    def _known(self, id_: EventId) -> bool:
        row = self._connection.execute(FIND_ID, {"source": id_[0], "id": id_[1]}).fetchone()
        return row is not None

    def _insert(self, id_: EventId, day: int) -> bool:
        values = {"source": id_[0], "id": id_[1], "day": day}
        return self._connection.execute(INSERT_ID, values).rowcount > 0
