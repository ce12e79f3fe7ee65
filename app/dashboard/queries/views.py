"""What was viewed on each day.

Loads bitmaps, so it is imported when the first question needs it.
"""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from pyroaring import BitMap, BitMap64

from ...days import Calendar
from ...summaries.reading import count_views, cover, read_rows
from ...summaries.sealing import extent
from ...summaries.spans import HOUR, LENGTHS
from ...summaries.summary import Row, Summary, decode, users_in
from ...user_analysis.queries import BLOCK
from ..selection import Days

# A seek for each block and user.
COUNT_VIEWS = """
select count(*)
from json_each(:blocks) as blocks
cross join json_each(:users) as users
cross join behavior on behavior.block = blocks.value and behavior.user_id = users.value
cross join referer on referer.id = behavior.referer_id
where behavior.timestamp between :start and :end and referer.page_id = :page
"""


@dataclass(frozen=True)
class Piece:
    """What was viewed from one second to another, both inclusive, within a day."""

    start: int
    end: int
    summary: Summary


def count_by_day(connection: sqlite3.Connection, calendar: Calendar, days: Days) -> dict[int, int]:
    """Return how many views there were on each day; a day without any has no number."""
    counts = {
        day: count_views(connection, *Days(day, day).seconds(calendar))
        for day in _days_with_views(connection, calendar, days)
    }
    return {day: count for day, count in counts.items() if count}


def count_page_by_day(
    connection: sqlite3.Connection,
    calendar: Calendar,
    page: int,
    days: Days,
    users: BitMap | None = None,
) -> dict[int, tuple[int, int]]:
    """Return the views of a page and its users on each day that it was viewed.

    If users are given, they alone are counted, and their views; of time whose histories were
    pruned, these are not known.
    """
    all_pairs = BitMap64(range(page << 32, (page + 1) << 32))
    pairs = all_pairs if users is None else BitMap64(users).shift(page << 32)
    counts = {}
    for day in _days_with_views(connection, calendar, days):
        views = 0
        visitors = BitMap64()
        for piece in _pieces(connection, *Days(day, day).seconds(calendar)):
            if found := piece.summary.visitors & pairs:
                views += _count_views(connection, page, piece, found, all_pairs)
                visitors |= found
        if visitors:
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


def _pieces(connection: sqlite3.Connection, start: int, end: int) -> Iterator[Piece]:
    """Yield what was viewed in a day, by its summaries, and by rows where there are none."""

    def piece(row: Row) -> Piece | None:
        summary = decode(row)
        if summary is None:
            return None
        length = LENGTHS[row[0]] * HOUR
        return Piece(row[1] * length, (row[1] + 1) * length - 1, summary)

    pieces, rest = cover(connection, start, end, piece)
    yield from pieces
    for first, last in rest:
        yield Piece(first, last, read_rows(connection, first, last))


def _count_views(
    connection: sqlite3.Connection, page: int, piece: Piece, pairs: BitMap64, all_pairs: BitMap64
) -> int:
    """Return the views of a page by some of its visitors, each page * 2^32 + user."""
    views = piece.summary.views[page]
    others = (piece.summary.visitors & all_pairs) - pairs
    if len(others) < len(pairs):
        return views - _count_rows(connection, page, piece, others)
    return _count_rows(connection, page, piece, pairs)


def _count_rows(connection: sqlite3.Connection, page: int, piece: Piece, pairs: BitMap64) -> int:
    if not pairs:
        return 0
    parameters = {
        "blocks": json.dumps(list(range(piece.start // BLOCK, piece.end // BLOCK + 1))),
        "users": json.dumps(list(users_in(pairs))),
        "start": piece.start,
        "end": piece.end,
        "page": page,
    }
    (count,) = connection.execute(COUNT_VIEWS, parameters).fetchone()
    return int(count)
