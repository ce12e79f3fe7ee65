"""The tables of an export, with names instead of the database's internal integers.

The order of their rows is total and depends only on the data, not on these integers.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..days import format_day
from ..storage.event_ids import read_ids
from ..user_analysis.schemas import UpdateActiveUsersParam
from ..validation.schema import Schema
from . import schemas

VERSION = 1
"""The version of the format, to be increased by changes that older programs would misread."""

HEAD = "export"
"""The kind of the first record of NDJSON."""

# The table is clustered by block, so SQLite sorts only the rows of one block at a time.
SELECT_HISTORIES = """
select behavior.timestamp, user.name, referer.url
from behavior
cross join user on user.id = behavior.user_id
cross join referer on referer.id = behavior.referer_id
where behavior.block between :start / 14400 and :end / 14400
  and behavior.timestamp between :start and :end
  and behavior.timestamp >= coalesce((select since from kept where data = 'histories'), 0)
order by behavior.block, behavior.second, user.name, behavior.seq
"""

SELECT_CALLS = """
select json_extract(:types, '$[' || call_count.type || ']') as type,
       date(call_count.day * 86400, 'unixepoch'), tenant.name, call_count.count
from call_count
cross join tenant on tenant.id = call_count.tenant_id
where call_count.day between :first_day and :last_day
order by type, call_count.day, tenant.name
"""

# The calls are in two tables, one of which has a row for each environment, so they are sorted and
# summed.
SELECT_USER_CALLS = """
select type, date(day * 86400, 'unixepoch'), tenant.name, user.name, sum(calls)
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
select iif(active_user.monthly, 'monthly', 'daily'),
       iif(
         active_user.monthly,
         printf('%04d-%02d', active_user.period / 12, active_user.period % 12 + 1),
         date(active_user.period * 86400, 'unixepoch')
       ),
       tenant.name, active_user.env_id, user.name
from active_user
cross join tenant on tenant.id = active_user.tenant_id
cross join user on user.id = active_user.user_id
where active_user.period between iif(active_user.monthly, :first_month, :first_day)
                             and iif(active_user.monthly, :last_month, :last_day)
order by active_user.monthly, active_user.period, tenant.name, active_user.env_id, user.name
"""

SELECT_NUMBERS = """
select iif(active_users.monthly, 'monthly', 'daily'),
       iif(
         active_users.monthly,
         printf('%04d-%02d', active_users.period / 12, active_users.period % 12 + 1),
         date(active_users.period * 86400, 'unixepoch')
       ),
       tenant.name, active_users.env_id, active_users.put
from active_users
cross join tenant on tenant.id = active_users.tenant_id
where active_users.put is not null
  and active_users.period between iif(active_users.monthly, :first_month, :first_day)
                              and iif(active_users.monthly, :last_month, :last_day)
order by active_users.monthly, active_users.period, tenant.name, active_users.env_id
"""

Rows = Iterator[Sequence[object]]
Read = Callable[[sqlite3.Connection, Mapping[str, Any]], Rows]
"""Reads a table. The parameters are the range of days, as seconds, days and months."""


def _selecting(sql: str) -> Read:
    return lambda connection, span: connection.execute(sql, span)


def _read_event_ids(connection: sqlite3.Connection, span: Mapping[str, Any]) -> Rows:
    dates: dict[int, str] = {}
    for digest, day in read_ids(connection, span["first_day"], span["last_day"]):
        if day not in dates:
            dates[day] = format_day(day)
        yield digest.hex(), dates[day]


@dataclass(frozen=True)
class Table:
    """A table of an export; `kind` is the kind of its records in NDJSON."""

    kind: str
    schema: type[Schema]
    read: Read
    """Yields the columns in the order of the schema's fields."""

    @cached_property
    def columns(self) -> Sequence[str]:
        return tuple(self.schema().fields)


TABLES = {
    "histories": Table("history", schemas.History, _selecting(SELECT_HISTORIES)),
    "calls": Table("call", schemas.Call, _selecting(SELECT_CALLS)),
    "active-users": Table("active-user", schemas.ActiveUser, _selecting(SELECT_ACTIVE_USERS)),
    "user-calls": Table("user-call", schemas.UserCall, _selecting(SELECT_USER_CALLS)),
    "numbers": Table("number", UpdateActiveUsersParam, _selecting(SELECT_NUMBERS)),
    "event-ids": Table("event-id", schemas.EventId, _read_event_ids),
}
"""The tables by name, in the order of a full export.

Users' calls follow the active users, because an import stores them in the rows of active users.
"""

EVENT_IDS_IN_CLEAR = Table("event-id", schemas.EventIdInClear, _read_event_ids)
"""The table that older versions wrote instead of `event-ids`; it is only read."""
