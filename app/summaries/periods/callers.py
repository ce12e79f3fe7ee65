"""Summaries of who called in a tenant on a day but was active in none of its environments."""

import json
import sqlite3
from array import array
from dataclasses import dataclass

from pyroaring import BitMap64

from ...days import Calendar
from .kinds import Kind

# One index seek per day, without reading its rows. Type 0, in the statements below, is userinfo.
SELECT_DAYS = """
with recursive found (day) as (
  select min(day)
  from user_call
  where day >= :first
  union all
  select (select min(day) from user_call where user_call.day > found.day)
  from found
  where found.day <= :last - 1
)
select day
from found
where day <= :last
order by day
"""

COUNT_ROWS = """
select count(*)
from (select 1 from user_call where day = :day and type = 0 limit :least)
"""

SELECT_CALLERS = """
select json_group_array(tenant_id << 32 | user_id)
from user_call
where day = :day and type = 0
"""

SELECT_ACTIVE = """
select json_group_array(tenant_id << 32 | user_id)
from active_user
where monthly = 0 and period = :day
"""


@dataclass(frozen=True)
class CallerKind(Kind[BitMap64]):
    """A summary of who called on a day without an environment, as tenant * 2^32 + user."""

    def periods(
        self, connection: sqlite3.Connection, calendar: Calendar, first: int, last: int
    ) -> list[int]:
        rows = connection.execute(SELECT_DAYS, {"first": first, "last": last})
        return [day for (day,) in rows]

    def has_rows(
        self, connection: sqlite3.Connection, calendar: Calendar, period: int, least: int
    ) -> bool:
        parameters = {"day": period, "least": least}
        (rows,) = connection.execute(COUNT_ROWS, parameters).fetchone()
        return bool(rows >= least)

    def make(self, connection: sqlite3.Connection, calendar: Calendar, period: int) -> bytes:
        callers, active = (
            BitMap64(array("Q", json.loads(pairs)))
            for select in (SELECT_CALLERS, SELECT_ACTIVE)
            for (pairs,) in connection.execute(select, {"day": period})
        )
        content: bytes = (callers - active).serialize()
        return content

    def decode(self, content: bytes) -> BitMap64:
        return BitMap64.deserialize(content)


CALLERS = CallerKind("callers", monthly=False)
