"""Summaries of the views with an action on a day."""

import json
import re
import sqlite3
from collections import Counter
from dataclasses import dataclass

from ...days import LAST_DAY, Calendar
from ...storage.blocks import BLOCK, block_range, stored_blocks
from ...storage.cutoffs import read_cutoffs
from ..pages.sealing import COUNT_VIEWS
from ..pages.summary import pack_views, unpack_views
from .kinds import Kind

SELECT_REFERERS = """
select json_group_array(referer_id)
from behavior
where block between :first_block and :last_block
  and timestamp between :start and :end
group by block
order by block
"""

SELECT_URLS = """
select id, url
from referer
where id in (select value from json_each(:referers)) and instr(url, 'action=')
order by id
"""

# A query begins with the first question mark and ends where the fragment begins.
_with_action = re.compile(r"[^?#]*\?(?:[^#]*&)?action=")


@dataclass(frozen=True)
class ActionKind(Kind[Counter[int]]):
    """A summary of a day's views by referer, for the referers whose query has `action=`."""

    def periods(
        self, connection: sqlite3.Connection, calendar: Calendar, first: int, last: int
    ) -> list[int]:
        # Some rows of the hour in which the last pruned day ended may remain: they do not count.
        kept = read_cutoffs(connection).first_period("histories", calendar, monthly=False)
        first, last = max(first, kept, calendar.day_of(0)), min(last, LAST_DAY)
        if first > last:
            return []
        start, end = calendar.day_start(first), calendar.day_start(last + 1) - 1
        days: set[int] = set()
        for block in stored_blocks(connection, start, end):
            begin, end = block * BLOCK, (block + 1) * BLOCK - 1
            days.update(range(calendar.day_of(begin), calendar.day_of(end) + 1))
        return sorted(day for day in days if first <= day <= last)

    def has_rows(
        self, connection: sqlite3.Connection, calendar: Calendar, period: int, least: int
    ) -> bool:
        parameters = _seconds(calendar, period) | {"most": least}
        (rows,) = connection.execute(COUNT_VIEWS, parameters).fetchone()
        return bool(rows >= least)

    def make(self, connection: sqlite3.Connection, calendar: Calendar, period: int) -> bytes:
        views: Counter[int] = Counter()
        for (referers,) in connection.execute(SELECT_REFERERS, _seconds(calendar, period)):
            views.update(json.loads(referers))
        urls = connection.execute(SELECT_URLS, {"referers": json.dumps(list(views))})
        return pack_views({referer: views[referer] for referer, url in urls if has_action(url)})

    def decode(self, content: bytes) -> Counter[int]:
        return unpack_views(content)


ACTIONS = ActionKind("actions", monthly=False)


def has_action(referer: str) -> bool:
    """Return whether a referer has a query parameter `action`."""
    return bool(_with_action.match(referer))


def _seconds(calendar: Calendar, day: int) -> dict[str, int]:
    """Return the parameters of a query for the rows of a day."""
    return block_range(calendar.day_start(day), calendar.day_start(day + 1) - 1)
