"""Event ids, stored as digests of 16 bytes to recognize a second delivery.

The text of an id is not stored: it may name a person, and nothing needs it again. The digest has no
secret key, so that any database that imports an export recognizes duplicates.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from hashlib import blake2b
from itertools import chain, groupby, pairwise

from ..days import FIRST_DAY, LAST_DAY, format_day
from .event_id_rows import (
    LONGEST,
    PREFIX_SHIFT,
    PREFIX_SIZE,
    START_SIZE,
    Row,
    cut,
    first_start,
    pack,
    pack_in_order,
    start_of,
)

SIZE = 16
"""The bytes of a digest; two ids have the same one with a probability of 2^-96 at most."""

STEM_SIZE = 4
"""How many of these bytes are a digest of the stem of an id."""

NUMBERED = 4
"""How many characters at the end of an id are not part of its stem."""

# Copying a hash object takes half as long as making a new one.
STEM, WHOLE = blake2b(digest_size=STEM_SIZE), blake2b(digest_size=SIZE - STEM_SIZE)

ASKED = 1000
"""How many digests are looked up, or how many rows are read for a deletion, at once."""

BEFORE_ALL = -1
"""A number below the `start` of every row."""

AFTER_ALL = Row(1 << 8 * START_SIZE, 0, b"")
"""A row that comes after all others."""

# For each number, the `start` of the row that it belongs in, in the order of the numbers.
SELECT_STARTS = """
select (select max(start) from event_id where start <= asked.value)
from json_each(?) as asked
"""

SELECT_ROWS_AT = """
select start, wide, ids
from event_id
where start in (select value from json_each(?))
"""

# SQLite concatenates blobs into a text with the same bytes, so the result is cast.
APPEND = "update event_id set ids = cast(ids || ? as blob) where start = ?"

# The row of a start, with at most three rows before it and four after it, all of the same prefix.
SELECT_AROUND = """
select start, wide, ids
from event_id
where start >= coalesce(
    (
      select start
      from event_id
      where start >= :first and start < :start
      order by start desc
      limit 1 offset 2
    ),
    :first
  )
  and start < :end
order by start
limit 8
"""

DELETE_AROUND = "delete from event_id where start between ? and ?"

INSERT_ROW = "insert into event_id (start, wide, ids) values (?, ?, ?)"

UPDATE_ROW = "update event_id set wide = ?2, ids = ?3 where start = ?1"

DELETE_ROW = "delete from event_id where start = ?"

SELECT_ROWS = "select start, wide, ids from event_id order by start"

SELECT_ROWS_AFTER = """
select start, wide, ids
from event_id
where start > ?
order by start
limit ?
"""

ADD_TO_DAY = """
insert into event_id_day (day, count)
values (?, ?)
on conflict (day) do update set count = count + excluded.count
"""

DELETE_DAY = "delete from event_id_day where day = ? and count <= ?"

SUBTRACT_FROM_DAY = "update event_id_day set count = count - ?2 where day = ?1"

HAS_DAY = "select exists (select 1 from event_id_day where day between ? and ?)"

SELECT_DAYS = "select day, count from event_id_day"


def digest_of(source: str, id_: str) -> bytes:
    """Return the digest of an id and the feed that it comes from.

    The digests of ids that differ only in their last characters begin with the same bytes, so that
    consecutive ids are stored next to each other instead of each in another page.
    """
    text = f"{source}\0{id_}"
    stem, whole = STEM.copy(), WHOLE.copy()
    stem.update(text[:-NUMBERED].encode())
    whole.update(text.encode())
    return stem.digest() + whole.digest()


class EventIds:
    """The ids in one transaction: those that are already stored, and those that it adds."""

    def __init__(self, connection: sqlite3.Connection, digests: Collection[bytes]) -> None:
        self._connection = connection
        self._days: dict[bytes, int] = {}
        self._starts: dict[bytes, int] = {}
        """The start of the row of each digest."""
        self._room: dict[int, int] = {}
        """How many bytes can still be appended to a row, by its start."""
        self._added: list[bytes] = []
        in_order = sorted(digests)
        for begin in range(0, len(in_order), ASKED):
            self._look_up(in_order[begin : begin + ASKED])

    def __contains__(self, digest: bytes | None) -> bool:
        return digest in self._days

    def day_of(self, digest: bytes) -> int | None:
        """Return the day of one of the digests; None if it is not known."""
        return self._days.get(digest)

    def add(self, digest: bytes, day: int) -> None:
        """Add one of the digests unless it is known."""
        if digest not in self._days:
            self._days[digest] = day
            self._added.append(digest)

    def store(self) -> None:
        """Store what was added."""
        days, room = self._days, self._room
        appended: list[tuple[bytes, int]] = []
        others: dict[int, Row] = {}
        for start, digests in groupby(sorted(self._added), self._starts.__getitem__):
            row = pack(start, [(digest[PREFIX_SIZE:], days[digest]) for digest in digests])
            if row.wide or len(row.ids) > room.get(start, 0):
                others[start] = row
            else:
                appended.append((row.ids, start))
        self._connection.executemany(APPEND, appended)
        while others:
            self._distribute(others)
        counts = Counter(map(days.__getitem__, self._added))
        self._connection.executemany(ADD_TO_DAY, sorted(counts.items()))
        self._added.clear()

    def _look_up(self, digests: list[bytes]) -> None:
        asked = json.dumps([start_of(digest) for digest in digests])
        found = [start for (start,) in self._connection.execute(SELECT_STARTS, (asked,))]
        rows = {}
        unique = json.dumps(list(dict.fromkeys(found)))
        for start, wide, ids in self._connection.execute(SELECT_ROWS_AT, (unique,)):
            rows[start] = Row(start, wide, ids)
            self._room[start] = 0 if wide else LONGEST - len(ids)
        for digest, start in zip(digests, found, strict=True):
            first = digest[0] << PREFIX_SHIFT
            if start is None or start < first:  # a row of another prefix
                self._starts[digest] = first
                continue
            self._starts[digest] = start
            rest = digest[PREFIX_SIZE:]
            row = rows[start]
            if rest in row.ids and (day := row.day_of(rest)) is not None:
                self._days[digest] = day

    def _distribute(self, others: dict[int, Row]) -> None:
        """Store the first of these additions to rows, and make the rows around it equally full."""
        start = next(iter(others))
        first = first_start(start)
        around = {"first": first, "start": start, "end": first + (1 << PREFIX_SHIFT)}
        rows = [Row(*values) for values in self._connection.execute(SELECT_AROUND, around)]
        if rows:
            self._connection.execute(DELETE_AROUND, (rows[0].start, rows[-1].start))
        more = {start, *(row.start for row in rows)} & others.keys()
        self._connection.executemany(INSERT_ROW, cut(rows + [others.pop(each) for each in more]))


def delete_days(connection: sqlite3.Connection, first: int, last: int) -> int:
    """Delete the ids of a range of days, inclusive; return how many were deleted."""
    total = 0
    after: int | None = BEFORE_ALL
    while after is not None:
        deleted, after = delete_some(connection, first, last, after)
        total += deleted
    return total


def delete_some(
    connection: sqlite3.Connection, first: int, last: int, after: int
) -> tuple[int, int | None]:
    """Delete the ids of a range of days, inclusive, from the next rows after a start.

    Return how many were deleted, and the start of the last row that was read; None if there is
    nothing more to delete.
    """
    if not connection.execute(HAS_DAY, (first, last)).fetchone()[0]:
        return 0, None
    rows = [Row(*values) for values in connection.execute(SELECT_ROWS_AFTER, (after, ASKED))]
    deleted: Counter[int] = Counter()
    changed: list[Row] = []
    for row in rows:
        days = [day for _, day in row.entries() if first <= day <= last]
        if days:
            deleted.update(days)
            left = [entry for entry in row.entries() if not first <= entry[1] <= last]
            changed.append(pack(row.start, left))
    connection.executemany(UPDATE_ROW, [row for row in changed if row.ids])
    connection.executemany(DELETE_ROW, [(row.start,) for row in changed if not row.ids])
    connection.executemany(DELETE_DAY, deleted.items())
    connection.executemany(SUBTRACT_FROM_DAY, deleted.items())
    return deleted.total(), rows[-1].start if rows else None


def read_ids(
    connection: sqlite3.Connection, first: int = FIRST_DAY, last: int = LAST_DAY
) -> Iterator[tuple[bytes, int]]:
    """Yield the digests of a range of days, inclusive, with their days, in order of the digests."""
    for values in connection.execute(SELECT_ROWS):
        row = Row(*values)
        prefix = row.prefix()
        for rest, day in sorted(row.entries()):
            if first <= day <= last:
                yield prefix + rest, day


def store_in_order(connection: sqlite3.Connection, ids: Iterable[tuple[bytes, int]]) -> None:
    """Store digests and days, given in the order of the digests, in a database without ids."""
    counts: Counter[int] = Counter()

    def counted() -> Iterator[tuple[bytes, int]]:
        for digest, day in ids:
            counts[day] += 1
            yield digest, day

    connection.executemany(INSERT_ROW, pack_in_order(counted()))
    connection.executemany(ADD_TO_DAY, sorted(counts.items()))


def find_wrong(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield a description of each error in the rows and in the counts by day."""
    counted: Counter[int] = Counter()
    rows = (Row(*values) for values in connection.execute(SELECT_ROWS))
    for row, behind in pairwise(chain(rows, [AFTER_ALL])):
        name = f"row {row.start} of event_id"
        if not row.is_whole():
            yield f"{name} has {len(row.ids)} bytes, which is not a whole number of entries"
            continue
        digests = [row.prefix() + rest for rest, _ in row.entries()]
        counted.update(day for _, day in row.entries())
        if len(set(digests)) < len(digests):
            yield f"{name} holds an id twice"
        for digest in digests:
            if not row.start <= start_of(digest) < behind.start:
                yield f"{name} holds {digest.hex()}, which belongs in another row"
    stored = dict(connection.execute(SELECT_DAYS))
    for day in sorted(stored.keys() | counted.keys()):
        if stored.get(day, 0) != counted[day]:
            yield f"{format_day(day)}: {stored.get(day, 0)} ids stored, {counted[day]} in rows"
