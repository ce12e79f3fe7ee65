"""What was viewed on each day, by all users.

Loads bitmaps, so it is imported when the first question needs it.
"""

import sqlite3

from pyroaring import BitMap64

from ...days import Calendar
from ...summaries.reading import count_views, cover, read_rows
from ...summaries.sealing import extent
from ...summaries.spans import HOUR
from ...summaries.summary import decode
from ..selection import Days


def count_by_day(connection: sqlite3.Connection, calendar: Calendar, days: Days) -> dict[int, int]:
    """Return how many views there were on each day; a day without any has no number."""
    counts = {
        day: count_views(connection, *Days(day, day).seconds(calendar))
        for day in _days_with_views(connection, calendar, days)
    }
    return {day: count for day, count in counts.items() if count}


def count_page_by_day(
    connection: sqlite3.Connection, calendar: Calendar, page: int, days: Days
) -> dict[int, tuple[int, int]]:
    """Return the views and users of a page on each day that it was viewed."""
    of_page = BitMap64(range(page << 32, (page + 1) << 32))
    counts = {}
    for day in _days_with_views(connection, calendar, days):
        parts, rest = cover(connection, *Days(day, day).seconds(calendar), decode)
        parts += [read_rows(connection, start, end) for start, end in rest]
        views = sum(part.views[page] for part in parts)
        if views:
            visitors = BitMap64.union(BitMap64(), *(part.visitors & of_page for part in parts))
            counts[day] = views, len(visitors)
    return counts


def _days_with_views(connection: sqlite3.Connection, calendar: Calendar, days: Days) -> range:
    """Return the days between the first and the last view."""
    first, last = extent(connection)
    if first is None:
        return range(0)
    return range(
        max(days.first, calendar.day_of(first * HOUR)),
        min(days.last, calendar.day_of(last * HOUR - 1)) + 1,
    )
