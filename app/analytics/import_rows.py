"""Storing the records of an export: each once, and never overwriting what is stored."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from marshmallow import ValidationError

from ..days import MAX_TIMESTAMP, PERIODS, Calendar
from ..storage.blocks import BLOCK
from ..storage.cutoffs import before_cutoff, read_cutoffs
from ..storage.dictionary import Dictionary
from ..storage.event_ids import EventIds
from ..summaries.invalidation import invalidate_callers
from .accepted_times import Times, period_refusal
from .active_user_counts import PUT_ACTIVE_USERS
from .events import TYPE_NUMBERS, Report
from .histories import append_behaviors
from .recording import ADD_CALLS, ADD_USER_CALLS, ActiveUsers, mark_active

FIND_BEHAVIORS = """
select timestamp, referer_id
from behavior
where block = ? and user_id = ? and timestamp between ? and ?
order by timestamp, seq
"""

FIND_CALLS = """
select count
from call_count
where type = ? and day = ? and tenant_id = ?
"""

# One index seek per environment with active users.
FIND_USER_CALLS = """
select nullif(sum(calls), 0)
from (
  select count as calls
  from user_call
  where day = ?1 and type = ?2 and tenant_id = ?3 and user_id = ?4
  union all
  select active_user.calls
  from active_users
  cross join active_user using (monthly, period, tenant_id, env_id)
  where ?2 = 0
    and active_users.monthly = 0
    and active_users.period = ?1
    and active_users.tenant_id = ?3
    and active_user.user_id = ?4
)
"""

# The calls count in the lowest environment in which the user was active, if there is any.
ADD_ACTIVE_CALLS = """
update active_user
set calls = calls + ?5
where ?2 = 0 and monthly = 0 and period = ?1 and tenant_id = ?3 and user_id = ?4
  and env_id = (
    select active_users.env_id
    from active_users
    cross join active_user using (monthly, period, tenant_id, env_id)
    where active_users.monthly = 0
      and active_users.period = ?1
      and active_users.tenant_id = ?3
      and active_user.user_id = ?4
    order by active_users.env_id
    limit 1
  )
"""

FIND_NUMBER = """
select put
from active_users
where monthly = :monthly and period = :period and tenant_id = :tenant_id and env_id = :env_id
"""

SINCE = {
    "history": ("timestamp", ["histories"]),
    "call": ("date", ["counts"]),
    "user-call": ("date", ["histories", "counts"]),
    "active-user": ("date", ["histories", "counts"]),
    "number": ("date", ["counts"]),
    "event-id": ("date", ["event_ids"]),
}
"""By kind of record: its date or timestamp, and the data whose retention cutoffs apply to it."""


class Loaded(NamedTuple):
    """A valid record, with its line number."""

    line: int
    content: dict[str, Any]


class _Fact(NamedTuple):
    """A value that can be stored only once: how to find it, and how to add it."""

    line: int
    find: str
    key: Any
    value: int
    add: tuple[str, ...]
    """Statements to try in order, until one changes a row."""
    row: Any


def store(
    connection: sqlite3.Connection,
    calendar: Calendar,
    times: Times,
    records: Mapping[str, Sequence[Loaded]],
    report: Report,
) -> None:
    """Store records by kind; report which are duplicates, and which contradict what is stored.

    Records with a time that is not accepted, or that is before a retention cutoff, are refused.
    """
    loaded = _acceptable(connection, calendar, times, records, report)
    names = Dictionary(connection)
    contents = [content for records in loaded.values() for _, content in records]
    users = names.users(each["user_id"] for each in contents if "user_id" in each)
    tenants = names.tenants(each["tenant_id"] for each in contents if "tenant_id" in each)
    referers = names.referers(each["referer"] for each in contents if "referer" in each)

    entries = [
        (line, (each["timestamp"], users[each["user_id"]]), referers[each["referer"]])
        for line, each in loaded["history"]
    ]
    _store_histories(connection, calendar, entries, report)
    active: ActiveUsers = defaultdict(dict)
    for _, each in loaded["active-user"]:
        active[_place(each, tenants)][users[each["user_id"]]] = 0
    new = mark_active(connection, active)
    report.accepted += new
    report.duplicates += len(loaded["active-user"]) - new
    invalidate_callers(connection, {each["date"] for _, each in loaded["user-call"]})
    for fact in _facts(loaded, tenants, users):
        _store_fact(connection, fact, report)
    _store_ids(connection, loaded["event-id"], report)


def _acceptable(
    connection: sqlite3.Connection,
    calendar: Calendar,
    times: Times,
    records: Mapping[str, Sequence[Loaded]],
    report: Report,
) -> Mapping[str, Sequence[Loaded]]:
    kept = read_cutoffs(connection)
    good: dict[str, list[Loaded]] = {kind: [] for kind in records}
    for kind, (field, names) in SINCE.items():
        since = max(getattr(kept, data) for data in names)
        for record in records[kind]:
            value = record.content[field]
            if field == "timestamp":
                refusal = times.refusal(value)
                is_old = value < since
            else:
                monthly = record.content.get("type") == "monthly"
                # As with PUT, the date of a number may be in the future.
                of_kind = times._replace(last=MAX_TIMESTAMP) if kind == "number" else times
                refusal = period_refusal(of_kind, calendar, value, monthly)
                is_old = any(value < kept.first_period(data, calendar, monthly) for data in names)
            if refusal or is_old:
                error = ValidationError(refusal or before_cutoff(since), field)
                report.refuse(record.line, error)
            else:
                good[kind].append(record)
    return good


def _place(record: dict[str, Any], tenants: dict[str, int]) -> tuple[bool, int, int, int]:
    """Return the key of a record of active users."""
    monthly = PERIODS[record["type"]].monthly
    return monthly, record["date"], tenants[record["tenant_id"]], record["env_id"]


def _store_histories(
    connection: sqlite3.Connection,
    calendar: Calendar,
    entries: list[tuple[int, tuple[int, int], int]],
    report: Report,
) -> None:
    """Store entries, each a line number, a moment (timestamp and user) and a referer.

    Entries of one moment on consecutive lines are compared as a whole with what is stored: all of
    them are accepted, duplicates or refused.
    """
    known = _known_histories(connection, [moment for _, moment, _ in entries])
    behaviors = []
    groups = groupby(enumerate(entries), key=lambda place: (place[1][1], place[1][0] - place[0]))
    for (moment, _), group in groups:
        together = [entry for _, entry in group]
        referers = [referer for _, _, referer in together]
        if moment not in known:
            known[moment] = referers
            behaviors += [(*moment, referer) for referer in referers]
            report.accepted += len(referers)
        elif known[moment] == referers:
            report.duplicates += len(referers)
        else:
            error = ValidationError(
                "the user already has different histories in this second", "timestamp"
            )
            for line, _, _ in together:
                report.refuse(line, error)
    append_behaviors(connection, calendar, behaviors)


def _known_histories(
    connection: sqlite3.Connection, moments: list[tuple[int, int]]
) -> dict[tuple[int, int], list[int]]:
    """Return the stored referers by moment, for at least these moments (timestamp and user)."""
    asked: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for timestamp, user in moments:
        asked[timestamp // BLOCK, user].append(timestamp)
    known: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for (block, user), timestamps in asked.items():
        parameters = (block, user, min(timestamps), max(timestamps))
        for timestamp, referer in connection.execute(FIND_BEHAVIORS, parameters):
            known[timestamp, user].append(referer)
    return dict(known)


def _facts(
    loaded: Mapping[str, Sequence[Loaded]], tenants: dict[str, int], users: dict[str, int]
) -> Iterator[_Fact]:
    for line, each in loaded["call"]:
        key: Any = TYPE_NUMBERS[each["type"]], each["date"], tenants[each["tenant_id"]]
        count = each["count"]
        yield _Fact(line, FIND_CALLS, key, count, (ADD_CALLS,), (*key, count))
    for line, each in loaded["user-call"]:
        type_ = TYPE_NUMBERS[each["type"]]
        key = each["date"], type_, tenants[each["tenant_id"]], users[each["user_id"]]
        count = each["count"]
        add = ADD_ACTIVE_CALLS, ADD_USER_CALLS
        yield _Fact(line, FIND_USER_CALLS, key, count, add, (*key, count))
    for line, each in loaded["number"]:
        names = ("monthly", "period", "tenant_id", "env_id")
        key = dict(zip(names, _place(each, tenants), strict=True))
        number = each["active_users"]
        yield _Fact(line, FIND_NUMBER, key, number, (PUT_ACTIVE_USERS,), key | {"put": number})


def _store_fact(connection: sqlite3.Connection, fact: _Fact, report: Report) -> None:
    (known,) = connection.execute(fact.find, fact.key).fetchone() or (None,)
    if known is None:
        for statement in fact.add:
            if connection.execute(statement, fact.row).rowcount:
                break
    _count(fact.line, known, fact.value, report)


def _store_ids(connection: sqlite3.Connection, records: Sequence[Loaded], report: Report) -> None:
    ids = EventIds(connection, {each["digest"] for _, each in records})
    for line, each in records:
        known = ids.day_of(each["digest"])
        if known is None:
            ids.add(each["digest"], each["date"])
        _count(line, known, each["date"], report)
    ids.store()


def _count(line: int, known: int | None, value: int, report: Report) -> None:
    """Report a value as accepted if none was known, else as a duplicate or refused."""
    if known is None:
        report.accepted += 1
    elif known == value:
        report.duplicates += 1
    else:
        report.refuse(line, ValidationError("a different value is already stored", "_schema"))
