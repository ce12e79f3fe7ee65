"""The schedule of automatic pruning: it limits what a wrong clock can delete.

If pruning relied on the clock alone, a clock that is wrong for a moment would delete everything for
ever. So `serve` trusts the clock only as far as other evidence confirms it: stored data, the audit
log, or how long the process has run. And on each day that the process runs, it deletes at most a
few days of data.
"""

import sqlite3
import time
from collections.abc import Mapping
from typing import NamedTuple

from ..analytics.data_range import active_periods, call_days
from ..config import Settings
from ..days import Calendar, last_day_of
from ..storage.blocks import BLOCK
from ..storage.cutoffs import limits, read_cutoffs
from ..storage.database import Database
from ..summaries.spans import HOUR

DAY = 86400

# The current block may contain timestamps in the future, so the result is limited to now.
SELECT_NEWEST = """
select min(max(at), :now)
from (
  select max(timestamp) as at
  from behavior
  where block = (select max(block) from behavior where block <= :block)
  union all
  select max(at) from audit where at <= :now
)
"""

SELECT_LAST_PRUNED = "select max(at) from audit where action = 'prune' and at <= :now"

SELECT_OLDEST_ENTRY = """
select min(timestamp)
from behavior
where block = (select min(block) from behavior)
"""

SELECT_OLDEST_HOUR = "select min(span) from page_summary where level = 0 and span < :pruned"

# The first day, and the first month, with stored users.
SELECT_OLDEST_USERS = """
select min(day), (select min(period) from active_user where monthly = 1)
from (
  select min(day) as day from user_call
  union all
  select min(period) from active_user where monthly = 0
)
"""

SELECT_OLDEST_EVENT_IDS = "select min(day) from event_id_day"


class Late(NamedTuple):
    """A kind of data that is overdue for deletion; all values are days."""

    oldest: int
    """The first day with such data."""
    kept: int
    """The first day that the settings keep, according to the clock."""

    @property
    def days(self) -> int:
        return self.kept - self.oldest


def newest_day(database: Database) -> int | None:
    """Return the last day, up to today, with stored data or an entry in the audit log."""
    now, day_of = database.clock.now(), database.calendar.day_of
    with database.reading() as connection:
        (at,) = connection.execute(SELECT_NEWEST, {"now": now, "block": now // BLOCK}).fetchone()
        _, day = call_days(connection, last=day_of(now))
    days = [day, None if at is None else day_of(at)]
    return max((day for day in days if day is not None), default=None)


def last_pruned_day(database: Database) -> int | None:
    """Return the day on which something was pruned last; None if nothing ever was."""
    with database.reading() as connection:
        now = {"now": database.clock.now()}
        (at,) = connection.execute(SELECT_LAST_PRUNED, now).fetchone()
    return None if at is None else database.calendar.day_of(at)


def find_late(database: Database, settings: Settings, today: int | None = None) -> dict[str, Late]:
    """Return the data that are older than the settings keep, relative to `today` or the clock."""
    day_of = database.calendar.day_of
    late: dict[str, Late] = {}
    with database.reading() as connection:
        for data, since in limits(settings, database, today).items():
            oldest = _oldest_day(connection, database.calendar, data)
            if data == "page_statistics" and "histories" in late:
                # Histories leave page statistics behind when they are pruned.
                days = (oldest, late["histories"].oldest)
                oldest = min(day for day in days if day is not None)
            if oldest is not None and oldest < day_of(since):
                late[data] = Late(oldest, day_of(since))
    return late


def find_held_back(database: Database, settings: Settings) -> dict[str, Late]:
    """Return the data that have been overdue for more than a day."""
    return {data: late for data, late in find_late(database, settings).items() if late.days > 1}


class Days(NamedTuple):
    """The days on which pruning depends: if none of them changes, there is nothing new to prune."""

    today: int
    """Today, according to the clock."""
    believed: int | None
    """The last day, up to today, that other evidence confirms; None: nothing is stored."""
    running: int
    """How many days the process has run."""


class Schedule:
    """The schedule of a process: how far it prunes automatically while it runs.

    If data were pruned on the day that it believes in when it starts, it deletes nothing before the
    next one, so that restarts do not add up.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings
        self._began = time.monotonic()
        self._first_day = newest_day(database)
        self._pruned_on = last_pruned_day(database)
        self._running = 0
        self._ends: dict[str, int] = {}

    def days(self) -> Days:
        """Return the current days."""
        today = self._database.calendar.day_of(self._database.clock.now())
        running = int(time.monotonic() - self._began) // DAY
        newest = newest_day(self._database)
        if newest is not None:
            if self._first_day is None:
                self._first_day = newest - running
            newest = min(max(newest, self._first_day + running), today)
        return Days(today, newest, running)

    def noted_at(self, days: Days) -> int:
        """Return when what is pruned now is noted as done: on the last day that is believed.

        By a clock that is ahead, the note would bear that clock out, and more would go.
        """
        calendar, now = self._database.calendar, self._database.clock.now()
        return now if days.believed is None else min(now, calendar.day_start(days.believed + 1) - 1)

    def cutoffs(self, days: Days) -> Mapping[str, int]:
        """Return the timestamps up to which to prune, for each kind of data that is overdue."""
        if days.running != self._running:
            self._running = days.running
            self._ends.clear()
        if days.believed is None:
            return {}
        was_pruned = self._pruned_on is not None and self._pruned_on >= days.believed
        if was_pruned and not days.running:
            return {}
        cutoffs = {}
        for data, late in find_late(self._database, self._settings, days.believed).items():
            end = self._ends.setdefault(data, late.oldest + self._settings.prune_days)
            cutoffs[data] = self._database.calendar.day_start(min(late.kept, end))
        return cutoffs


def _oldest_day(connection: sqlite3.Connection, calendar: Calendar, data: str) -> int | None:
    """Return the first day with stored data of a kind; None if there are none."""
    since = read_cutoffs(connection).histories
    if data == "page_statistics":
        pruned = {"pruned": since // HOUR}
        (hour,) = connection.execute(SELECT_OLDEST_HOUR, pruned).fetchone()
        return None if hour is None else calendar.day_of(hour * HOUR)
    days: list[int | None]
    month = None
    if data == "event_ids":
        days = [*connection.execute(SELECT_OLDEST_EVENT_IDS).fetchone()]
    elif data == "counts":
        called, _ = call_days(connection)
        active, _ = active_periods(connection, monthly=False)
        month, _ = active_periods(connection, monthly=True)
        days = [called, active]
    else:
        day, month = connection.execute(SELECT_OLDEST_USERS).fetchone()
        (at,) = connection.execute(SELECT_OLDEST_ENTRY).fetchone()
        # An hour in which a day begins may have entries from before the cutoff; they do not count.
        days = [day, None if at is None else calendar.day_of(max(at, since))]
    if month is not None:
        days.append(last_day_of(month))  # a month is as old as its last day
    return min((day for day in days if day is not None), default=None)
