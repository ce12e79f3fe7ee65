"""The summary of a range of time, and the row in which it is stored."""

import struct
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self
from zlib import compress, crc32, decompress

from pyroaring import BitMap, BitMap64

Row = tuple[int, int, bytes, bytes, bytes, int]
"""A row of `page_summary`: level, span, views, visitors, users, checksum."""


@dataclass
class Summary:
    """What was viewed in a range of time.

    `views` counts the views by page, `visitors` holds page * 2^32 + user for each user who viewed a
    page, and `users` holds all users.
    """

    views: Counter[int] = field(default_factory=Counter)
    visitors: BitMap64 = field(default_factory=BitMap64)
    users: BitMap = field(default_factory=BitMap)

    @classmethod
    def of(cls, viewed: "array[int]") -> Self:
        """Return the summary of views, each given as page * 2^32 + user."""
        pages, users = _halves(viewed)
        return cls(Counter(pages), BitMap64(viewed), BitMap(array("I", users)))

    @classmethod
    def union(cls, summaries: Iterable[Self]) -> Self:
        """Return the summary of all the time that these summaries cover."""
        # The smaller counters are added to a copy of the largest, since copying it is fast.
        parts = sorted(summaries, key=lambda part: len(part.views), reverse=True)
        views = Counter(parts[0].views) if parts else Counter()
        for part in parts[1:]:
            for page, count in part.views.items():
                views[page] += count
        return cls(
            views,
            BitMap64.union(BitMap64(), *(part.visitors for part in parts)),
            BitMap.union(BitMap(), *(part.users for part in parts)),
        )

    def has(self, users: BitMap | None, page: int | None) -> bool:
        """Return whether any of these users may have viewed a page; None is any user or page."""
        if users is not None and not self.users & users:
            return False
        return bool(self.users) if page is None else page in self.views

    def without(self, users: BitMap | None, page: int | None = None) -> Self:
        """Return the summary as if these users had not viewed a page; None is all users or pages.

        The views of a page that others viewed as well stay, since it is not known whose they are.
        """
        gone = self._pairs(users, page)
        visitors = self.visitors - gone
        rest = type(self)(self.views.copy(), visitors, users_in(visitors))
        for page in {pair >> 32 for pair in gone}:
            if not rest.unique_users(page):
                del rest.views[page]
        return rest

    def _pairs(self, users: BitMap | None, page: int | None) -> BitMap64:
        """Return the visitors with these users and this page; None is any user or page."""
        pairs = self.visitors.copy()
        if page is not None:
            pairs &= BitMap64(range(page << 32, (page + 1) << 32))
        if users is not None:
            pairs = BitMap64(pair for pair in pairs if pair & 0xFFFFFFFF in users)
        return pairs

    def unique_users(self, page: int) -> int:
        """Return how many users viewed a page."""
        count: int = self.visitors.range_cardinality(page << 32, (page + 1) << 32)
        return count


def users_in(pairs: Iterable[int]) -> BitMap:
    """Return the users of pairs, each a page or tenant * 2^32 + user."""
    _, users = _halves(array("Q", pairs))
    return BitMap(array("I", users))


def _halves(pairs: "array[int]") -> tuple[Sequence[int], Sequence[int]]:
    """Return the upper and the lower 32 bits of numbers."""
    both = memoryview(pairs).cast("B").cast("I")
    low = 0 if sys.byteorder == "little" else 1
    return both[1 - low :: 2], both[low::2]


def encode(level: int, span: int, summary: Summary) -> Row:
    """Return the row of a span's summary."""
    views = pack_views(summary.views)
    visitors, users = summary.visitors.serialize(), summary.users.serialize()
    return level, span, views, visitors, users, _checksum(level, span, views, visitors, users)


def decode(row: Row) -> Summary | None:
    """Return the summary of a row, or None if the row is damaged."""
    if not _is_whole(row):
        return None
    _, _, views, visitors, users, _ = row
    return Summary(unpack_views(views), BitMap64.deserialize(visitors), BitMap.deserialize(users))


def decode_total(row: Row) -> int | None:
    """Return how many views the summary of a row counts, or None if the row is damaged."""
    return sum(_unpack_views(row[2])[1]) if _is_whole(row) else None


def decode_users(row: Row) -> BitMap | None:
    """Return the users of the summary of a row, or None if the row is damaged."""
    return BitMap.deserialize(row[4]) if _is_whole(row) else None


def pack_views(views: Mapping[int, int]) -> bytes:
    """Return views by page or referer in their stored form."""
    form = f"<{len(views)}I{len(views)}Q"
    return compress(struct.pack(form, *views.keys(), *views.values()), level=1)


def unpack_views(packed: bytes) -> Counter[int]:
    """Return the views that were given to `pack_views`."""
    return Counter(dict(zip(*_unpack_views(packed), strict=True)))


def _unpack_views(packed: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    unpacked = decompress(packed)
    count = len(unpacked) // struct.calcsize("<IQ")
    integers = struct.unpack_from(f"<{count}I", unpacked)
    return integers, struct.unpack_from(f"<{count}Q", unpacked, 4 * count)


def _is_whole(row: Row) -> bool:
    return _checksum(*row[:5]) == row[5]


def _checksum(level: int, span: int, views: bytes, visitors: bytes, users: bytes) -> int:
    start = struct.pack("<5q", level, span, len(views), len(visitors), len(users))
    return crc32(users, crc32(visitors, crc32(views, crc32(start))))
