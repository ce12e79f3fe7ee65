"""Retention cutoffs: the timestamps before which data were pruned."""

import sqlite3
from typing import NamedTuple

from ..config import Settings
from ..days import FIRST_DAY, Calendar, month_of
from .database import Database

SELECT_KEPT = "select data, since from kept"


class Cutoffs(NamedTuple):
    """The retention cutoffs: the start of the first kept day, or 0 if nothing was pruned.

    Data before a cutoff are not accepted: they would be pruned at once, be counted twice, or be
    taken for new because their id was pruned.
    """

    histories: int = 0
    """This cutoff also applies to who was active and to whose calls were counted."""
    page_statistics: int = 0
    counts: int = 0
    event_ids: int = 0

    def first_period(self, data: str, calendar: Calendar, monthly: bool) -> int:
        """Return the first day for which some data are kept, or the month that contains this day.

        If none were pruned, return a number before all days and months.
        """
        since = getattr(self, data)
        if not since:
            return FIRST_DAY
        day = calendar.day_of(since)
        return month_of(day) if monthly else day


def read_cutoffs(connection: sqlite3.Connection) -> Cutoffs:
    """Return the retention cutoffs of a database."""
    return Cutoffs(**dict(connection.execute(SELECT_KEPT)))


def cutoffs_of(database: Database) -> Cutoffs:
    """Return the current retention cutoffs of a database."""
    with database.reading() as connection:
        return read_cutoffs(connection)


def before_cutoff(since: int) -> str:
    """Return the error message for a timestamp before a retention cutoff."""
    return f"must not be before {since}: older data were pruned"


def limits(settings: Settings, database: Database, today: int | None = None) -> dict[str, int]:
    """Return the cutoffs that the settings ask for; data that are kept for ever have none.

    The settings count days back from `today`, by default the day of the clock.
    """
    calendar = database.calendar
    if today is None:
        today = calendar.day_of(database.clock.now())
    days = {data: getattr(settings, f"keep_{data}") for data in Cutoffs._fields}
    since = {data: calendar.day_start(today - kept) for data, kept in days.items() if kept}
    return {data: timestamp for data, timestamp in since.items() if timestamp > 0}
