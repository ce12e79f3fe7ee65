"""What the users of a tenant viewed, of those who were in no other: page views know no tenant.

No number here tells anything of another tenant: the people of this one may see it. Loads bitmaps,
so it is imported when the first question needs it.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from pyroaring import BitMap, BitMap64

from ...database import Database
from ...days import month_of
from ...dictionary import NO_TENANT, find_tenant
from ...kept import read_kept
from ...metrics.queries import most_viewed
from ...summaries.periods import active_members, callers_without_environment
from ...summaries.reading import SELECT_SUMMARIES, summarize
from ...summaries.sealing import extent, seal
from ...summaries.spans import HOUR, joined, range_of_spans
from ...summaries.summary import decode_users, users_in
from ...user_analysis.queries import BLOCK
from ..selection import Days
from .pages import Page, PageTotals
from .views import count_page_by_day
from .who import NO_ONE, users_of

HOURS = BLOCK // HOUR
"""The hours of a block of histories."""

SELECT_USERS = """
select block, json_group_array(user_id)
from behavior
where block between :first and :last
group by block
"""

# A seek for each user.
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
"""Users who viewed something, by the block of histories that it is in."""


@dataclass(frozen=True)
class Alone:
    """The users of a tenant who were in no other."""

    users: BitMap
    left_out: int
    """How many users of the tenant were in others as well."""
    since: int
    """The timestamp since when that is known."""


def total_alone(database: Database, tenant_id: str, days: Days) -> PageTotals:
    """Return what was viewed in some days."""
    start, end = days.seconds(database.calendar)
    seal(database, start, end)
    with database.reading() as connection:
        viewers = _viewers(connection, start, end)
        # A view that is seen here was stored together with where its user was: that is seen now.
        alone = find_alone(database, tenant_id, days)
        start = max(start, alone.since)
        known = {block: users for block, users in viewers.items() if block >= start // BLOCK}
        mine = {block: users & alone.users for block, users in known.items()}
        others = {block: users - alone.users for block, users in known.items()}
        whole = summarize(connection, start, end)
        if _size(mine) <= _size(others):
            views = _count_by_page(connection, mine, start, end)
        else:
            views = whole.views - _count_by_page(connection, others, start, end)
        pairs = BitMap64(alone.users)
        pages = [
            Page(url, count, whole.visitors.intersection_cardinality(pairs.shift(page << 32)))
            for page, url, count in most_viewed(connection, views)
        ]
    users = whole.users.intersection_cardinality(alone.users)
    return PageTotals(views.total(), users, pages, alone.left_out)


def count_page_alone(
    database: Database, tenant_id: str, page: int, days: Days
) -> dict[int, tuple[int, int]]:
    """Return the views and users of a page on each day that it was viewed."""
    calendar = database.calendar
    seal(database, *days.seconds(calendar))
    with database.reading() as connection:
        extent(connection)  # a read, so that no later view is seen: see `total_alone`
        alone = find_alone(database, tenant_id, days)
        known = Days(max(days.first, calendar.day_of(alone.since)), days.last)
        return count_page_by_day(connection, calendar, page, known, alone.users)


def find_alone(database: Database, tenant_id: str, days: Days) -> Alone:
    """Return the users of a tenant who were in no other in the months that some days are in.

    Calls and creations without a tenant are in no other. Those who called without an environment
    were active nowhere, but in their tenant all the same.
    """
    first, last = map(month_of, days)
    active = active_members(database, monthly=True, first=first, last=last)
    members = BitMap64.union(BitMap64(), *active.values())
    callers = callers_without_environment(database, *days)
    # Last: what is pruned meanwhile was not seen.
    with database.reading() as connection:
        tenant = find_tenant(connection, tenant_id) or NO_ONE
        none = find_tenant(connection, NO_TENANT) or NO_ONE
        kept = read_kept(connection)
    own = users_of(members, tenant)
    others = members | callers
    for each in (tenant, none):
        others.remove_range(each << 32, (each + 1) << 32)
    alone = own - users_in(others)
    return Alone(alone, len(own) - len(alone), max(kept.histories, kept.counts))


def _viewers(connection: sqlite3.Connection, start: int, end: int) -> Blocks:
    """Return who viewed something, by block of histories, in all blocks that a range touches."""
    begin, behind = extent(connection)
    if begin is None:
        return {}
    blocks = range(max(start // BLOCK, begin // HOURS), min(end // BLOCK, behind // HOURS) + 1)
    hours = range_of_spans(0, blocks.start * HOURS, blocks.stop * HOURS - 1)
    viewers: defaultdict[int, BitMap] = defaultdict(BitMap)
    summaries: Counter[int] = Counter()
    for row in connection.execute(SELECT_SUMMARIES, hours):
        users = decode_users(row)
        if users is not None:
            block = row[1] // HOURS
            viewers[block] |= users
            summaries[block] += 1
    missing = [(block, block + 1) for block in blocks if summaries[block] < HOURS]
    for first, behind in joined(missing):
        rows = connection.execute(SELECT_USERS, {"first": first, "last": behind - 1})
        viewers.update({block: BitMap(json.loads(ids)) for block, ids in rows})
    return viewers


def _count_by_page(
    connection: sqlite3.Connection, viewers: Blocks, start: int, end: int
) -> Counter[int]:
    """Return the views by page of users in blocks of histories."""
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
