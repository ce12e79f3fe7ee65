"""The format of a row of `event_id`: concatenated entries, in any order.

An entry is a day and the digest of an id, without the first byte, which all digests of a row share.
A row holds the digests from its `start` up to that of the next row, and at most as many as fit into
one page of the file. So this module, not SQLite, decides how full pages are.
"""

from collections.abc import Iterable, Iterator, Sequence
from struct import Struct, error
from typing import NamedTuple

START_SIZE = 7
"""How many leading bytes of a digest form the number that is compared with `start`."""

PREFIX_SIZE = 1
"""How many leading bytes, the prefix, all digests of a row share."""

PREFIX_SHIFT = 8 * (START_SIZE - PREFIX_SIZE)
"""By how many bits the prefix is shifted to the left in `start`."""

NARROW, WIDE = Struct(">15sH"), Struct(">15si")
"""The format of an entry with a day from 1970-01-01 to 2149-06-06, and of one with any day."""

FORMS = (NARROW, WIDE)
"""The format by whether a row is wide."""

LONGEST = 4056
"""The most bytes of entries in a row: what fits into a page of 4096 bytes of SQLite."""

FILL = 0.95
"""How full a row is at most after a split: if it were full, the next id would split it again."""

Entry = tuple[bytes, int]
"""A digest without its prefix, and the day."""


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
        """Return the leading bytes that all digests of the row share."""
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
    """Return the number of a digest that is compared with the `start` of rows."""
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
    """Distribute the entries of adjacent rows among rows that are equally full and not too long.

    Digests with the same `start_of` stay together, however many there are.
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
    """Yield rows of digests and their days, given in the order of the digests."""
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
    """Return the entries of a row in the wide format."""
    if row.wide:
        return row.ids
    return b"".join([WIDE.pack(*entry) for entry in row.entries()])
