"""Spans of time, by level and number."""

import sqlite3

from ..storage.blocks import BLOCK

HOUR = 3600

BLOCK_HOURS = BLOCK // HOUR
"""The hours of a block of histories."""

COUNT_BY_LEVEL = "select level, count(*) from page_summary group by level order by level"

LENGTHS = (1, 8, 64, 512)
"""The hours of a span by its level."""


def count_by_level(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """Return how many summaries there are of each level."""
    return connection.execute(COUNT_BY_LEVEL).fetchall()


def range_of_spans(level: int, first: int, last: int) -> dict[str, int]:
    """Return the parameters of a query for summaries."""
    return {"level": level, "first": first, "last": last}


def joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ascending ranges with those joined that touch, and without those that are empty."""
    touching: list[tuple[int, int]] = []
    for begin, end in ranges:
        if begin == end:
            continue
        if touching and touching[-1][1] == begin:
            begin = touching.pop()[0]
        touching.append((begin, end))
    return touching
