"""Since when data are kept, where older ones were pruned."""

import sqlite3
from typing import NamedTuple

from ..config import Settings
from ..days import FIRST_DAY, Calendar, month_of
from .database import Database

SELECT_KEPT = "select data, since from kept"


class Cutoffs(NamedTuple):
    """The timestamps at which the first days begin that are kept; 0 where nothing was pruned.

    Nothing is taken in from before them: it would be pruned at once, count again what is counted,
    or be taken for new where its id is not known any more.
    """

    histories: int = 0
    """Also of who was active, and whose calls were counted."""
    page_statistics: int = 0
    counts: int = 0
    event_ids: int = 0

    def first_period(self, data: str, calendar: Calendar, monthly: bool) -> int:
        """Return the first day that is kept of some data, or the first month that is not over then.

        Without anything pruned, that is before all others.
        """
        since = getattr(self, data)
        if not since:
            return FIRST_DAY
        day = calendar.day_of(since)
        return month_of(day) if monthly else day


def read_cutoffs(connection: sqlite3.Connection) -> Cutoffs:
    """Return since when the data of a database are kept."""
    return Cutoffs(**dict(connection.execute(SELECT_KEPT)))


def cutoffs_of(database: Database) -> Cutoffs:
    """Return since when the data of a database are kept now."""
    with database.reading() as connection:
        return read_cutoffs(connection)


def before_cutoff(since: int) -> str:
    """Return what is said of a timestamp that is before what is kept."""
    return f"must not be before {since}: older data were pruned"


def limits(settings: Settings, database: Database, today: int | None = None) -> dict[str, int]:
    """Return the timestamps since when data are to be kept; of what is kept for ever, none.

    Settings count from a day, which is that of the clock if none is given.
    """
    calendar = database.calendar
    if today is None:
        today = calendar.day_of(database.clock.now())
    days = {data: getattr(settings, f"keep_{data}") for data in Cutoffs._fields}
    since = {data: calendar.day_start(today - kept) for data, kept in days.items() if kept}
    return {data: timestamp for data, timestamp in since.items() if timestamp > 0}
