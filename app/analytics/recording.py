"""Storing events, and everything that is derived from them."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import chain

from ..days import Calendar, month_of
from ..errors import ServiceUnavailable
from ..storage.cutoffs import read_cutoffs
from ..storage.database import Database
from ..storage.dictionary import Dictionary
from ..storage.event_ids import EventIds, digest_of
from ..summaries.invalidation import invalidate_active_users, invalidate_callers
from .event_cutoffs import cutoff_of
from .events import TYPE_NUMBERS, USERINFO, Event, Report, events_stored
from .histories import append_behaviors

HAS_EVENTS = """
select exists (select 1 from behavior)
    or exists (select 1 from call_count)
    or exists (select 1 from active_users)
"""

ADD_CALLS = """
insert into call_count (type, day, tenant_id, count)
values (?, ?, ?, ?)
on conflict (type, day, tenant_id) do update set count = count + excluded.count
"""

ADD_USER_CALLS = """
insert into user_call (day, type, tenant_id, user_id, count)
values (?, ?, ?, ?, ?)
on conflict (day, type, tenant_id, user_id) do update set count = count + excluded.count
"""

MARK_ACTIVE = """
insert into active_user (monthly, period, tenant_id, env_id, user_id, calls)
values (?, ?, ?, ?, ?, 0)
on conflict do nothing
"""

ADD_ACTIVE_CALLS = """
update active_user
set calls = calls + ?6
where monthly = ?1 and period = ?2 and tenant_id = ?3 and env_id = ?4 and user_id = ?5
"""

ADD_ACTIVE = """
insert into active_users (monthly, period, tenant_id, env_id, computed)
values (?, ?, ?, ?, ?)
on conflict (monthly, period, tenant_id, env_id) do update
set computed = computed + excluded.computed
"""

ActiveUsers = defaultdict[tuple[bool, int, int, int], dict[int, int]]
"""Active users by (whether the period is a month, period, tenant, environment).

Each user has the number of calls to count there (schema.sql), which is 0 in a month.
"""


def record_events(database: Database, events: Sequence[Event], report: Report) -> None:
    """Store events in one transaction; report how many were stored and how many are duplicates.

    Raises ServiceUnavailable, with nothing stored, if data as old as these events were pruned after
    `event_cutoffs.checking_times` had accepted them.
    """
    with database.writing() as connection:
        kept = read_cutoffs(connection)
        if any(kept) and any(event.timestamp < cutoff_of(kept, event) for event in events):
            raise ServiceUnavailable("older data were pruned meanwhile; nothing was stored")
        new = _without_duplicates(connection, database.calendar, events)
        _store(connection, database.calendar, new)
        events_stored.send(database, connection=connection, events=new)
    report.accepted += len(new)
    report.duplicates += len(events) - len(new)


def has_events(database: Database) -> bool:
    """Return whether anything was fed or put into a database."""
    with database.reading() as connection:
        (found,) = connection.execute(HAS_EVENTS).fetchone()
    return bool(found)


def _without_duplicates(
    connection: sqlite3.Connection, calendar: Calendar, events: Sequence[Event]
) -> list[Event]:
    """Return the events that are new, and store their ids."""
    own = [event.id and digest_of(*event.id) for event in events]
    others = [event.duplicate_of and digest_of(*event.duplicate_of) for event in events]
    logs = [event.log_id and digest_of(*event.log_id) for event in events]
    ids = EventIds(connection, set(filter(None, chain(own, others, logs))))
    new: list[Event] = []
    for event, id_, duplicate_of, log_id in zip(events, own, others, logs, strict=True):
        if (id_ and id_ in ids) or (duplicate_of and duplicate_of in ids):
            continue
        new.append(event)
        day = calendar.day_of(event.timestamp)
        if id_:
            ids.add(id_, day)
        if log_id:
            ids.add(log_id, day)
    ids.store()
    return new


def _store(connection: sqlite3.Connection, calendar: Calendar, events: Sequence[Event]) -> None:
    names = Dictionary(connection)
    tenants = names.tenants(place.tenant_id for event in events for place in event.places)
    users = names.users(event.user_id for event in events if event.user_id)
    referers = names.referers(event.referer for event in events if event.referer)
    calls: Counter[tuple[int, int, int]] = Counter()
    user_calls: Counter[tuple[int, int, int, int]] = Counter()
    active: ActiveUsers = defaultdict(dict)
    days_without_environment = set()
    behaviors = []
    for event in events:
        type_ = TYPE_NUMBERS[event.type]
        day = calendar.day_of(event.timestamp)
        month = month_of(day)
        user = users[event.user_id] if event.user_id else None
        if user and event.referer:
            behaviors.append((event.timestamp, user, referers[event.referer]))
        for tenant_id, env_ids in event.places:
            tenant = tenants[tenant_id]
            calls[type_, day, tenant] += 1
            if user:
                for env_id in env_ids:
                    active[False, day, tenant, env_id].setdefault(user, 0)
                    active[True, month, tenant, env_id].setdefault(user, 0)
                if env_ids and type_ == USERINFO:
                    active[False, day, tenant, min(env_ids)][user] += 1
                else:
                    user_calls[day, type_, tenant, user] += 1
                    days_without_environment.add(day)
    connection.executemany(ADD_CALLS, [(*key, count) for key, count in calls.items()])
    connection.executemany(
        ADD_USER_CALLS, sorted((*key, count) for key, count in user_calls.items())
    )
    invalidate_callers(connection, days_without_environment)
    append_behaviors(connection, calendar, behaviors)
    mark_active(connection, active)


def mark_active(connection: sqlite3.Connection, active: ActiveUsers) -> int:
    """Store who was active, and add their calls; return how many of these users are new there."""
    total = 0
    changed: set[tuple[bool, int]] = set()
    for key, users in sorted(active.items()):
        ordered = sorted(users.items())
        new = connection.executemany(MARK_ACTIVE, [(*key, user) for user, _ in ordered]).rowcount
        if new:
            connection.execute(ADD_ACTIVE, (*key, new))
            changed.add(key[:2])
        called = [(*key, user, calls) for user, calls in ordered if calls]
        if called:
            connection.executemany(ADD_ACTIVE_CALLS, called)
        total += new
    invalidate_active_users(connection, changed)
    return total
