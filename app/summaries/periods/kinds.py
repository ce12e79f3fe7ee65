"""The base class for each kind of period summary: how contents are made, stored and read."""

import sqlite3
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar
from zlib import crc32

from ...days import Calendar

Content = TypeVar("Content")

SELECT_SUMMARIES = """
select period, content, checksum
from period_summary
where data = :data and monthly = :monthly and period between :first and :last
  and content is not null
order by period
"""


@dataclass(frozen=True)
class Kind(ABC, Generic[Content]):
    """A kind of summary, of days or of months; ranges of periods include both ends."""

    data: str
    """The value of the column `data` in `period_summary`."""
    monthly: bool

    @abstractmethod
    def periods(
        self, connection: sqlite3.Connection, calendar: Calendar, first: int, last: int
    ) -> list[int]:
        """Return the periods of a range that may have rows."""

    @abstractmethod
    def has_rows(
        self, connection: sqlite3.Connection, calendar: Calendar, period: int, least: int
    ) -> bool:
        """Return whether a period has at least `least` rows."""

    @abstractmethod
    def make(self, connection: sqlite3.Connection, calendar: Calendar, period: int) -> bytes:
        """Return the content of the summary of a period, made from its rows."""

    @abstractmethod
    def decode(self, content: bytes) -> Content:
        """Return the decoded content."""

    def contents(
        self, connection: sqlite3.Connection, calendar: Calendar, first: int, last: int
    ) -> Iterator[tuple[int, bytes]]:
        """Yield the periods of a range with their contents, stored or else made from the rows."""
        stored = set()
        for period, content in self.stored_contents(connection, first, last):
            stored.add(period)
            yield period, content
        for period in self.periods(connection, calendar, first, last):
            if period not in stored:
                yield period, self.make(connection, calendar, period)

    def stored_contents(
        self, connection: sqlite3.Connection, first: int, last: int
    ) -> Iterator[tuple[int, bytes]]:
        """Yield the periods of a range with undamaged summaries, and their contents."""
        found = connection.execute(SELECT_SUMMARIES, self.range(first, last))
        for period, content, stored in found:
            if stored == self.checksum(period, content):
                yield period, content

    def range(self, first: int, last: int) -> dict[str, object]:
        """Return the parameters of a query for the summaries of a range of periods."""
        return {"data": self.data, "monthly": self.monthly, "first": first, "last": last}

    def checksum(self, period: int, content: bytes) -> int:
        """Return the checksum that a summary is stored with."""
        key = struct.pack("<?qq", self.monthly, period, len(content))
        return crc32(content, crc32(key, crc32(self.data.encode())))
