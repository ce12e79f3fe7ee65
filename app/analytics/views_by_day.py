"""What was viewed on each day.

This module loads bitmaps, so it is imported when the first query needs it.
"""

import json
import sqlite3
from dataclasses import dataclass

from pyroaring import BitMap, BitMap64

from ..days import Calendar
from ..storage.blocks import block_range, blocks_between
from ..summaries.pages.reading import count_views, cover
from ..summaries.pages.sealing import extent
from ..summaries.pages.summary import Row, Summary, decode, users_in
from ..summaries.spans import HOUR, LENGTHS
from .selection import Days

SELECT_PAIRS = """
select json_group_array(referer.page_id << 32 | behavior.user_id)
from behavior
cross join referer on referer.id = behavior.referer_id
where behavior.block between :first_block and :last_block
  and behavior.timestamp between :start and :end
  and referer.page_id = :page
"""

# One index seek per block and user.
COUNT_VIEWS = """
select count(*)
from json_each(:blocks) as blocks
cross join json_each(:users) as users
cross join behavior on behavior.block = blocks.value and behavior.user_id = users.value
cross join referer on referer.id = behavior.referer_id
where behavior.timestamp between :start and :end and referer.page_id = :page
"""


@dataclass(frozen=True)
class Span:
    """What was viewed in a span of hours, from one second to another, both inclusive."""

    start: int
    end: int
    summary: Summary


def count_by_day(connection: sqlite3.Connection, calendar: Calendar, days: Days) -> dict[int, int]:
    """Return how many views there were on each day; days without any are left out."""
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

    If `users` are given, only they and their views are counted. These views are not known where
    histories were pruned.
    """
    all_pairs = BitMap64(range(page << 32, (page + 1) << 32))
    pairs = all_pairs if users is None else BitMap64(users).shift(page << 32)
    counts = {}
    for day in _days_with_views(connection, calendar, days):
        views = 0
        visitors = BitMap64()
        spans, rest = cover(connection, *Days(day, day).seconds(calendar), _decode)
        for span in spans:
            if found := span.summary.visitors & pairs:
                views += _count_views(connection, page, span, found, all_pairs)
                visitors |= found
        for start, end in rest:
            parameters = {"page": page} | block_range(start, end)
            (viewed,) = connection.execute(SELECT_PAIRS, parameters).fetchone()
            counted = [pair for pair in json.loads(viewed) if pair in pairs]
            views += len(counted)
            visitors.update(counted)
        if visitors:
            counts[day] = views, len(visitors)
    return counts


def _days_with_views(connection: sqlite3.Connection, calendar: Calendar, days: Days) -> range:
    """Return those of the days that are between the first and the last view."""
    first, last = extent(connection)
    if first is None:
        return range(0)
    return range(
        max(days.first, calendar.day_of(first * HOUR)),
        min(days.last, calendar.day_of(last * HOUR - 1)) + 1,
    )


def _decode(row: Row) -> Span | None:
    summary = decode(row)
    if summary is None:
        return None
    level, span, *_ = row
    length = LENGTHS[level] * HOUR
    return Span(span * length, (span + 1) * length - 1, summary)


def _count_views(
    connection: sqlite3.Connection, page: int, span: Span, pairs: BitMap64, all_pairs: BitMap64
) -> int:
    """Return the views of a page by some of its visitors, each page * 2^32 + user."""
    views = span.summary.views[page]
    others = (span.summary.visitors & all_pairs) - pairs
    if len(others) < len(pairs):
        return views - _count_rows(connection, page, span, others)
    return _count_rows(connection, page, span, pairs)


def _count_rows(connection: sqlite3.Connection, page: int, span: Span, pairs: BitMap64) -> int:
    if not pairs:
        return 0
    parameters = {
        "blocks": json.dumps(list(blocks_between(span.start, span.end))),
        "users": json.dumps(list(users_in(pairs))),
        "start": span.start,
        "end": span.end,
        "page": page,
    }
    (count,) = connection.execute(COUNT_VIEWS, parameters).fetchone()
    return int(count)
