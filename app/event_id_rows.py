"""How a row of `event_id` holds ids: as entries behind each other, in any order.

An entry is the digest of an id without its first byte, which all digests of a row have in common,
and the day. A row holds the digests from its `start` to that of the next row, and as many as fit
into one page of the file: so SQLite neither splits pages nor leaves room in them.
"""

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import NamedTuple

START_SIZE = 7
"""How many bytes of a digest, as a number, are compared with `start`."""

PREFIX_SIZE = 1
"""How many bytes all digests of a row have in common."""

REST_SIZE = 15

NARROW, WIDE = Struct(">15sH"), Struct(">15si")
"""An entry of a day from 1970 to 2149, and one of any day."""

FORMS = (NARROW, WIDE)
"""By whether a row is wide."""

MOST = 4056
"""Bytes of entries in a row: with its head, that is what SQLite stores in a page of 4096 bytes."""

FILL = 0.95
"""How full rows are at most that were cut: the next entry must not make them too long again."""

_BITS = 8 * (START_SIZE - PREFIX_SIZE)

Entry = tuple[bytes, int]
"""The rest of a digest, and the day."""


class Row(NamedTuple):
    """A row of `event_id`."""

    start: int
    wide: int
    ids: bytes

    def entries(self) -> Iterator[Entry]:
        return FORMS[self.wide].iter_unpack(self.ids)

    def readable_entries(self) -> list[Entry]:
        """Return the entries; none if the row cannot be read."""
        return [] if len(self.ids) % FORMS[self.wide].size else list(self.entries())

    def prefix(self) -> bytes:
        """Return the bytes that all digests of the row have in common."""
        return (self.start >> _BITS).to_bytes(PREFIX_SIZE)

    def day_of(self, rest: bytes) -> int | None:
        """Return the day of a digest without its prefix; None if it is not in the row."""
        form = FORMS[self.wide]
        at = self.ids.find(rest)
        while at >= 0:
            if at % form.size == 0:
                day: int = form.unpack_from(self.ids, at)[1]
                return day
            at = self.ids.find(rest, at + 1)
        return None


def start_of(digest: bytes) -> int:
    """Return what is compared with the `start` of rows."""
    return int.from_bytes(digest[:START_SIZE])


def range_of(start: int) -> tuple[int, int]:
    """Return the first and the last `start` of rows whose digests have the same prefix."""
    first = start >> _BITS << _BITS
    return first, first + (1 << _BITS) - 1


def pack(start: int, entries: Iterable[Entry]) -> Row:
    """Return a row of entries, wide only if a day needs it."""
    entries = list(entries)
    wide = not all(0 <= day <= 0xFFFF for _, day in entries)
    form = FORMS[wide]
    return Row(start, int(wide), b"".join([form.pack(*entry) for entry in entries]))


def cut(rows: list[Row]) -> Iterator[Row]:
    """Yield rows of the entries of rows that follow each other, none of them too long.

    Entries that differ behind the bytes of `start` alone stay together, however many they are.
    """
    wide = any(row.wide for row in rows)
    if wide:
        rows = [_widened(row) for row in rows]
    size = FORMS[wide].size
    joined = b"".join(row.ids for row in rows)
    number = len(joined) // size
    entries = sorted(Struct(f"{size}s" * number).unpack(joined))
    pieces = -(-number // int(MOST // size * FILL))
    most = -(-number // pieces)
    start, begin = min(row.start for row in rows), 0
    first, _ = range_of(start)
    while begin < number:
        end = begin + most
        while end < number and _start(entries[end]) == _start(entries[end - 1]):
            end += 1
        row = Row(start, int(wide), b"".join(entries[begin:end]))
        yield pack(start, row.entries()) if wide else row
        if end < number:
            start = first + int.from_bytes(_start(entries[end]))
        begin = end


def pack_in_order(ids: Iterable[tuple[bytes, int]]) -> Iterator[Row]:
    """Yield rows of digests and their days, which come in the order of the digests."""
    most = int(MOST // NARROW.size * FILL)
    start = last = -1
    entries: list[Entry] = []
    for digest, day in ids:
        at = start_of(digest)
        first, _ = range_of(at)
        if first > last or (len(entries) >= most and at > last):
            if entries:
                yield pack(start, entries)
            start, entries = (first if first > last else at), []
        entries.append((digest[PREFIX_SIZE:], day))
        last = at
    if entries:
        yield pack(start, entries)


def _start(entry: bytes) -> bytes:
    return entry[: START_SIZE - PREFIX_SIZE]


def _widened(row: Row) -> Row:
    if row.wide:
        return row
    return Row(row.start, 1, b"".join([WIDE.pack(*entry) for entry in row.entries()]))
