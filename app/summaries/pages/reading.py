"""Answering queries from the fewest summaries that cover a range, and from rows elsewhere."""

import json
import sqlite3
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TypeVar

from ...storage.blocks import block_range
from ...storage.cutoffs import read_cutoffs
from ..spans import HOUR, LENGTHS, joined, range_of_spans
from .summary import Row, Summary, decode, decode_total

Part = TypeVar("Part")

# `cross join` keeps the order: a range of the clustered rows, then each row's page.
SELECT_VIEWS = """
select behavior.timestamp / 3600, referer.page_id << 32 | behavior.user_id
from behavior
cross join referer on referer.id = behavior.referer_id
where behavior.block between :first_block and :last_block
  and behavior.timestamp between :start and :end
"""

# Reading one JSON text per block is faster than reading its rows one by one.
SELECT_VIEWED = """
select json_group_array(referer.page_id << 32 | behavior.user_id)
from behavior
cross join referer on referer.id = behavior.referer_id
where behavior.block between :first_block and :last_block
  and behavior.timestamp between :start and :end
group by behavior.block
"""

COUNT_VIEWS = """
select count(*)
from behavior
where block between :first_block and :last_block
  and timestamp between :start and :end
"""

SELECT_SUMMARIES = """
select level, span, views, visitors, users, checksum
from page_summary
where level = :level and span between :first and :last
order by span
"""

SELECT_PRUNED = """
select level, span, views, visitors, users, checksum
from page_summary
where span << (3 * level) < :pruned
"""


def summarize(connection: sqlite3.Connection, start: int, end: int) -> Summary:
    """Return the summary of a range of seconds, both ends inclusive.

    In pruned time, where only summaries are left, an hour belongs to the range that contains its
    first second.
    """
    parts, rest = cover(connection, start, end, decode)
    parts += [read_rows(connection, a, b) for a, b in rest]
    return Summary.union(parts)


def count_views(connection: sqlite3.Connection, start: int, end: int) -> int:
    """Return how many views there were in a range of seconds, counted as in `summarize`."""
    parts, rest = cover(connection, start, end, decode_total)
    for a, b in rest:
        (rows,) = connection.execute(COUNT_VIEWS, block_range(a, b)).fetchone()
        parts.append(rows)
    return sum(parts)


def cover(
    connection: sqlite3.Connection, start: int, end: int, decode: Callable[[Row], Part | None]
) -> tuple[list[Part], list[tuple[int, int]]]:
    """Return the fewest summaries that cover a range of seconds, decoded, and the uncovered ranges.

    A summary that is decoded to None counts as missing.
    """
    first, last = -(-start // HOUR), (end + 1) // HOUR
    if last < pruned_hours(connection):
        last = end // HOUR + 1
    if first >= last:
        return [], [(start, end)]
    parts, gaps = _stored(connection, first, last, decode)
    ranges = [(start, first * HOUR), *((a * HOUR, b * HOUR) for a, b in gaps)]
    ranges.append((last * HOUR, max(last * HOUR, end + 1)))
    return parts, [(a, b - 1) for a, b in joined(ranges)]


def pruned_hours(connection: sqlite3.Connection) -> int:
    """Return the first hour whose rows were not pruned; 0 if no rows were pruned.

    Only summaries are left of the hours before it.
    """
    return read_cutoffs(connection).histories // HOUR


def read_hours(connection: sqlite3.Connection, first: int, last: int) -> dict[int, Summary]:
    """Return the summaries of hours, made from the rows, or as stored if these were pruned.

    An hour without rows has no summary.
    """
    views: defaultdict[int, array[int]] = defaultdict(lambda: array("Q"))
    parameters = block_range(first * HOUR, last * HOUR - 1)
    for hour, viewed in connection.execute(SELECT_VIEWS, parameters):
        views[hour].append(viewed)
    hours = {hour: Summary.of(viewed) for hour, viewed in views.items()}
    until = min(last, pruned_hours(connection))
    for row in connection.execute(SELECT_SUMMARIES, range_of_spans(0, first, until - 1)):
        if summary := decode(row):
            hours[row[1]] = summary
    return hours


def pruned_summaries(
    connection: sqlite3.Connection,
) -> Iterator[tuple[int, int, Summary | None]]:
    """Yield level, span and summary of each span that begins in pruned time; None if damaged."""
    if pruned := pruned_hours(connection):
        for row in connection.execute(SELECT_PRUNED, {"pruned": pruned}):
            yield row[0], row[1], decode(row)


def read_rows(connection: sqlite3.Connection, start: int, end: int) -> Summary:
    """Return the summary of a range of seconds, made from the rows."""
    viewed = array("Q")
    for (block,) in connection.execute(SELECT_VIEWED, block_range(start, end)):
        viewed.extend(json.loads(block))
    return Summary.of(viewed)


def _stored(
    connection: sqlite3.Connection, first: int, last: int, decode: Callable[[Row], Part | None]
) -> tuple[list[Part], list[tuple[int, int]]]:
    """Return the fewest summaries that cover a range of hours, and the uncovered ranges."""
    parts = []
    gaps = [(first, last)]
    for level, length in reversed(list(enumerate(LENGTHS))):
        left = []
        for begin, end in gaps:
            parameters = range_of_spans(level, -(-begin // length), end // length - 1)
            for row in connection.execute(SELECT_SUMMARIES, parameters):
                part = decode(row)
                if part is None:
                    continue
                parts.append(part)
                span = row[1]
                left.append((begin, span * length))
                begin = (span + 1) * length
            left.append((begin, end))
        gaps = [(begin, end) for begin, end in left if begin < end]
    return parts, gaps
