"""Sealing closed spans of time, which ended before today, and checking the stored summaries."""

import sqlite3
import sys
from collections.abc import Generator, Iterator

from ...storage.blocks import block_range
from ...storage.database import Database
from ...storage.page_rule import PageRule, change_page_rule, read_page_rule
from ..invalidation import invalidate_all
from ..seal_lock import PATIENCE, Progress, left_to_questions, seal_lock, seal_one
from ..spans import BLOCK_HOURS, HOUR, LENGTHS, joined, range_of_spans
from .reading import SELECT_SUMMARIES, pruned_hours, pruned_summaries, read_hours, summarize
from .summary import Row, Summary, decode, encode

PIECE, TOP = 2, 3
"""The level that is sealed together with all levels below it, and that of the longest spans."""

PAYS = 256
"""A span with fewer rows is not sealed: reading them costs no more than reading summaries."""


COUNT_VIEWS = """
select count(*)
from (
  select 1
  from behavior
  where block between :first_block and :last_block
    and timestamp between :start and :end
  limit :most
)
"""

# In hours. In pruned time, the summaries of hours take the place of the rows.
SELECT_EXTENT = """
select min(hour), max(hour) + 1
from (
  select min(block) * :block_hours as hour from behavior
  union all
  select (max(block) + 1) * :block_hours - 1 from behavior
  union all
  select min(span) from page_summary where level = 0 and span < :pruned
  union all
  select max(span) from page_summary where level = 0 and span < :pruned
)
"""

SELECT_NEXT = """
select min(hour)
from (
  select min(block) * :block_hours as hour
  from behavior
  where block >= :hour / :block_hours
  union all
  select min(span) from page_summary where level = 0 and span >= :hour and span < :pruned
)
"""

SELECT_SPANS = """
select span
from page_summary
where level = :level and span between :first and :last
"""

SELECT_ALL_SPANS = "select level, span from page_summary"

INSERT_SUMMARY = """
insert or replace into page_summary (level, span, views, visitors, users, checksum)
values (?, ?, ?, ?, ?, ?)
"""

BEGIN_SEALING = "insert or replace into page_sealing (level, span, token) values (?, ?, ?)"

END_SEALING = "delete from page_sealing where level = ? and span = ? and token = ?"


def seal(
    database: Database,
    start: int,
    end: int,
    progress: Progress = lambda spans: spans,
    patience: int | None = PATIENCE,
) -> None:
    """Seal the closed spans that a range of seconds touches and that have enough rows.

    Does nothing if another thread is sealing, and stops if the database cannot be written to within
    `patience` seconds (see `seal_lock`). `progress` wraps the list of the spans to seal.
    """
    with seal_lock(database, patience) as mine:
        if mine:
            closed = _closed(database)
            for level, span in progress(_unsealed(database, start, end, closed)):
                _seal(database, level, span, closed, patience)


def store_hours(connection: sqlite3.Connection, first: int, last: int) -> None:
    """Store the missing summaries of hours whose rows are about to be pruned."""
    stored = connection.execute(SELECT_SUMMARIES, range_of_spans(0, first, last - 1))
    whole = {row[1] for row in stored if decode(row)}
    missing = [(hour, hour + 1) for hour in range(first, last) if hour not in whole]
    for begin, end in joined(missing):
        made = read_hours(connection, begin, end)
        rows = [encode(0, hour, summary) for hour, summary in made.items()]
        connection.executemany(INSERT_SUMMARY, rows)


def rebuild(database: Database, rule: PageRule, progress: Progress) -> None:
    """Drop all summaries, apply the page rule if it has changed, and seal what has enough rows.

    The summaries of pruned time stay, with the pages of the old rule.
    """
    with database.writing() as connection:
        invalidate_all(connection)
        if rule != read_page_rule(connection):
            summaries = (summary for _, _, summary in pruned_summaries(connection) if summary)
            kept = {page for summary in summaries for page in summary.views}
            change_page_rule(connection, rule, kept)
        first, last = extent(connection)
    if first is not None:
        with left_to_questions():
            seal(database, first * HOUR, last * HOUR - 1, progress, patience=None)


def check(connection: sqlite3.Connection, progress: Progress) -> Iterator[tuple[int, int, str]]:
    """Compare every summary with the rows; yield level, span and error of each wrong one.

    The error is `damaged` (the checksum does not match) or `differs` (from the rows).
    """
    spans = connection.execute(SELECT_ALL_SPANS).fetchall()
    tops = sorted({span * LENGTHS[level] // LENGTHS[TOP] for level, span in spans})
    for top in progress(tops):
        for level, span, summary in _make(connection, TOP, top):
            for row in connection.execute(SELECT_SUMMARIES, range_of_spans(level, span, span)):
                stored = decode(row)
                if stored != summary:
                    yield level, span, "differs" if stored else "damaged"


def _closed(database: Database) -> int:
    """Return the hour in which today begins: all hours before it are closed."""
    calendar = database.calendar
    return calendar.day_start(calendar.day_of(database.clock.now())) // HOUR


def _unsealed(database: Database, start: int, end: int, closed: int) -> list[tuple[int, int]]:
    """Return the spans to seal, as level and span, for a query about a range of seconds.

    These are the spans of level PIECE that the range touches, and the longer ones that are
    completely inside it.
    """
    found = []
    with database.reading() as connection:
        begin_of_rows, end_of_rows = extent(connection)
        if begin_of_rows is None:
            return []
        first = max(start // HOUR, begin_of_rows)
        last = min(end // HOUR + 1, end_of_rows, closed)
        for level in range(PIECE, TOP + 1):
            length = LENGTHS[level]
            spans = range(-(-first // length), last // length)
            if level == PIECE:
                spans = range(first // length, -(-last // length))
            found += [(level, span) for span in _missing(connection, level, spans, closed)]
    return found


def _missing(
    connection: sqlite3.Connection, level: int, spans: range, closed: int
) -> Iterator[int]:
    """Yield the spans that are not sealed and have enough rows."""
    length = LENGTHS[level]
    stored = _stored_spans(connection, level, spans)
    next_rows = spans.start * length
    pruned = pruned_hours(connection)
    for span in spans:
        begin, end = span * length, (span + 1) * length
        if span in stored or end <= next_rows:
            continue
        until = min(end, closed)
        if until < end:  # it contains today, so only its closed hours can be sealed
            hours = range(max(begin, pruned), until)
            if len(_stored_spans(connection, 0, hours)) == len(hours):
                continue
        rows = _count(connection, begin, until)
        if rows >= PAYS or (
            begin < pruned and _stored_spans(connection, 0, range(begin, min(end, pruned)))
        ):
            yield span
        elif not rows:
            next_rows = _next(connection, until)


def _stored_spans(connection: sqlite3.Connection, level: int, spans: range) -> set[int]:
    parameters = range_of_spans(level, spans.start, spans.stop - 1)
    return {span for (span,) in connection.execute(SELECT_SPANS, parameters)}


def _count(connection: sqlite3.Connection, first: int, last: int) -> int:
    """Return how many rows a range of hours has, but at most PAYS."""
    parameters = {**block_range(first * HOUR, last * HOUR - 1), "most": PAYS}
    (count,) = connection.execute(COUNT_VIEWS, parameters).fetchone()
    return int(count)


def extent(connection: sqlite3.Connection) -> tuple[int | None, int]:
    """Return the first hour that can be summarized, and the hour after the last; None if none."""
    hours: tuple[int | None, int] = connection.execute(
        SELECT_EXTENT, {"pruned": pruned_hours(connection), "block_hours": BLOCK_HOURS}
    ).fetchone()
    return hours


def _next(connection: sqlite3.Connection, hour: int) -> int:
    """Return a lower bound of the next hour that can be summarized, not before the given hour."""
    parameters = {"hour": hour, "pruned": pruned_hours(connection), "block_hours": BLOCK_HOURS}
    (found,) = connection.execute(SELECT_NEXT, parameters).fetchone()
    return hour if found is None else int(found)


def _seal(database: Database, level: int, span: int, closed: int, patience: int | None) -> None:
    def begin(connection: sqlite3.Connection, token: int) -> None:
        connection.execute(BEGIN_SEALING, (level, span, token))

    def make(connection: sqlite3.Connection) -> list[Row]:
        if level > PIECE:
            return [encode(level, span, _parent(connection, level, span))]
        pruned = pruned_hours(connection)
        return [
            encode(level, span, summary)
            for level, span, summary in _make(connection, level, span, closed)
            # A pruned hour without views is unknown, since its stored summary may be damaged.
            if summary.views or (span + 1) * LENGTHS[level] > pruned
        ]

    def end(connection: sqlite3.Connection, token: int, made: list[Row]) -> None:
        if connection.execute(END_SEALING, (level, span, token)).rowcount:
            connection.executemany(INSERT_SUMMARY, made)

    seal_one(database, patience, begin, make, end)


def _make(
    connection: sqlite3.Connection,
    level: int,
    span: int,
    closed: int = sys.maxsize,
    hours: dict[int, Summary] | None = None,
) -> Generator[tuple[int, int, Summary], None, Summary]:
    """Yield level, span and summary, made from the rows, of the closed spans within a span."""
    if level == PIECE:
        until = min((span + 1) * LENGTHS[PIECE], closed)
        hours = read_hours(connection, span * LENGTHS[PIECE], until)
    if level == 0:
        summary = (hours or {}).get(span) or Summary()
    else:
        parts = []
        for child in range(8 * span, 8 * span + 8):
            part = yield from _make(connection, level - 1, child, closed, hours)
            parts.append(part)
        summary = Summary.union(parts)
    if (span + 1) * LENGTHS[level] <= closed:
        yield level, span, summary
    return summary


def _parent(connection: sqlite3.Connection, level: int, span: int) -> Summary:
    """Return the summary of a long span, made from shorter summaries, and rows where none are."""
    length = LENGTHS[level] * HOUR
    return summarize(connection, span * length, (span + 1) * length - 1)
