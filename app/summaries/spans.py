"""Spans of time, by level and number."""

import sqlite3

from ..storage.blocks import BLOCK

HOUR = 3600

BLOCK_HOURS = BLOCK // HOUR
"""The length of a block of histories in hours."""

COUNT_BY_LEVEL = "select level, count(*) from page_summary group by level order by level"

LENGTHS = (1, 8, 64, 512)
"""The length of a span in hours, by its level."""


def count_by_level(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """Return each level that has page summaries, with how many it has."""
    return connection.execute(COUNT_BY_LEVEL).fetchall()


def range_of_spans(level: int, first: int, last: int) -> dict[str, int]:
    """Return the parameters of a query for the summaries of a range of spans, inclusive."""
    return {"level": level, "first": first, "last": last}


def joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join those of the ascending ranges that touch, and leave out the empty ones."""
    touching: list[tuple[int, int]] = []
    for begin, end in ranges:
        if begin == end:
            continue
        if touching and touching[-1][1] == begin:
            begin = touching.pop()[0]
        touching.append((begin, end))
    return touching
