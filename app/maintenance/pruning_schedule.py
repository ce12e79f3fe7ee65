"""What may be pruned without a person: the clock alone does not decide it.

A clock that is wrong for a moment would delete everything, for ever. So `serve` believes the clock
only as far as something else bears it out: what is stored, what was done, or how long the process
has run. And in a day of the process's own time, it deletes a few days of data at most.
"""

import sqlite3
import time
from collections.abc import Mapping
from typing import NamedTuple

from ..analytics.data_range import active_periods, call_days
from ..config import Settings
from ..days import Calendar, last_day_of
from ..storage.cutoffs import limits, read_cutoffs
from ..storage.database import Database
from ..summaries.spans import HOUR

DAY = 86400

# The block of this moment may reach into a time to come: no timestamp is later than now.
SELECT_NEWEST = """
select min(max(at), :now)
from (
  select max(timestamp) as at
  from behavior
  where block = (select max(block) from behavior where block <= :now / 14400)
  union all
  select max(at) from audit where at <= :now
)
"""

SELECT_OLDEST_ENTRY = """
select min(timestamp)
from behavior
where block = (select min(block) from behavior)
"""

SELECT_OLDEST_HOUR = "select min(span) from page_summary where level = 0 and span < :pruned"

# The first day, and the first month, with any.
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
    """Data that are older than the settings keep, as days."""

    oldest: int
    kept: int
    """The first day that is kept by the settings and the clock."""

    @property
    def days(self) -> int:
        return self.kept - self.oldest


def newest_day(database: Database) -> int | None:
    """Return the last day, today at most, that anything is stored of or was done on."""
    now, day_of = database.clock.now(), database.calendar.day_of
    with database.reading() as connection:
        (at,) = connection.execute(SELECT_NEWEST, {"now": now}).fetchone()
        _, day = call_days(connection, last=day_of(now))
    days = [day, None if at is None else day_of(at)]
    return max((day for day in days if day is not None), default=None)


def find_late(database: Database, settings: Settings, today: int | None = None) -> dict[str, Late]:
    """Return what is older than the settings keep, counted from a day, or from today."""
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
    """Return what should be gone since yesterday or longer."""
    return {data: late for data, late in find_late(database, settings).items() if late.days > 1}


class Days(NamedTuple):
    """The days that a process prunes by: what there is to do changes when one of them does."""

    today: int
    """By the clock."""
    believed: int | None
    """The last day, today at most, that something bears out; None: nothing is stored."""
    running: int
    """How many days the process has run."""


class Schedule:
    """How far a process prunes by itself, as long as it runs."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings
        self._began = time.monotonic()
        self._first_day = newest_day(database)
        self._running = 0
        self._ends: dict[str, int] = {}

    def days(self) -> Days:
        """Return the days now."""
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
        """Return the timestamps to prune to, of what there is to delete."""
        if days.running != self._running:
            self._running = days.running
            self._ends.clear()
        if days.believed is None:
            return {}
        cutoffs = {}
        for data, late in find_late(self._database, self._settings, days.believed).items():
            end = self._ends.setdefault(data, late.oldest + self._settings.prune_days)
            cutoffs[data] = self._database.calendar.day_start(min(late.kept, end))
        return cutoffs


def _oldest_day(connection: sqlite3.Connection, calendar: Calendar, data: str) -> int | None:
    """Return the first day that data are stored of; None if there are none."""
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
        # What is left of an hour in which a day began is pruned already.
        days = [day, None if at is None else calendar.day_of(max(at, since))]
    if month is not None:
        days.append(last_day_of(month))  # a month is over with its last day
    return min((day for day in days if day is not None), default=None)
