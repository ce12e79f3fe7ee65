"""Page summaries: what page statistics need to know of a closed span of time, computed once.

A span of level n is 8^n hours long, from an hour to three weeks; spans are counted from
1970-01-01T00:00Z, so that no change of clocks moves them. A span that has ended before today is
*sealed* when a question first asks for it: its summary is stored. A question is answered from the
fewest summaries that fit, and from the rows of what is not sealed.

The rows of `behavior` are the truth. A write drops the summaries of its time in its own
transaction, a summary that is damaged or gone is passed over, and all of them can be dropped at any
time: none of it changes an answer.
"""

import json
import logging
import secrets
import sqlite3
import struct
import sys
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self
from zlib import compress, crc32, decompress

from pyroaring import BitMap, BitMap64

from .database import Database
from .days import Calendar
from .dictionary import PageRule, change_page_rule, read_page_rule
from .errors import ServiceUnavailable

logger = logging.getLogger("saasus_analysis.summaries")

HOUR = 3600
LENGTHS = (1, 8, 64, 512)
"""The hours of a span by its level."""
PIECE = 2
"""The level that is sealed at once, with all levels below it."""
TOP = 3
"""The level of the longest spans."""

PAYS = 256
"""A span of fewer rows is not sealed: reading them costs no more than reading summaries."""

# `cross join` keeps the order: a range of the clustered rows, then each row's page.
SELECT_VIEWS = """
select behavior.timestamp / 3600, referer.page_id << 32 | behavior.user_id
from behavior
cross join referer on referer.id = behavior.referer_id
where behavior.day between :start_day and :end_day
  and behavior.timestamp between :start and :end
"""

# A text of JSON a day is read in less time than its rows one by one.
SELECT_VIEWED = """
select json_group_array(referer.page_id << 32 | behavior.user_id)
from behavior
cross join referer on referer.id = behavior.referer_id
where behavior.day between :start_day and :end_day
  and behavior.timestamp between :start and :end
group by behavior.day
"""

COUNT_VIEWS = """
select count(*)
from (
  select 1
  from behavior
  where day between :start_day and :end_day
    and timestamp between :start and :end
  limit :most
)
"""

SELECT_EXTENT = "select (select min(day) from behavior), (select max(day) from behavior)"

SELECT_NEXT_DAY = "select min(day) from behavior where day >= :day"

SELECT_SUMMARIES = """
select level, span, views, visitors, users, checksum
from page_summary
where level = :level and span between :first and :last
order by span
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

DROP_SUMMARIES = """
delete from page_summary
where level = :level and span between :first and :last
"""

STOP_SEALING = """
delete from page_sealing
where level = :level and span between :first and :last
"""

DROP_ALL = ("delete from page_summary", "delete from page_sealing")


@dataclass
class Summary:
    """What was viewed in some time.

    `views` by page; `visitors`, every page * 2^32 + user that viewed it; and all `users`.
    """

    views: Counter[int] = field(default_factory=Counter)
    visitors: BitMap64 = field(default_factory=BitMap64)
    users: BitMap = field(default_factory=BitMap)

    @classmethod
    def of(cls, viewed: "array[int]") -> Self:
        """Return the summary of views, each given as page * 2^32 + user."""
        halves = memoryview(viewed).cast("B").cast("I")
        low = 0 if sys.byteorder == "little" else 1
        users, pages = halves[low::2], halves[1 - low :: 2]
        return cls(Counter(pages), BitMap64(viewed), BitMap(array("I", users)))

    @classmethod
    def union(cls, summaries: Iterable[Self]) -> Self:
        """Return the summary of the time that summaries cover together."""
        parts = list(summaries)
        views: Counter[int] = Counter()
        for part in parts:
            for page, count in part.views.items():
                views[page] += count
        return cls(
            views,
            BitMap64.union(BitMap64(), *(part.visitors for part in parts)),
            BitMap.union(BitMap(), *(part.users for part in parts)),
        )

    def unique_users(self, page: int) -> int:
        """Return how many users viewed a page."""
        count: int = self.visitors.range_cardinality(page << 32, (page + 1) << 32)
        return count


def summarize(connection: sqlite3.Connection, calendar: Calendar, start: int, end: int) -> Summary:
    """Return the summary of a range of seconds, both ends inclusive."""
    first, last = -(-start // HOUR), (end + 1) // HOUR
    if first >= last:
        return _read(connection, calendar, start, end)
    parts, gaps = _stored(connection, first, last)
    ranges = [(start, first * HOUR), *((a * HOUR, b * HOUR) for a, b in gaps)]
    ranges.append((last * HOUR, end + 1))
    parts += [_read(connection, calendar, a, b - 1) for a, b in _joined(ranges)]
    return Summary.union(parts)


def seal(
    database: Database,
    start: int,
    end: int,
    progress: Callable[[list[Any]], Iterable[Any]] = lambda spans: spans,
) -> None:
    """Seal the closed spans that a range of seconds touches, where it pays.

    Leaves it where another thread is at it, or the database cannot be written to now: an answer
    needs no summaries. `progress` wraps the list of what is to be done.
    """
    if not database.sealing.acquire(blocking=False):
        return
    try:
        closed = _closed(database)
        for level, span in progress(_unsealed(database, start, end, closed)):
            _seal(database, level, span, closed)
    except ServiceUnavailable as error:
        logger.info("page summaries are not stored: %s", error.description)
    finally:
        database.sealing.release()


def drop(connection: sqlite3.Connection, timestamps: Iterable[int]) -> None:
    """Drop the summaries that a write of rows with these timestamps makes wrong."""
    hours = sorted({timestamp // HOUR for timestamp in timestamps})
    for first, last in _joined([(hour, hour + 1) for hour in hours]):
        covering = [
            _spans(level, first // length, (last - 1) // length)
            for level, length in enumerate(LENGTHS)
        ]
        connection.executemany(DROP_SUMMARIES, covering)
        connection.executemany(STOP_SEALING, covering)


def drop_all(connection: sqlite3.Connection) -> None:
    """Drop all summaries."""
    for statement in DROP_ALL:
        connection.execute(statement)


def rebuild(
    database: Database, rule: PageRule, progress: Callable[[list[Any]], Iterable[Any]]
) -> None:
    """Drop all summaries, make the pages by a rule if it is a new one, and seal whatever pays."""
    with database.writing() as connection:
        drop_all(connection)
        if rule != read_page_rule(connection):
            change_page_rule(connection, rule)
        first, last = connection.execute(SELECT_EXTENT).fetchone()
    if first is not None:
        day_start = database.calendar.day_start
        seal(database, day_start(first), day_start(last + 1) - 1, progress)


def check(
    database: Database, progress: Callable[[list[Any]], Iterable[Any]]
) -> Iterator[tuple[int, int, str]]:
    """Compare every summary with the rows; yield level and span of those that are wrong, and why.

    One is `damaged` (not what was stored once) or `differs`.
    """
    with database.reading() as connection:
        spans = connection.execute(SELECT_ALL_SPANS).fetchall()
        tops = sorted({span * LENGTHS[level] // LENGTHS[TOP] for level, span in spans})
        for top in progress(tops):
            for level, span, summary in _make(connection, database.calendar, TOP, top):
                for row in connection.execute(SELECT_SUMMARIES, _spans(level, span, span)):
                    stored = _decode(row)
                    if stored != summary:
                        yield level, span, "differs" if stored else "damaged"


def _closed(database: Database) -> int:
    """Return the first hour that is not over before today."""
    calendar = database.calendar
    return calendar.day_start(calendar.day_of(database.clock.now())) // HOUR


def _unsealed(database: Database, start: int, end: int, closed: int) -> list[tuple[int, int]]:
    """Return the spans to seal, as level and span, for a question about a range of seconds.

    These are the pieces that the range touches and the longer spans that are wholly in it.
    """
    calendar = database.calendar
    found = []
    with database.reading() as connection:
        first_day, last_day = connection.execute(SELECT_EXTENT).fetchone()
        if first_day is None:
            return []
        first = max(start, calendar.day_start(first_day)) // HOUR
        last = min(-(-min(end + 1, calendar.day_start(last_day + 1)) // HOUR), closed)
        for level in range(PIECE, TOP + 1):
            length = LENGTHS[level]
            if level == PIECE:
                spans = range(first // length, -(-last // length))
            else:
                spans = range(-(-first // length), last // length)
            stored = _stored_spans(connection, level, spans)
            next_rows = first
            for span in spans:
                if span in stored or (span + 1) * length <= next_rows:
                    continue
                begin, until = span * length, min((span + 1) * length, closed)
                if until < begin + length:  # today is in it: its closed hours are what can be
                    hours = range(begin, until)
                    if len(_stored_spans(connection, 0, hours)) == len(hours):
                        continue
                rows = _count(connection, calendar, begin, until)
                if rows >= PAYS:
                    found.append((level, span))
                elif not rows:
                    next_rows = _next_rows(connection, calendar, until)
    return found


def _stored_spans(connection: sqlite3.Connection, level: int, spans: range) -> set[int]:
    parameters = _spans(level, spans.start, spans.stop - 1)
    return {span for (span,) in connection.execute(SELECT_SPANS, parameters)}


def _count(connection: sqlite3.Connection, calendar: Calendar, first: int, last: int) -> int:
    """Return how many rows a range of hours has, up to PAYS."""
    parameters = _seconds(calendar, first * HOUR, last * HOUR - 1) | {"most": PAYS}
    (count,) = connection.execute(COUNT_VIEWS, parameters).fetchone()
    return int(count)


def _next_rows(connection: sqlite3.Connection, calendar: Calendar, hour: int) -> int:
    """Return the hour in which the first day begins that has rows and does not end before an hour.

    Returns the hour itself where there is no such day.
    """
    parameters = {"day": calendar.day_of(hour * HOUR)}
    (day,) = connection.execute(SELECT_NEXT_DAY, parameters).fetchone()
    return hour if day is None else calendar.day_start(day) // HOUR


def _seal(database: Database, level: int, span: int, closed: int) -> None:
    """Seal a span; leave it if its time is written to in the meantime.

    Such a write takes the token away, in the transaction that changes the rows.
    """
    token = secrets.randbits(63)
    with database.writing() as connection:
        connection.execute(BEGIN_SEALING, (level, span, token))
    with database.reading() as connection:
        if level == PIECE:
            made = _make(connection, database.calendar, level, span, closed)
            rows = [_encode(*summary) for summary in made]
        else:
            rows = [_encode(level, span, _parent(connection, database.calendar, level, span))]
    with database.writing() as connection:
        if connection.execute(END_SEALING, (level, span, token)).rowcount:
            connection.executemany(INSERT_SUMMARY, rows)


def _make(
    connection: sqlite3.Connection,
    calendar: Calendar,
    level: int,
    span: int,
    closed: int = sys.maxsize,
    hours: dict[int, Summary] | None = None,
) -> Generator[tuple[int, int, Summary], None, Summary]:
    """Yield level, span and summary, from the rows, of a span and of all in it that are closed."""
    if level == PIECE:
        until = min((span + 1) * LENGTHS[PIECE], closed)
        hours = _read_hours(connection, calendar, span * LENGTHS[PIECE], until)
    if level == 0:
        summary = (hours or {}).get(span) or Summary()
    else:
        parts = []
        for child in range(8 * span, 8 * span + 8):
            part = yield from _make(connection, calendar, level - 1, child, closed, hours)
            parts.append(part)
        summary = Summary.union(parts)
    if (span + 1) * LENGTHS[level] <= closed:
        yield level, span, summary
    return summary


def _parent(connection: sqlite3.Connection, calendar: Calendar, level: int, span: int) -> Summary:
    """Return the summary of a long span, from those of the level below and rows for the rest."""
    length = LENGTHS[level] * HOUR
    return summarize(connection, calendar, span * length, (span + 1) * length - 1)


def _stored(
    connection: sqlite3.Connection, first: int, last: int
) -> tuple[list[Summary], list[tuple[int, int]]]:
    """Return the fewest summaries for a range of hours, and the ranges that none is there for."""
    parts = []
    gaps = [(first, last)]
    for level in range(TOP, -1, -1):
        length = LENGTHS[level]
        left = []
        for begin, end in gaps:
            parameters = _spans(level, -(-begin // length), end // length - 1)
            for row in connection.execute(SELECT_SUMMARIES, parameters):
                summary = _decode(row)
                if summary is None:
                    continue
                parts.append(summary)
                span = row[1]
                left.append((begin, span * length))
                begin = (span + 1) * length
            left.append((begin, end))
        gaps = [(begin, end) for begin, end in left if begin < end]
    return parts, gaps


def _read(connection: sqlite3.Connection, calendar: Calendar, start: int, end: int) -> Summary:
    """Return the summary of a range of seconds from the rows."""
    viewed = array("Q")
    for (day,) in connection.execute(SELECT_VIEWED, _seconds(calendar, start, end)):
        viewed.extend(json.loads(day))
    return Summary.of(viewed)


def _read_hours(
    connection: sqlite3.Connection, calendar: Calendar, first: int, last: int
) -> dict[int, Summary]:
    """Return the summaries of hours from the rows; an hour without rows has none."""
    views: defaultdict[int, array[int]] = defaultdict(lambda: array("Q"))
    parameters = _seconds(calendar, first * HOUR, last * HOUR - 1)
    for hour, viewed in connection.execute(SELECT_VIEWS, parameters):
        views[hour].append(viewed)
    return {hour: Summary.of(viewed) for hour, viewed in views.items()}


def _seconds(calendar: Calendar, start: int, end: int) -> dict[str, int]:
    return {
        "start": start,
        "end": end,
        "start_day": calendar.day_of(start),
        "end_day": calendar.day_of(end),
    }


def _spans(level: int, first: int, last: int) -> dict[str, int]:
    return {"level": level, "first": first, "last": last}


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ascending ranges with those joined that touch, and without those that are empty."""
    joined: list[tuple[int, int]] = []
    for begin, end in ranges:
        if begin == end:
            continue
        if joined and joined[-1][1] == begin:
            begin = joined.pop()[0]
        joined.append((begin, end))
    return joined


def _encode(level: int, span: int, summary: Summary) -> tuple[int, int, bytes, bytes, bytes, int]:
    pages, counts = summary.views.keys(), summary.views.values()
    views = compress(struct.pack(f"<{len(pages)}I{len(pages)}Q", *pages, *counts), level=1)
    visitors, users = summary.visitors.serialize(), summary.users.serialize()
    return level, span, views, visitors, users, _checksum(level, span, views, visitors, users)


def _decode(row: tuple[int, int, bytes, bytes, bytes, int]) -> Summary | None:
    """Return a stored summary, or None if it is not what was stored."""
    level, span, views, visitors, users, checksum = row
    if _checksum(level, span, views, visitors, users) != checksum:
        return None
    unpacked = decompress(views)
    count = len(unpacked) // struct.calcsize("<IQ")
    numbers = struct.unpack(f"<{count}I{count}Q", unpacked)
    return Summary(
        Counter(dict(zip(numbers[:count], numbers[count:], strict=True))),
        BitMap64.deserialize(visitors),
        BitMap.deserialize(users),
    )


def _checksum(level: int, span: int, views: bytes, visitors: bytes, users: bytes) -> int:
    start = struct.pack("<5q", level, span, len(views), len(visitors), len(users))
    return crc32(users, crc32(visitors, crc32(views, crc32(start))))
