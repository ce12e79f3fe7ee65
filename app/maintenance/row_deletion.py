"""Deletion of a selection of the data, and of everything derived from it.

Afterwards, the server responds as if it had never received these data, as far as the selection can
be determined: history entries have no tenant, counts have no page, and event ids have only a day.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from pyroaring import BitMap

from ..analytics.events import USERINFO
from ..days import FIRST_DAY, LAST_DAY, MAX_TIMESTAMP, Calendar, first_day_of, last_day_of, month_of
from ..storage.blocks import block_range, stored_blocks
from ..storage.cutoffs import read_cutoffs
from ..storage.event_ids import delete_days
from ..summaries.invalidation import (
    invalidate,
    invalidate_active_users,
    invalidate_callers,
    stop_sealing,
)
from ..summaries.pages.reading import pruned_summaries
from ..summaries.pages.sealing import INSERT_SUMMARY
from ..summaries.pages.summary import Row, encode
from ..summaries.spans import HOUR, LENGTHS
from .unused_names import Names, select_ids

# Histories have no index by user, so this seeks once for each block and user.
DELETE_ENTRIES_OF_USERS = """
delete from behavior
where block in (select value from json_each(:blocks))
  and user_id in (select value from json_each(:users))
  and timestamp between :start and :end
  and (:page is null or referer_id in (select id from referer where page_id = :page))
returning timestamp, user_id, referer_id
"""

DELETE_ENTRIES = """
delete from behavior
where block between :first_block and :last_block
  and timestamp between :start and :end
  and (:page is null or referer_id in (select id from referer where page_id = :page))
returning timestamp, user_id, referer_id
"""

SELECT_PAGES = """
select distinct page_id
from referer
where id in (select value from json_each(:referers))
"""

DELETE_USER_CALLS = """
delete from user_call
where day between :first_day and :last_day
  and (:users is null or user_id in (select value from json_each(:users)))
  and (:tenant is null or tenant_id = :tenant)
returning type, day, tenant_id, user_id, count
"""

DELETE_ALL_CALLS = """
delete from call_count
where day between :first_day and :last_day and (:tenant is null or tenant_id = :tenant)
returning tenant_id, count
"""

DELETE_CALLS = """
delete from call_count
where type = ? and day = ? and tenant_id = ? and count <= ?
"""

SUBTRACT_CALLS = """
update call_count
set count = count - ?4
where type = ?1 and day = ?2 and tenant_id = ?3
"""

DELETE_ACTIVE_USERS = """
delete from active_user
where monthly = :monthly
  and period between :first and :last
  and (:users is null or user_id in (select value from json_each(:users)))
  and (:tenant is null or tenant_id = :tenant)
returning period, tenant_id, env_id, user_id, calls
"""

# Deletes users who were active on no other day of the month: up to 31 seeks for each.
DELETE_ACTIVE_IN_MONTH = """
delete from active_user
where monthly = 1
  and period = :month
  and (tenant_id, env_id, user_id) in (
    select json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
    from json_each(:members)
  )
  and not exists (
    select 1
    from json_each(:days) as days
    cross join active_user as daily
      on daily.monthly = 0
      and daily.period = days.value
      and daily.tenant_id = active_user.tenant_id
      and daily.env_id = active_user.env_id
      and daily.user_id = active_user.user_id
  )
returning tenant_id, env_id
"""

SUBTRACT_ACTIVE = """
update active_users
set computed = computed - ?5
where monthly = ?1 and period = ?2 and tenant_id = ?3 and env_id = ?4
"""

FORGET_NUMBERS = """
update active_users
set put = null
where put is not null
  and monthly = :monthly
  and period between :first and :last
  and (:tenant is null or tenant_id = :tenant)
returning tenant_id
"""

DELETE_EMPTY = "delete from active_users where computed = 0 and put is null"

DELETE_SUMMARY = "delete from page_summary where level = ? and span = ?"

Cell = tuple[bool, int, int, int]
"""Whether the period is a month, the period, the tenant and the environment."""

Calls = Counter[tuple[int, int, int]]
"""Calls that were stored by user, by type, day and tenant."""


@dataclass(frozen=True)
class Selection:
    """The data to delete: those that match all given criteria. Names are given by their ids."""

    users: Collection[int] | None = None
    tenant: int | None = None
    page: int | None = None
    first: int = FIRST_DAY
    last: int = LAST_DAY

    @property
    def is_of_days_alone(self) -> bool:
        return self.users is None and self.tenant is None and self.page is None

    @property
    def months(self) -> tuple[int, int]:
        """The first and the last month that it contains completely."""
        first = month_of(self.first - 1) + 1 if self.first > FIRST_DAY else month_of(FIRST_DAY)
        last = month_of(self.last + 1) - 1 if self.last < LAST_DAY else month_of(LAST_DAY)
        return first, last

    def seconds(self, calendar: Calendar) -> tuple[int, int]:
        """Return the first and the last timestamp of its days."""
        first = 0 if self.first == FIRST_DAY else max(calendar.day_start(self.first), 0)
        return first, min(calendar.day_start(self.last + 1) - 1, MAX_TIMESTAMP)

    def parameters(self, calendar: Calendar) -> dict[str, Any]:
        return block_range(*self.seconds(calendar)) | {
            "users": None if self.users is None else json.dumps(list(self.users)),
            "tenant": self.tenant,
            "page": self.page,
            "first_day": self.first,
            "last_day": self.last,
        }


@dataclass
class Touched:
    """Names to which the deleted data referred."""

    referers: set[int] = field(default_factory=set)
    pages: set[int] = field(default_factory=set)
    users: set[int] = field(default_factory=set)
    tenants: set[int] = field(default_factory=set)


@dataclass
class Selected:
    """How much was deleted, and how much could not be separated and was kept."""

    histories: int = 0
    calls: int = 0
    """The calls and creations that were subtracted from the counts."""
    active_users: int = 0
    """Active users, by day or month, tenant and environment."""
    numbers: int = 0
    """Numbers of active users that were stored directly."""
    event_ids: int = 0
    unknown_days: int = 0
    """Pairs of a day and a tenant whose calls stay counted, since they were not stored by user."""
    unknown_months: int = 0
    """Users who stay active in a month, because days of the month were pruned."""
    names: Names = field(default_factory=Names)
    """Names that may be unused now."""


def delete_selection(
    connection: sqlite3.Connection, calendar: Calendar, selection: Selection
) -> Selected:
    """Delete a selection. Call it inside `Database.erasing`.

    Names that are unused afterwards stay; they are among `Selected.names`.
    """
    parameters = selection.parameters(calendar)
    done = Selected()
    names = Touched()
    stop_sealing(connection)
    if selection.tenant is None:
        _delete_entries(connection, calendar, parameters, done, names)
    start, end = selection.seconds(calendar)
    seen_pages, seen_users = _delete_from_pruned(connection, selection, start, end, names)
    if selection.page is None:
        if selection.users is None:
            _delete_numbers(connection, selection, parameters, done, names)
        calls: Calls = Counter()
        days = _delete_active(connection, calendar, selection, parameters, done, names, calls)
        known = _delete_calls(connection, selection, parameters, done, names, calls)
        if selection.users is not None:
            done.unknown_days = len(days - known)
    if selection.is_of_days_alone:
        done.event_ids = delete_days(connection, selection.first, selection.last)
    users = (names.users | set(selection.users or ())) - seen_users
    pages = names.pages | select_ids(connection, SELECT_PAGES, referers=_json(names.referers))
    done.names = Names(names.referers, pages - seen_pages, users, names.tenants)
    return done


def _delete_entries(
    connection: sqlite3.Connection,
    calendar: Calendar,
    parameters: dict[str, Any],
    done: Selected,
    names: Touched,
) -> None:
    sql = DELETE_ENTRIES
    if parameters["users"] is not None:
        sql = DELETE_ENTRIES_OF_USERS
        blocks = stored_blocks(connection, parameters["start"], parameters["end"])
        parameters = parameters | {"blocks": json.dumps(blocks)}
    hours = set()
    for timestamp, user, referer in connection.execute(sql, parameters):
        done.histories += 1
        hours.add(timestamp // HOUR)
        names.users.add(user)
        names.referers.add(referer)
    invalidate(connection, calendar, (hour * HOUR for hour in hours))


def _delete_calls(
    connection: sqlite3.Connection,
    selection: Selection,
    parameters: dict[str, Any],
    done: Selected,
    names: Touched,
    calls: Calls,
) -> set[tuple[int, int]]:
    """Delete calls, including those in `calls`, whose rows of active users are already deleted.

    Returns the days and tenants for which calls of GetUserInfo were stored by user.
    """
    for type_, day, tenant, user, count in connection.execute(DELETE_USER_CALLS, parameters):
        calls[type_, day, tenant] += count
        names.users.add(user)
    if selection.users is None:
        for tenant, count in connection.execute(DELETE_ALL_CALLS, parameters):
            done.calls += count
            names.tenants.add(tenant)
    else:
        done.calls = calls.total()
        for key, count in calls.items():
            if not connection.execute(DELETE_CALLS, (*key, count)).rowcount:
                connection.execute(SUBTRACT_CALLS, (*key, count))
    names.tenants.update(tenant for _, _, tenant in calls)
    invalidate_callers(connection, {day for _, day, _ in calls})
    return {(day, tenant) for type_, day, tenant in calls if type_ == USERINFO}


def _delete_active(
    connection: sqlite3.Connection,
    calendar: Calendar,
    selection: Selection,
    parameters: dict[str, Any],
    done: Selected,
    names: Touched,
    calls: Calls,
) -> set[tuple[int, int]]:
    """Delete active users, and add their calls to `calls`.

    Returns the days and tenants for which active users were deleted.
    """
    deleted: Counter[Cell] = Counter()
    in_part: defaultdict[int, set[tuple[int, int, int]]] = defaultdict(set)
    first_month, last_month = selection.months
    for monthly, first, last in (
        (False, selection.first, selection.last),
        (True, first_month, last_month),
    ):
        of_periods = parameters | {"monthly": monthly, "first": first, "last": last}
        for period, *member, count in connection.execute(DELETE_ACTIVE_USERS, of_periods):
            tenant, env_id, user = member
            deleted[monthly, period, tenant, env_id] += 1
            if count:
                calls[USERINFO, period, tenant] += count
            names.users.add(user)
            if not monthly and not first_month <= month_of(period) <= last_month:
                in_part[month_of(period)].add((tenant, env_id, user))
    kept = read_cutoffs(connection)
    pruned_until = calendar.day_of(max(kept.histories, kept.counts))
    for month, members in in_part.items():
        if first_day_of(month) < pruned_until and (kept.histories or kept.counts):
            done.unknown_months += len(members)
            continue
        days = range(first_day_of(month), last_day_of(month) + 1)
        of_month = {"month": month, "members": _json(members), "days": _json(days)}
        for tenant, env_id in connection.execute(DELETE_ACTIVE_IN_MONTH, of_month):
            deleted[True, month, tenant, env_id] += 1
    connection.executemany(SUBTRACT_ACTIVE, [(*cell, count) for cell, count in deleted.items()])
    connection.execute(DELETE_EMPTY)
    invalidate_active_users(connection, {cell[:2] for cell in deleted})
    done.active_users = deleted.total()
    names.tenants.update(tenant for _, _, tenant, _ in deleted)
    return {(period, tenant) for monthly, period, tenant, _ in deleted if not monthly}


def _delete_numbers(
    connection: sqlite3.Connection,
    selection: Selection,
    parameters: dict[str, Any],
    done: Selected,
    names: Touched,
) -> None:
    days = False, selection.first, selection.last
    for monthly, first, last in (days, (True, *selection.months)):
        of_periods = parameters | {"monthly": monthly, "first": first, "last": last}
        for (tenant,) in connection.execute(FORGET_NUMBERS, of_periods):
            done.numbers += 1
            names.tenants.add(tenant)


def _delete_from_pruned(
    connection: sqlite3.Connection, selection: Selection, start: int, end: int, touched: Touched
) -> tuple[set[int], set[int]]:
    """Remove a selection from the summaries of pruned time: from hours that start within its days.

    A selection by tenant removes nothing, because history entries have no tenant. Summaries of
    longer spans are deleted; a query that needs them computes them again from those of hours. Adds
    the names in the changed summaries to `touched`; returns the pages and users in those that are
    left.
    """
    users = None if selection.users is None else BitMap(selection.users)
    seen_pages: set[int] = set()
    seen_users: set[int] = set()
    rest: list[Row] = []
    gone: list[tuple[int, int]] = []
    for level, span, summary in pruned_summaries(connection):
        begin, behind = (each * LENGTHS[level] * HOUR for each in (span, span + 1))
        if summary is None:
            # A damaged summary is never used, and it is not known which users it contains.
            gone.append((level, span))
            continue
        is_in_days = start <= begin <= end if level == 0 else begin <= end and start < behind
        is_selected = is_in_days and selection.tenant is None
        if not is_selected or not summary.has(users, selection.page):
            seen_pages.update(summary.views)
            seen_users.update(summary.users)
            continue
        touched.pages.update(summary.views)
        touched.users.update(summary.users)
        left = summary.without(users, selection.page)
        if level == 0:
            seen_pages.update(left.views)
            seen_users.update(left.users)
        if level == 0 and left.views:
            rest.append(encode(level, span, left))
        else:
            gone.append((level, span))
    connection.executemany(INSERT_SUMMARY, rest)
    connection.executemany(DELETE_SUMMARY, gone)
    return seen_pages, seen_users


def _json(values: Iterable[object]) -> str:
    return json.dumps(list(values))
