"""From which day on there are data, and for which days they are plausible."""

import json
import sqlite3
from typing import NamedTuple

from ..days import FIRST_DAY, LAST_DAY, Calendar, first_day_of, month_of
from ..storage.blocks import BLOCK, block_range
from ..storage.cutoffs import read_cutoffs
from ..storage.database import Database
from ..summaries.pages.reading import SELECT_SUMMARIES, pruned_hours
from ..summaries.pages.summary import decode_total
from ..summaries.spans import HOUR, range_of_spans
from .events import TYPE_NUMBERS
from .selection import Days

GAP_DAYS = 366
"""Data before a gap of more days than this are taken to have an implausible time."""

# Two index seeks per type of call.
SELECT_CALL_DAYS = """
select min(first), max(last)
from (
  select
    (
      select min(day) from call_count where type = types.value and day between :first and :last
    ) as first,
    (
      select max(day) from call_count where type = types.value and day between :first and :last
    ) as last
  from json_each(:types) as types
)
"""

SELECT_PERIODS = """
select
  (
    select min(period)
    from active_users
    where monthly = :monthly and period between :first and :last
  ),
  (
    select max(period)
    from active_users
    where monthly = :monthly and period between :first and :last
  )
"""

SELECT_FIRST_BLOCK = "select min(block) from behavior where block >= :block"

SELECT_FIRST_TIMESTAMP = """
select min(timestamp) from behavior where block = :block and timestamp >= :start
"""

SELECT_LAST_BLOCK = "select max(block) from behavior where block <= :block"

SELECT_LAST_TIMESTAMP = "select max(timestamp) from behavior where block = :block"

COUNT_OUTSIDE = """
select (select count(*) from behavior where block <= :first_block and timestamp < :start)
     + (select count(*) from behavior where block >= :last_block and timestamp > :end),
       (
         select cast(total(count) as integer)
         from call_count
         where day < :first or day > :last
       )
"""


class Outside(NamedTuple):
    """How many entries and calls lie outside a range of days."""

    entries: int
    calls: int


def has_data(database: Database) -> bool:
    """Return whether there is anything to show."""
    return first_day(database) is not None


def first_day(database: Database, since: int = FIRST_DAY) -> int | None:
    """Return the first day with any data from the day `since` on; None if there are none."""
    calendar = database.calendar
    start = 0 if since <= calendar.day_of(0) else calendar.day_start(since)
    whole = month_of(since - 1) + 1 if since > FIRST_DAY else month_of(since)
    with database.reading() as connection:
        called, _ = call_days(connection, first=since)
        day, _ = active_periods(connection, monthly=False, first=since)
        month, _ = active_periods(connection, monthly=True, first=whole)
        entry = _first_entry(connection, calendar, start)
        pruned = _first_pruned(connection, start)
    days = [called, day, entry, None if month is None else first_day_of(month)]
    days += [None if pruned is None else calendar.day_of(pruned)]
    return min((day for day in days if day is not None), default=None)


def call_days(
    connection: sqlite3.Connection, *, first: int = FIRST_DAY, last: int = LAST_DAY
) -> tuple[int | None, int | None]:
    """Return the first and last day with calls within a range; both None if there are none."""
    parameters = {"first": first, "last": last, "types": json.dumps(list(TYPE_NUMBERS.values()))}
    days: tuple[int | None, int | None] = connection.execute(
        SELECT_CALL_DAYS, parameters
    ).fetchone()
    return days


def active_periods(
    connection: sqlite3.Connection,
    *,
    monthly: bool,
    first: int = FIRST_DAY,
    last: int = LAST_DAY,
) -> tuple[int | None, int | None]:
    """Return the first and last period with active users within a range; both None if none."""
    parameters = {"monthly": monthly, "first": first, "last": last}
    periods: tuple[int | None, int | None] = connection.execute(
        SELECT_PERIODS, parameters
    ).fetchone()
    return periods


def plausible_days(database: Database) -> Days:
    """Return the days with data up to today, except those before a gap of over GAP_DAYS."""
    today = database.calendar.day_of(database.clock.now())
    last = _last_day(database, today)
    if last is None:
        return Days(today, today)
    first = last
    while True:
        earlier = first_day(database, max(first - GAP_DAYS, FIRST_DAY))
        if earlier is None or earlier >= first:
            return Days(first, today)
        first = earlier


def count_outside(database: Database, days: Days) -> Outside:
    """Return how much is stored outside a range of days."""
    start, end = days.seconds(database.calendar)
    parameters = block_range(max(start, 0), end) | days._asdict()
    with database.reading() as connection:
        return Outside(*connection.execute(COUNT_OUTSIDE, parameters).fetchone())


def _last_day(database: Database, today: int) -> int | None:
    """Return the last day with any data, up to today; None if there are none."""
    calendar = database.calendar
    with database.reading() as connection:
        _, called = call_days(connection, last=today)
        _, day = active_periods(connection, monthly=False, last=today)
        _, month = active_periods(connection, monthly=True, last=month_of(today))
        entry = _last_entry(connection, calendar, calendar.day_start(today + 1) - 1)
        pruned = read_cutoffs(connection).histories
    days = [called, day, entry, None if month is None else first_day_of(month)]
    days += [calendar.day_of(pruned)] if pruned else []
    known = [day for day in days if day is not None]
    return min(max(known), today) if known else None


def _first_entry(connection: sqlite3.Connection, calendar: Calendar, start: int) -> int | None:
    """Return the day of the first entry from a timestamp on; None if there is none."""
    block = start // BLOCK
    while True:
        (block,) = connection.execute(SELECT_FIRST_BLOCK, {"block": block}).fetchone()
        if block is None:
            return None
        if block * BLOCK >= start and (day := _only_day_of(calendar, block)) is not None:
            return day
        parameters = {"block": block, "start": start}
        (timestamp,) = connection.execute(SELECT_FIRST_TIMESTAMP, parameters).fetchone()
        if timestamp is not None:
            return calendar.day_of(timestamp)
        block += 1


def _last_entry(connection: sqlite3.Connection, calendar: Calendar, end: int) -> int | None:
    """Return the day of the last entry in the blocks up to a timestamp; None if there is none."""
    (block,) = connection.execute(SELECT_LAST_BLOCK, {"block": end // BLOCK}).fetchone()
    if block is None or (day := _only_day_of(calendar, block)) is not None:
        return None if block is None else day
    (timestamp,) = connection.execute(SELECT_LAST_TIMESTAMP, {"block": block}).fetchone()
    return calendar.day_of(timestamp)


def _only_day_of(calendar: Calendar, block: int) -> int | None:
    """Return the day that contains a whole block; None if the block spans two days."""
    day = calendar.day_of(block * BLOCK)
    return day if day == calendar.day_of((block + 1) * BLOCK - 1) else None


def _first_pruned(connection: sqlite3.Connection, start: int) -> int | None:
    """Return the timestamp of the first pruned hour with views from a timestamp on, or None.

    The views of pruned hours are in the summaries.
    """
    if not read_cutoffs(connection).histories:
        return None
    hours = range_of_spans(0, start // HOUR, pruned_hours(connection) - 1)
    stored = connection.execute(SELECT_SUMMARIES, hours)
    return next((row[1] * HOUR for row in stored if decode_total(row)), None)
