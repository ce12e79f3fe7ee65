"""Everything that an export consists of, in rows.

The rows are in a total order that depends only on the data, not on the integers of names.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from ..days import (
    FIRST_DAY,
    LAST_DAY,
    MAX_TIMESTAMP,
    Calendar,
    format_day,
    format_period,
    month_of,
)
from ..storage.blocks import block_range
from ..storage.event_ids import read_ids
from .events import TYPES

# The table is clustered by block, so that only the rows of a block are sorted at once.
SELECT_HISTORIES = """
select behavior.timestamp, user.name, referer.url
from behavior
cross join user on user.id = behavior.user_id
cross join referer on referer.id = behavior.referer_id
where behavior.block between :first_block and :last_block
  and behavior.timestamp between :start and :end
  and behavior.timestamp >= coalesce((select since from kept where data = 'histories'), 0)
order by behavior.block, behavior.second, user.name, behavior.seq
"""

SELECT_CALLS = """
select json_extract(:types, '$[' || call_count.type || ']') as type,
       call_count.day, tenant.name, call_count.count
from call_count
cross join tenant on tenant.id = call_count.tenant_id
where call_count.day between :first_day and :last_day
order by type, call_count.day, tenant.name
"""

# User calls are in two tables, one of them by environment, so all are sorted to be added up.
SELECT_USER_CALLS = """
select type, day, tenant.name, user.name, sum(calls)
from (
  select json_extract(:types, '$[' || type || ']') as type,
         day, tenant_id, user_id, count as calls
  from user_call
  where day between :first_day and :last_day
  union all
  select json_extract(:types, '$[0]'), period, tenant_id, user_id, calls
  from active_user
  where monthly = 0 and period between :first_day and :last_day and calls > 0
)
cross join tenant on tenant.id = tenant_id
cross join user on user.id = user_id
group by day, type, tenant.name, user.name
order by day, type, tenant.name, user.name
"""

SELECT_ACTIVE_USERS = """
select active_user.monthly, active_user.period, tenant.name, active_user.env_id, user.name
from active_user
cross join tenant on tenant.id = active_user.tenant_id
cross join user on user.id = active_user.user_id
where active_user.period between iif(active_user.monthly, :first_month, :first_day)
                             and iif(active_user.monthly, :last_month, :last_day)
order by active_user.monthly, active_user.period, tenant.name, active_user.env_id, user.name
"""

SELECT_PUT_NUMBERS = """
select active_users.monthly, active_users.period, tenant.name, active_users.env_id, active_users.put
from active_users
cross join tenant on tenant.id = active_users.tenant_id
where active_users.put is not null
  and active_users.period between iif(active_users.monthly, :first_month, :first_day)
                              and iif(active_users.monthly, :last_month, :last_day)
order by active_users.monthly, active_users.period, tenant.name, active_users.env_id
"""

Rows = Iterator[Sequence[Any]]
Read = Callable[[sqlite3.Connection, Mapping[str, Any]], Rows]
"""Yields the rows of a table for the parameters that `days_to_read` returns."""


def days_to_read(
    calendar: Calendar, first: int | None = None, last: int | None = None
) -> dict[str, Any]:
    """Return the parameters of the queries for a range of days, inclusive; None is unlimited.

    A month belongs to the range that contains its first day, so that consecutive ranges contain
    each month once.
    """
    first = FIRST_DAY if first is None else first
    last = LAST_DAY if last is None else last
    # Timestamp 0 is on day -1 in western time zones; days long before that have no start.
    start = max(calendar.day_start(max(first, -1)), 0)
    end = min(calendar.day_start(max(last, -2) + 1) - 1, MAX_TIMESTAMP)
    return block_range(start, end) | {
        "types": json.dumps(TYPES),
        "first_day": first,
        "last_day": last,
        "first_month": month_of(first - 1) + 1 if first > FIRST_DAY else month_of(first),
        "last_month": month_of(last),
    }


def read_histories(connection: sqlite3.Connection, days: Mapping[str, Any]) -> Rows:
    """Yield timestamp, user and referer of each entry; those of a user and second stay in order."""
    return connection.execute(SELECT_HISTORIES, days)


def read_calls(connection: sqlite3.Connection, days: Mapping[str, Any]) -> Rows:
    """Yield type, date, tenant and number of calls."""
    for type_, day, *rest in connection.execute(SELECT_CALLS, days):
        yield type_, format_day(day), *rest


def read_user_calls(connection: sqlite3.Connection, days: Mapping[str, Any]) -> Rows:
    """Yield type, date, tenant, user and number of calls."""
    for type_, day, *rest in connection.execute(SELECT_USER_CALLS, days):
        yield type_, format_day(day), *rest


def read_active_users(connection: sqlite3.Connection, days: Mapping[str, Any]) -> Rows:
    """Yield `daily` or `monthly`, date, tenant, environment and user."""
    return _with_dates(connection.execute(SELECT_ACTIVE_USERS, days))


def read_put_numbers(connection: sqlite3.Connection, days: Mapping[str, Any]) -> Rows:
    """Yield `daily` or `monthly`, date, tenant, environment and the number that was put."""
    return _with_dates(connection.execute(SELECT_PUT_NUMBERS, days))


def read_event_ids(connection: sqlite3.Connection, days: Mapping[str, Any]) -> Rows:
    """Yield the digest of each event id, as hexadecimal digits, and its date."""
    for digest, day in read_ids(connection, days["first_day"], days["last_day"]):
        yield digest.hex(), format_day(day)


def _with_dates(rows: Iterator[Sequence[Any]]) -> Rows:
    for (monthly, period), of_period in groupby(rows, key=itemgetter(0, 1)):
        type_, date = "monthly" if monthly else "daily", format_period(monthly, period)
        for _, _, tenant_id, env_id, value in of_period:
            yield type_, date, tenant_id, env_id, value
