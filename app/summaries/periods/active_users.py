"""Summaries of who was active in a day or month; the same can be read from the rows."""

import json
import sqlite3
import struct
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pyroaring import BitMap, BitMap64

from ...days import Calendar
from .kinds import Kind

Bitmap = TypeVar("Bitmap", BitMap, BitMap64)

# One index seek per period, without reading its rows.
SELECT_PERIODS = """
with recursive found (period) as (
  select min(period)
  from active_user
  where monthly = :monthly and period >= :first
  union all
  select (
    select min(period)
    from active_user
    where monthly = :monthly and active_user.period > found.period
  )
  from found
  where found.period < :last
)
select period
from found
where period <= :last
order by period
"""

COUNT_ROWS = """
select coalesce(sum(computed), 0)
from active_users
where monthly = :monthly and period = :period
"""

# Reading one JSON text is faster than reading its rows one by one.
SELECT_USERS = """
select json_group_array(user_id)
from active_user
where monthly = :monthly and period = :period
  and (:env_id is null or env_id = :env_id)
"""

SELECT_MEMBERS = """
select json_group_array(tenant_id << 32 | user_id)
from active_user
where monthly = :monthly and period = :period
  and (:env_id is null or env_id = :env_id)
"""

SELECT_USERS_BY_ENVIRONMENT = """
select env_id, json_group_array(user_id)
from active_user
where monthly = :monthly and period = :period
group by env_id
order by env_id
"""

SELECT_MEMBERS_BY_ENVIRONMENT = """
select env_id, json_group_array(tenant_id << 32 | user_id)
from active_user
where monthly = :monthly and period = :period
group by env_id
order by env_id
"""

FEW = 16
"""With more environments than this, the union of all is stored; else a query computes it."""

ALL = 2**64 - 1
"""The key of the stored union of all environments; it is above the id of every environment."""


@dataclass(frozen=True)
class ActiveKind(Kind[dict[int, Bitmap]], Generic[Bitmap]):
    """A summary of who was active, as bitmaps by environment."""

    select: str
    select_by_environment: str
    bitmap: type[Bitmap]

    def periods(
        self, connection: sqlite3.Connection, calendar: Calendar, first: int, last: int
    ) -> list[int]:
        parameters = {"monthly": self.monthly, "first": first, "last": last}
        return [period for (period,) in connection.execute(SELECT_PERIODS, parameters)]

    def has_rows(
        self, connection: sqlite3.Connection, calendar: Calendar, period: int, least: int
    ) -> bool:
        parameters = {"monthly": self.monthly, "period": period}
        (rows,) = connection.execute(COUNT_ROWS, parameters).fetchone()
        return bool(rows >= least)

    def make(self, connection: sqlite3.Connection, calendar: Calendar, period: int) -> bytes:
        parameters = {"monthly": self.monthly, "period": period}
        rows = connection.execute(self.select_by_environment, parameters)
        bitmaps = {env_id: self.bitmap(json.loads(active)) for env_id, active in rows}
        if len(bitmaps) > FEW:
            bitmaps[ALL] = self.bitmap.union(*bitmaps.values())
        return _pack({env_id: bitmap.serialize() for env_id, bitmap in bitmaps.items()})

    def decode(self, content: bytes) -> dict[int, Bitmap]:
        return {env_id: self.bitmap.deserialize(part) for env_id, part in _unpack(content)}

    def of(self, content: bytes, env_id: int | None) -> Bitmap:
        """Return who was active in an environment (None: in any), from a summary's content."""
        part = _find(content, ALL if env_id is None else env_id)
        if part is not None:
            return self.bitmap.deserialize(part)
        parts = [part for _, part in _unpack(content)] if env_id is None else []
        # Adding the smaller bitmaps to the largest in place takes half the time of a union.
        bitmaps = map(self.bitmap.deserialize, sorted(parts, key=len, reverse=True))
        whole = next(bitmaps, self.bitmap())
        for bitmap in bitmaps:
            whole |= bitmap
        return whole

    def read(self, connection: sqlite3.Connection, period: int, env_id: int | None) -> Bitmap:
        """Return who was active in an environment (None: in any), from the rows of a period."""
        parameters = {"monthly": self.monthly, "period": period, "env_id": env_id}
        (active,) = connection.execute(self.select, parameters).fetchone()
        return self.bitmap(json.loads(active))


USERS = {
    monthly: ActiveKind("users", monthly, SELECT_USERS, SELECT_USERS_BY_ENVIRONMENT, BitMap)
    for monthly in (False, True)
}
"""Summaries of active users, by whether the period is a month."""

MEMBERS = {
    monthly: ActiveKind("members", monthly, SELECT_MEMBERS, SELECT_MEMBERS_BY_ENVIRONMENT, BitMap64)
    for monthly in (False, True)
}
"""Summaries of tenant * 2^32 + user for active users, by whether the period is a month."""


def _pack(parts: Mapping[int, bytes]) -> bytes:
    count = len(parts)
    head = struct.pack(f"<I{count}Q{count}I", count, *parts, *map(len, parts.values()))
    return head + b"".join(parts.values())


def _unpack(content: bytes) -> Iterator[tuple[int, bytes]]:
    (count,) = struct.unpack_from("<I", content)
    form = f"<I{count}Q{count}I"
    _, *numbers = struct.unpack_from(form, content)
    begin = struct.calcsize(form)
    for env_id, length in zip(numbers[:count], numbers[count:], strict=True):
        yield env_id, content[begin : begin + length]
        begin += length


def _find(content: bytes, env_id: int) -> bytes | None:
    """Return the part of an environment by a binary search; None if there is none."""
    (count,) = struct.unpack_from("<I", content)

    def env_at(index: int) -> int:
        (found,) = struct.unpack_from("<Q", content, 4 + 8 * index)
        return int(found)

    index = bisect_left(range(count), env_id, key=env_at)
    if index == count or env_at(index) != env_id:
        return None
    lengths = struct.unpack_from(f"<{index + 1}I", content, 4 + 8 * count)
    end = 4 + 12 * count + sum(lengths)
    return content[end - lengths[-1] : end]
