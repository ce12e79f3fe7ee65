"""Answering from the fewest summaries that fit, and from rows."""

import json
import sqlite3
from array import array
from collections import defaultdict

from .spans import HOUR, LENGTHS, joined, range_of_spans
from .summary import Summary, decode

# `cross join` keeps the order: a range of the clustered rows, then each row's page.
SELECT_VIEWS = """
select behavior.timestamp / 3600, referer.page_id << 32 | behavior.user_id
from behavior
cross join referer on referer.id = behavior.referer_id
where behavior.block between :start / 14400 and :end / 14400
  and behavior.timestamp between :start and :end
"""

# A text of JSON a block is read in less time than its rows one by one.
SELECT_VIEWED = """
select json_group_array(referer.page_id << 32 | behavior.user_id)
from behavior
cross join referer on referer.id = behavior.referer_id
where behavior.block between :start / 14400 and :end / 14400
  and behavior.timestamp between :start and :end
group by behavior.block
"""

SELECT_SUMMARIES = """
select level, span, views, visitors, users, checksum
from page_summary
where level = :level and span between :first and :last
order by span
"""


def summarize(connection: sqlite3.Connection, start: int, end: int) -> Summary:
    """Return the summary of a range of seconds, both ends inclusive."""
    first, last = -(-start // HOUR), (end + 1) // HOUR
    if first >= last:
        return _read(connection, start, end)
    parts, gaps = _stored(connection, first, last)
    ranges = [(start, first * HOUR), *((a * HOUR, b * HOUR) for a, b in gaps)]
    ranges.append((last * HOUR, end + 1))
    parts += [_read(connection, a, b - 1) for a, b in joined(ranges)]
    return Summary.union(parts)


def read_hours(connection: sqlite3.Connection, first: int, last: int) -> dict[int, Summary]:
    """Return the summaries of hours from the rows; an hour without rows has none."""
    views: defaultdict[int, array[int]] = defaultdict(lambda: array("Q"))
    parameters = {"start": first * HOUR, "end": last * HOUR - 1}
    for hour, viewed in connection.execute(SELECT_VIEWS, parameters):
        views[hour].append(viewed)
    return {hour: Summary.of(viewed) for hour, viewed in views.items()}


def _stored(
    connection: sqlite3.Connection, first: int, last: int
) -> tuple[list[Summary], list[tuple[int, int]]]:
    """Return the fewest summaries for a range of hours, and the ranges that none is there for."""
    parts = []
    gaps = [(first, last)]
    for level, length in reversed(list(enumerate(LENGTHS))):
        left = []
        for begin, end in gaps:
            parameters = range_of_spans(level, -(-begin // length), end // length - 1)
            for row in connection.execute(SELECT_SUMMARIES, parameters):
                summary = decode(row)
                if summary is None:
                    continue
                parts.append(summary)
                span = row[1]
                left.append((begin, span * length))
                begin = (span + 1) * length
            left.append((begin, end))
        gaps = [(begin, end) for begin, end in left if begin < end]
    return parts, gaps


def _read(connection: sqlite3.Connection, start: int, end: int) -> Summary:
    """Return the summary of a range of seconds from the rows."""
    viewed = array("Q")
    for (block,) in connection.execute(SELECT_VIEWED, {"start": start, "end": end}):
        viewed.extend(json.loads(block))
    return Summary.of(viewed)
