"""Since when there are data."""

import sqlite3
from collections.abc import Callable

from ...database import Database
from ...days import first_day_of
from ...kept import read_kept
from ...user_analysis.queries import BLOCK

SELECT_DAY = """
select min(day)
from (
  select min(day) as day from call_count where type = 'userinfo'
  union all
  select min(day) from call_count where type = 'create_tenant'
  union all
  select min(day) from call_count where type = 'create_saas_user'
  union all
  select min(day) from call_count where type = 'create_tenant_user'
  union all
  select min(period) from active_users where monthly = 0
)
"""

SELECT_MONTH = "select min(period) from active_users where monthly = 1"

SELECT_BLOCK = "select min(block) from behavior"

SELECT_TIMESTAMP = "select min(timestamp) from behavior where block = :block"


def has_data(database: Database) -> bool:
    """Tell whether there is anything to show."""
    return first_day(database) is not None


def first_day(database: Database) -> int | None:
    """Return the first day with any data; None if there are none."""
    day_of = database.calendar.day_of
    with database.reading() as connection:
        (day,) = connection.execute(SELECT_DAY).fetchone()
        (month,) = connection.execute(SELECT_MONTH).fetchone()
        timestamp = _first_entry(connection, day_of)
        pruned = _first_pruned(connection)
    days = [day, None if month is None else first_day_of(month)]
    days += [None if at is None else day_of(at) for at in (timestamp, pruned)]
    return min((day for day in days if day is not None), default=None)


def _first_entry(connection: sqlite3.Connection, day_of: Callable[[int], int]) -> int | None:
    """Return a timestamp of the day of the first entry; None if there are none."""
    (block,) = connection.execute(SELECT_BLOCK).fetchone()
    if block is None:
        return None
    begin = int(block) * BLOCK
    if day_of(begin) == day_of(begin + BLOCK - 1):
        return begin  # and its rows need not be read
    (timestamp,) = connection.execute(SELECT_TIMESTAMP, {"block": block}).fetchone()
    return int(timestamp)


def _first_pruned(connection: sqlite3.Connection) -> int | None:
    """Return the timestamp of the first hour with views of pruned time, of which summaries tell."""
    if not read_kept(connection).histories:
        return None
    # Bitmaps are loaded when something was pruned.
    from ...summaries.reading import SELECT_SUMMARIES, pruned_hours
    from ...summaries.spans import HOUR, range_of_spans
    from ...summaries.summary import decode_total

    hours = range_of_spans(0, 0, pruned_hours(connection) - 1)
    stored = connection.execute(SELECT_SUMMARIES, hours)
    return next((row[1] * HOUR for row in stored if decode_total(row)), None)
