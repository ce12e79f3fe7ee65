"""What the exclusive users of a tenant viewed: those who were in no other tenant.

Page views have no tenant, so only the views of these users are known to belong to it. No number
here reveals anything about another tenant, so people of this one may see it. This module loads
bitmaps, so it is imported when the first query needs it.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pyroaring import BitMap, BitMap64

from ..days import month_of
from ..storage.blocks import blocks_between
from ..storage.cutoffs import read_cutoffs
from ..storage.database import Database
from ..storage.dictionary import NO_ONE, NO_TENANT, find_tenant
from ..summaries.pages.reading import SELECT_SUMMARIES, summarize
from ..summaries.pages.sealing import extent, seal
from ..summaries.pages.summary import decode_users, users_in
from ..summaries.periods.reading import active_members, callers_without_environment
from ..summaries.spans import BLOCK_HOURS, joined, range_of_spans
from .active_users import users_of
from .page_statistics import Page, PageTotals, most_viewed
from .selection import Days
from .views_by_day import count_page_by_day

SELECT_USERS = """
select block, json_group_array(user_id)
from behavior
where block between :first and :last
group by block
"""

# One index seek per user.
SELECT_REFERERS = """
select json_group_array(behavior.referer_id)
from json_each(:users) as wanted
cross join behavior on behavior.block = :block and behavior.user_id = wanted.value
where behavior.timestamp between :start and :end
"""

SELECT_PAGES = """
select id, page_id
from referer
where id in (select value from json_each(:referers))
"""

Blocks = Mapping[int, BitMap]
"""The users who viewed something, by block of histories."""


@dataclass(frozen=True)
class ExclusiveUsers:
    """The users of a tenant who were in no other tenant."""

    users: BitMap
    left_out: int
    """How many users of the tenant were in other tenants as well."""
    since: int
    """The timestamp from which on this is known."""

    def pairs_of(self, page: int) -> BitMap64:
        """Return the users as visitors of a page: page * 2^32 + user."""
        return self._wide.shift(page << 32)

    @cached_property
    def _wide(self) -> BitMap64:
        return BitMap64(self.users)


def totals_of_exclusive_users(
    database: Database, tenant_id: str, days: Days, **shown: Any
) -> PageTotals:
    """Return what exclusive users viewed in some days; `shown` is as in `page_totals`."""
    with _seeing(database, tenant_id, days) as (connection, alone, known):
        start, end = known.seconds(database.calendar)
        viewers = _viewers(connection, start, end)
        mine = {block: users & alone.users for block, users in viewers.items()}
        others = {block: users - alone.users for block, users in viewers.items()}
        whole = summarize(connection, start, end)
        if _size(mine) <= _size(others):
            views = _count_views(connection, mine, start, end)
        else:
            views = whole.views - _count_views(connection, others, start, end)
        pages = [
            Page(url, count, whole.visitors.intersection_cardinality(alone.pairs_of(page)))
            for page, url, count in most_viewed(connection, views, **shown)
        ]
    users = whole.users.intersection_cardinality(alone.users)
    return PageTotals(views.total(), users, pages, alone.left_out)


def page_by_day_of_exclusive_users(
    database: Database, tenant_id: str, page: int, days: Days
) -> dict[int, tuple[int, int]]:
    """Return the views and exclusive users of a page on each day on which they viewed it."""
    with _seeing(database, tenant_id, days) as (connection, alone, known):
        return count_page_by_day(connection, database.calendar, page, known, alone.users)


def page_users_of_exclusive_users(database: Database, tenant_id: str, page: int, days: Days) -> int:
    """Return how many exclusive users viewed a page in all of the days together."""
    with _seeing(database, tenant_id, days) as (connection, alone, known):
        whole = summarize(connection, *known.seconds(database.calendar))
    users: int = whole.visitors.intersection_cardinality(alone.pairs_of(page))
    return users


@contextmanager
def _seeing(
    database: Database, tenant_id: str, days: Days
) -> Iterator[tuple[sqlite3.Connection, ExclusiveUsers, Days]]:
    """Yield a snapshot of the data, the exclusive users, and the days for which they are known.

    The users are looked up after the snapshot was taken: each view in it was stored in the same
    transaction as its user's tenants, so these are found.
    """
    calendar = database.calendar
    seal(database, *days.seconds(calendar))
    with database.reading() as connection:
        read_cutoffs(connection)
        alone = find_exclusive_users(database, tenant_id, days)
        yield connection, alone, Days(max(days.first, calendar.day_of(alone.since)), days.last)


def find_exclusive_users(database: Database, tenant_id: str, days: Days) -> ExclusiveUsers:
    """Return the users of a tenant who were in no other tenant in the months of some days.

    Calls and creations without a tenant do not count as another tenant. A call without an
    environment makes nobody active, but its user was in its tenant nevertheless.
    """
    first, last = map(month_of, days)
    active = active_members(database, monthly=True, first=first, last=last)
    members = BitMap64.union(BitMap64(), *active.values())
    callers = callers_without_environment(database, *days)
    # The cutoffs are read last, since what was pruned meanwhile was not seen above.
    with database.reading() as connection:
        tenant = find_tenant(connection, tenant_id) or NO_ONE
        none = find_tenant(connection, NO_TENANT) or NO_ONE
        kept = read_cutoffs(connection)
    own = users_of(members, tenant)
    others = members | callers
    for each in (tenant, none):
        others.remove_range(each << 32, (each + 1) << 32)
    alone = own - users_in(others)
    return ExclusiveUsers(alone, len(own) - len(alone), max(kept.histories, kept.counts))


def _viewers(connection: sqlite3.Connection, start: int, end: int) -> Blocks:
    """Return who viewed something, by block of histories, in all blocks that a range touches."""
    begin, behind = extent(connection)
    if begin is None:
        return {}
    blocks = blocks_between(start, end, range(begin // BLOCK_HOURS, behind // BLOCK_HOURS + 1))
    hours = range_of_spans(0, blocks.start * BLOCK_HOURS, blocks.stop * BLOCK_HOURS - 1)
    viewers: defaultdict[int, BitMap] = defaultdict(BitMap)
    summaries: Counter[int] = Counter()
    for row in connection.execute(SELECT_SUMMARIES, hours):
        users = decode_users(row)
        if users is not None:
            block = row[1] // BLOCK_HOURS
            viewers[block] |= users
            summaries[block] += 1
    missing = [(block, block + 1) for block in blocks if summaries[block] < BLOCK_HOURS]
    for first, behind in joined(missing):
        rows = connection.execute(SELECT_USERS, {"first": first, "last": behind - 1})
        viewers.update({block: BitMap(json.loads(ids)) for block, ids in rows})
    return viewers


def _count_views(
    connection: sqlite3.Connection, viewers: Blocks, start: int, end: int
) -> Counter[int]:
    """Return the views by page of the given users in each block."""
    by_referer: Counter[int] = Counter()
    for block, users in viewers.items():
        parameters = {"block": block, "users": json.dumps(list(users)), "start": start, "end": end}
        (referers,) = connection.execute(SELECT_REFERERS, parameters).fetchone()
        by_referer.update(json.loads(referers))
    by_page: Counter[int] = Counter()
    for referer, page in connection.execute(
        SELECT_PAGES, {"referers": json.dumps(list(by_referer))}
    ):
        by_page[page] += by_referer[referer]
    return by_page


def _size(blocks: Blocks) -> int:
    return sum(map(len, blocks.values()))
