"""Dropping the summaries that a write makes outdated.

This is a module of its own, since those that seal and read load bitmaps, which writes do not need.
"""

import sqlite3
from collections.abc import Iterable

from ..days import Calendar
from .spans import HOUR, LENGTHS, joined, range_of_spans

DROP_SUMMARIES = """
delete from page_summary
where level = :level and span between :first and :last
"""

STOP_SEALING = """
delete from page_sealing
where level = :level and span between :first and :last
"""

STOP_ALL_SEALING = "delete from page_sealing"

DROP_ACTIONS = """
delete from period_summary
where data = 'actions' and monthly = 0 and period between :first and :last
"""

DROP_ACTIVE = """
delete from period_summary
where data in ('users', 'members', 'callers') and monthly = ? and period = ?
"""

DROP_CALLERS = "delete from period_summary where data = 'callers' and period = ?"

DROP_ALL = (
    """
    delete from page_summary
    where (span + 1) << (3 * level) >
      coalesce((select since / 3600 from kept where data = 'histories'), 0)
    """,
    STOP_ALL_SEALING,
    "delete from period_summary",
)


def invalidate(
    connection: sqlite3.Connection, calendar: Calendar, timestamps: Iterable[int]
) -> None:
    """Drop the summaries that a write of histories with these timestamps makes outdated.

    The action summaries of all days that overlap the hours of these timestamps are dropped, too.
    """
    hours = sorted({timestamp // HOUR for timestamp in timestamps})
    for first, last in joined([(hour, hour + 1) for hour in hours]):
        covering = [
            range_of_spans(level, first // length, (last - 1) // length)
            for level, length in enumerate(LENGTHS)
        ]
        connection.executemany(DROP_SUMMARIES, covering)
        connection.executemany(STOP_SEALING, covering)
        days = {"first": calendar.day_of(first * HOUR), "last": calendar.day_of(last * HOUR - 1)}
        connection.execute(DROP_ACTIONS, days)


def invalidate_active_users(
    connection: sqlite3.Connection, periods: Iterable[tuple[bool, int]]
) -> None:
    """Drop the summaries of who was active, by (whether the period is a month, period)."""
    connection.executemany(DROP_ACTIVE, sorted(periods))


def invalidate_callers(connection: sqlite3.Connection, days: Iterable[int]) -> None:
    """Drop the summaries of who called on these days."""
    connection.executemany(DROP_CALLERS, [(day,) for day in sorted(days)])


def stop_sealing(connection: sqlite3.Connection) -> None:
    """Prevent page summaries that are being made now from being stored."""
    connection.execute(STOP_ALL_SEALING)


def invalidate_all(connection: sqlite3.Connection) -> None:
    """Drop all summaries except those of pruned time, which cannot be made again."""
    for statement in DROP_ALL:
        connection.execute(statement)
