"""Ids of events as they are stored: digests of 16 bytes, which tell a second delivery.

An id may name a person, and nothing needs its text again. The digest has no secret key: an export
must tell duplicates in any database that reads it.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from itertools import chain, pairwise

from .days import FIRST_DAY, LAST_DAY, format_day
from .event_id_rows import (
    MOST,
    PREFIX_SIZE,
    START_SIZE,
    Entry,
    Row,
    cut,
    pack,
    pack_in_order,
    range_of,
    start_of,
)

SIZE = 16
"""The bytes of a digest, of which two are alike with a probability of 2^-96 at most."""

STEM_SIZE = 4
"""How many of these bytes are those of the stem of an id."""

NUMBERED = 4
"""How many characters at the end are not part of the stem."""

ASKED = 1000
"""How many digests are looked up at once, and how many rows are read: they are in memory then."""

BEFORE_ALL = -1
"""What is before the `start` of every row."""

# Each number in JSON has its place as `key`.
SELECT_ROWS_OF = """
select asked.key, event_id.start, event_id.wide, event_id.ids
from json_each(:starts) as asked
cross join event_id
  on event_id.start = (select max(start) from event_id where start <= asked.value)
"""

APPEND = "update event_id set ids = cast(ids || ? as blob) where start = ?"

INSERT_ROW = "insert into event_id (start, wide, ids) values (?, ?, ?)"

# A row with two before it and three behind it, as far as there are any.
SELECT_AROUND = """
select start, wide, ids
from event_id
where start >= coalesce(
    (
      select start
      from event_id
      where start >= :first and start < :start
      order by start desc
      limit 1 offset 1
    ),
    :first
  )
  and start <= :last
order by start
limit 6
"""

DELETE_ROWS = "delete from event_id where start between ? and ?"

ADD_TO_DAY = """
insert into event_id_day (day, count)
values (?, ?)
on conflict (day) do update set count = count + excluded.count
"""

COUNT_DAYS = "select coalesce(sum(count), 0) from event_id_day where day between ? and ?"

SELECT_DAYS = "select day, count from event_id_day"

SELECT_ROWS_AFTER = """
select start, wide, ids
from event_id
where start > :after
order by start
limit :limit
"""

UPDATE_ROW = "update event_id set wide = ?2, ids = ?3 where start = ?1"

DELETE_ROW = "delete from event_id where start = ?"

DELETE_DAY = "delete from event_id_day where day = ? and count <= ?"

SUBTRACT_FROM_DAY = "update event_id_day set count = count - ?2 where day = ?1"

SELECT_ROWS = "select start, wide, ids from event_id order by start"


AFTER_ALL = Row(1 << 8 * START_SIZE, 0, b"")
"""What is behind all rows."""


def digest_of(source: str, id_: str) -> bytes:
    """Return the digest of an id and the feed that it comes from.

    Ids that differ in their last characters alone begin alike: consecutive ones are stored beside
    each other, and not each in another page.
    """
    text = f"{source}\0{id_}"
    whole = blake2b(text.encode(), digest_size=SIZE - STEM_SIZE).digest()
    return _digest_of_stem(text[:-NUMBERED]) + whole


@lru_cache(maxsize=16)
def _digest_of_stem(stem: str) -> bytes:
    return blake2b(stem.encode(), digest_size=STEM_SIZE).digest()


class EventIds:
    """The ids that a transaction is about: those that are stored, and those that it adds."""

    def __init__(self, connection: sqlite3.Connection, digests: Collection[bytes]) -> None:
        self._connection = connection
        self._days: dict[bytes, int] = {}
        self._places: dict[bytes, tuple[int, int]] = {}
        """By digest, the start of its row, and how many bytes may come to that."""
        self._new: defaultdict[tuple[int, int], list[Entry]] = defaultdict(list)
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
            self._new[self._places[digest]].append((digest[PREFIX_SIZE:], day))

    def store(self) -> None:
        """Store what was added."""
        appended: list[tuple[bytes, int]] = []
        others: dict[int, Row] = {}
        for (start, room), entries in sorted(self._new.items()):
            new = pack(start, entries)
            if new.wide or len(new.ids) > room:
                others[start] = new
            else:
                appended.append((new.ids, start))
        self._connection.executemany(APPEND, appended)
        while others:
            self._distribute(others)
        days = Counter(day for entries in self._new.values() for _, day in entries)
        self._connection.executemany(ADD_TO_DAY, sorted(days.items()))
        self._new.clear()

    def _look_up(self, digests: list[bytes]) -> None:
        starts = [start_of(digest) for digest in digests]
        found = self._connection.execute(SELECT_ROWS_OF, {"starts": json.dumps(starts)})
        for digest, start in zip(digests, starts, strict=True):
            self._places[digest] = range_of(start)[0], 0
        for at, *values in found:
            digest, row = digests[at], Row(*values)
            if row.prefix() != digest[:PREFIX_SIZE]:
                continue
            self._places[digest] = row.start, 0 if row.wide else MOST - len(row.ids)
            day = row.day_of(digest[PREFIX_SIZE:])
            if day is not None:
                self._days[digest] = day

    def _distribute(self, others: dict[int, Row]) -> None:
        """Store the first of these entries by row, and distribute them among the rows around."""
        start = next(iter(others))
        first, last = range_of(start)
        around = {"start": start, "first": first, "last": last}
        rows = [Row(*values) for values in self._connection.execute(SELECT_AROUND, around)]
        if rows:
            self._connection.execute(DELETE_ROWS, (rows[0].start, rows[-1].start))
        rows += [others.pop(each) for each in {start, *(row.start for row in rows)} & others.keys()]
        self._connection.executemany(INSERT_ROW, cut(rows))


def delete_days(connection: sqlite3.Connection, first: int, last: int) -> int:
    """Delete the ids of some days, inclusive; return how many these were."""
    total = 0
    after: int | None = BEFORE_ALL
    while after is not None:
        deleted, after = delete_some(connection, first, last, after)
        total += deleted
    return total


def delete_some(
    connection: sqlite3.Connection, first: int, last: int, after: int
) -> tuple[int, int | None]:
    """Delete the ids of some days, inclusive, from some of the rows behind a start.

    Return how many these were, and the start of the last of the rows; None if nothing is left.
    """
    if not count_days(connection, first, last):
        return 0, None
    part = {"after": after, "limit": ASKED}
    rows = [Row(*values) for values in connection.execute(SELECT_ROWS_AFTER, part)]
    deleted: Counter[int] = Counter()
    changed: list[Row] = []
    for row in rows:
        entries = list(row.entries())
        left = [entry for entry in entries if not first <= entry[1] <= last]
        if len(left) < len(entries):
            deleted.update(day for _, day in entries if first <= day <= last)
            changed.append(pack(row.start, left))
    connection.executemany(UPDATE_ROW, [row for row in changed if row.ids])
    connection.executemany(DELETE_ROW, [(row.start,) for row in changed if not row.ids])
    connection.executemany(DELETE_DAY, deleted.items())
    connection.executemany(SUBTRACT_FROM_DAY, deleted.items())
    return deleted.total(), rows[-1].start if rows else None


def count_days(connection: sqlite3.Connection, first: int, last: int) -> int:
    """Return how many ids of some days, inclusive, are stored."""
    (count,) = connection.execute(COUNT_DAYS, (first, last)).fetchone()
    return int(count)


def read_ids(
    connection: sqlite3.Connection, first: int = FIRST_DAY, last: int = LAST_DAY
) -> Iterator[tuple[bytes, int]]:
    """Yield the digests of some days, inclusive, with their day, in the order of the digests."""
    for values in connection.execute(SELECT_ROWS):
        row = Row(*values)
        prefix = row.prefix()
        for rest, day in sorted(row.entries()):
            if first <= day <= last:
                yield prefix + rest, day


def store_in_order(connection: sqlite3.Connection, ids: Iterable[tuple[bytes, int]]) -> None:
    """Fill a database without ids with digests and their days, in the order of the digests."""
    days: Counter[int] = Counter()

    def counted() -> Iterator[tuple[bytes, int]]:
        for digest, day in ids:
            days[day] += 1
            yield digest, day

    connection.executemany(INSERT_ROW, pack_in_order(counted()))
    connection.executemany(ADD_TO_DAY, sorted(days.items()))


def find_wrong(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield what is wrong with the rows and the counts by day, each in words."""
    counted: Counter[int] = Counter()
    found = (Row(*values) for values in connection.execute(SELECT_ROWS))
    for row, next_ in pairwise(chain(found, [AFTER_ALL])):
        entries = row.readable_entries()
        if not entries:
            yield f"row {row.start} of event_id has {len(row.ids)} bytes, which are no entries"
            continue
        counted.update(day for _, day in entries)
        if len({rest for rest, _ in entries}) < len(entries):
            yield f"row {row.start} of event_id holds an id twice"
        for rest, _ in entries:
            if not row.start <= start_of(row.prefix() + rest) < next_.start:
                yield f"row {row.start} of event_id holds {(row.prefix() + rest).hex()}"
    stored = Counter(dict(connection.execute(SELECT_DAYS)))
    for day in sorted(stored.keys() | counted.keys()):
        if stored[day] != counted[day]:
            yield f"{format_day(day)}: {stored[day]} ids stored, {counted[day]} in rows"
