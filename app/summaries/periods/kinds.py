"""The kinds of period summaries, and what is stored of them."""

import sqlite3
import struct
from collections.abc import Iterator
from zlib import crc32

from pyroaring import BitMap, BitMap64

from ...days import Calendar
from .actions import ACTIONS, ActionKind
from .active_users import MEMBERS, USERS, ActiveKind
from .callers import CALLERS, CallerKind

Kind = ActiveKind[BitMap] | ActiveKind[BitMap64] | ActionKind | CallerKind

KINDS: list[Kind] = [*USERS.values(), *MEMBERS.values(), ACTIONS, CALLERS]

SELECT_SUMMARIES = """
select period, content, checksum
from period_summary
where data = :data and monthly = :monthly and period between :first and :last
  and content is not null
order by period
"""


def read(
    connection: sqlite3.Connection, calendar: Calendar, kind: Kind, first: int, last: int
) -> Iterator[tuple[int, bytes]]:
    """Yield the periods of a range with their contents, as stored or else made from the rows."""
    stored = set()
    for period, content in read_stored(connection, kind, first, last):
        stored.add(period)
        yield period, content
    for period in kind.periods(connection, calendar, first, last):
        if period not in stored:
            yield period, kind.make(connection, calendar, period)


def read_stored(
    connection: sqlite3.Connection, kind: Kind, first: int, last: int
) -> Iterator[tuple[int, bytes]]:
    """Yield the periods of a range that have summaries, with their contents; not damaged ones."""
    parameters = range_of(kind, first, last)
    for period, content, stored in connection.execute(SELECT_SUMMARIES, parameters):
        if stored == checksum(kind, period, content):
            yield period, content


def range_of(kind: Kind, first: int, last: int) -> dict[str, object]:
    """Return the parameters of a query for summaries."""
    return {"data": kind.data, "monthly": kind.monthly, "first": first, "last": last}


def checksum(kind: Kind, period: int, content: bytes) -> int:
    """Return the checksum that a summary is stored with."""
    key = struct.pack("<?qq", kind.monthly, period, len(content))
    return crc32(content, crc32(key, crc32(kind.data.encode())))
