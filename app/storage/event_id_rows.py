"""How a row of `event_id` holds ids: as entries behind each other, in any order.

An entry is the digest of an id without its first byte, which all digests of a row have in common,
and a day. A row holds the digests from its `start` to that of the next row, and at most as many as
fit into one page of the file: so it is this module, and not SQLite, that says how full pages are.
"""

from collections.abc import Iterable, Iterator, Sequence
from struct import Struct, error
from typing import NamedTuple

START_SIZE = 7
"""How many bytes of a digest, as a number, are compared with `start`."""

PREFIX_SIZE = 1
"""How many bytes all digests of a row have in common."""

PREFIX_SHIFT = 8 * (START_SIZE - PREFIX_SIZE)
"""How far these are shifted to the left in `start`."""

NARROW, WIDE = Struct(">15sH"), Struct(">15si")
"""An entry with a day from 1970-01-01 to 2149-06-06, and with any day."""

FORMS = (NARROW, WIDE)
"""By whether a row is wide."""

LONGEST = 4056
"""Bytes of entries in a row: what SQLite stores in a page of 4096 bytes, beside its own."""

FILL = 0.95
"""How full a row is at most after it was cut: if it were full, the next id would cut it again."""

Entry = tuple[bytes, int]
"""The rest of a digest, and the day."""


class Row(NamedTuple):
    """A row of `event_id`."""

    start: int
    wide: int
    ids: bytes

    def entries(self) -> Iterator[Entry]:
        return FORMS[self.wide].iter_unpack(self.ids)

    def is_whole(self) -> bool:
        return len(self.ids) % FORMS[self.wide].size == 0

    def prefix(self) -> bytes:
        """Return the bytes that all digests of the row have in common."""
        return (self.start >> PREFIX_SHIFT).to_bytes(PREFIX_SIZE)

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


def first_start(start: int) -> int:
    """Return the least `start` that a row with the same prefix can have."""
    return start >> PREFIX_SHIFT << PREFIX_SHIFT


def pack(start: int, entries: Sequence[Entry]) -> Row:
    """Return a row of entries, wide only if a day needs it."""
    try:
        return Row(start, 0, b"".join([NARROW.pack(*entry) for entry in entries]))
    except error:
        return Row(start, 1, b"".join([WIDE.pack(*entry) for entry in entries]))


def cut(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield rows with the entries of rows that follow each other, equally full and not too long.

    Digests whose `start` is the same stay together, however many they are.
    """
    wide = any(row.wide for row in rows)
    size = FORMS[wide].size
    joined = b"".join([_widened(row) if wide else row.ids for row in rows])
    number = len(joined) // size
    entries = sorted(Struct(f"{size}s" * number).unpack(joined))
    pieces = -(-number // int(LONGEST // size * FILL))
    length = -(-number // pieces)
    start, begin = min(row.start for row in rows), 0
    while begin < number:
        end = begin + length
        while end < number and _start(entries[end]) == _start(entries[end - 1]):
            end += 1
        row = Row(start, int(wide), b"".join(entries[begin:end]))
        yield pack(start, list(row.entries())) if wide else row
        if end < number:
            start = first_start(start) + int.from_bytes(_start(entries[end]))
        begin = end


def pack_in_order(ids: Iterable[tuple[bytes, int]]) -> Iterator[Row]:
    """Yield rows of digests and their days, which come in the order of the digests."""
    most = int(LONGEST // NARROW.size * FILL)
    start = last = -1
    entries: list[Entry] = []
    for digest, day in ids:
        at = start_of(digest)
        if first_start(at) > last or (len(entries) >= most and at > last):
            if entries:
                yield pack(start, entries)
            start, entries = at, []
        entries.append((digest[PREFIX_SIZE:], day))
        last = at
    if entries:
        yield pack(start, entries)


def _start(entry: bytes) -> bytes:
    return entry[: START_SIZE - PREFIX_SIZE]


def _widened(row: Row) -> bytes:
    """Return the entries of a row as those of a wide one."""
    if row.wide:
        return row.ids
    return b"".join([WIDE.pack(*entry) for entry in row.entries()])
