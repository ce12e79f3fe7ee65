"""What the users of a tenant viewed, of those who were in no other: page views know no tenant.

No number here tells anything of another tenant: the people of this one may see it. Loads bitmaps,
so it is imported when the first question needs it.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from pyroaring import BitMap, BitMap64

from ...database import Database
from ...days import Calendar, month_of
from ...dictionary import NO_TENANT, find_tenant
from ...kept import read_kept
from ...metrics.queries import most_viewed
from ...summaries.periods import active_users
from ...summaries.reading import SELECT_SUMMARIES, summarize
from ...summaries.sealing import extent, seal
from ...summaries.spans import HOUR, joined, range_of_spans
from ...summaries.summary import Row, decode_users, decode_visitors, users_in
from ...user_analysis.queries import BLOCK
from ..selection import Days
from .pages import Page, PageTotals
from .views import count_page_by_day
from .who import NO_ONE, users_of

HOURS = BLOCK // HOUR
"""The hours of a block of histories."""

# Also those who called without an environment, and so were active nowhere.
SELECT_CALLERS = """
select json_group_array(user_id)
from user_call
where day between :first and :last
  and type = 'userinfo'
  and tenant_id not in (:tenant, :none)
group by day
"""

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

COUNT_VIEWS = """
select count(*)
from json_each(:users) as wanted
cross join behavior on behavior.block = :block and behavior.user_id = wanted.value
cross join referer on referer.id = behavior.referer_id
where behavior.timestamp between :start and :end and referer.page_id = :page
"""

SELECT_PAGES = """
select id, page_id
from referer
where id in (select value from json_each(:referers))
"""

Blocks = Mapping[int, BitMap]
"""Users by the block of histories in which they viewed something."""


@dataclass(frozen=True)
class Alone:
    """The users of a tenant who were in no other."""

    users: BitMap
    left_out: int
    """How many users of the tenant were in others as well."""
    since: int
    """The timestamp since when that is known."""


@dataclass(frozen=True)
class Views:
    """The views from one second to another, in one state of the data, with who they are of."""

    connection: sqlite3.Connection
    start: int
    end: int
    alone: Alone
    counted: Blocks
    """The users whose views are counted one by one."""
    of_others: bool
    """Whether these are all but those who were in no other tenant, since they are fewer."""


def total_alone(database: Database, tenant_id: str, days: Days) -> PageTotals:
    """Return what was viewed in some days."""
    with _viewing(database, tenant_id, days, decode_users) as views:
        whole = summarize(views.connection, views.start, views.end)
        by_page = _count_by_page(views)
        if views.of_others:
            by_page = whole.views - by_page
        alone = BitMap64(views.alone.users)
        pages = [
            Page(url, count, whole.visitors.intersection_cardinality(alone.shift(page << 32)))
            for page, url, count in most_viewed(views.connection, by_page)
        ]
        users = whole.users.intersection_cardinality(views.alone.users)
    return PageTotals(by_page.total(), users, pages, views.alone.left_out)


def count_page_alone(
    database: Database, tenant_id: str, page: int, pairs: BitMap64, days: Days
) -> dict[int, tuple[int, int]]:
    """Return the views and users of a page on each day, like `count_page_by_day`."""
    calendar = database.calendar

    def decode(row: Row) -> BitMap | None:
        visitors = decode_visitors(row)
        return None if visitors is None else users_in(visitors & pairs)

    with _viewing(database, tenant_id, days, decode) as views:
        by_day = _count_by_day(views, calendar, page)
        known = Days(max(days.first, calendar.day_of(views.start)), days.last)
        mine = pairs & BitMap64(views.alone.users).shift(page << 32)
        counts = count_page_by_day(views.connection, calendar, page, mine, known)
    return {
        day: (count - by_day[day] if views.of_others else by_day[day], users)
        for day, (count, users) in counts.items()
        if users
    }


def find_alone(database: Database, tenant_id: str, days: Days) -> Alone:
    """Return the users of a tenant who were in no other in the months that some days are in.

    Calls and creations without a tenant are in no other.
    """
    first, last = map(month_of, days)
    active = active_users(database, monthly=True, first=first, last=last, with_tenants=True)
    members = BitMap64.union(BitMap64(), *(found.members for found in active.values()))
    with database.reading() as connection:
        tenant = find_tenant(connection, tenant_id) or NO_ONE
        none = find_tenant(connection, NO_TENANT) or NO_ONE
        parameters = days._asdict() | {"tenant": tenant, "none": none}
        callers = connection.execute(SELECT_CALLERS, parameters).fetchall()
        kept = read_kept(connection)
    own = users_of(members, tenant)
    for each in (tenant, none):
        members.remove_range(each << 32, (each + 1) << 32)
    alone = own.difference(users_in(members), *(BitMap(json.loads(ids)) for (ids,) in callers))
    return Alone(alone, len(own) - len(alone), max(kept.histories, kept.counts))


@contextmanager
def _viewing(
    database: Database, tenant_id: str, days: Days, decode: Callable[[Row], BitMap | None]
) -> Iterator[Views]:
    """Give the views of some days; `decode` returns the users of the summary of an hour."""
    start, end = days.seconds(database.calendar)
    seal(database, start, end)
    with database.reading() as connection:
        users = _users_by_block(connection, start, end, decode)
        # A view that is seen here was stored together with where its user was: that is seen now.
        alone = find_alone(database, tenant_id, days)
        start = max(start, alone.since)
        known = {block: found for block, found in users.items() if block >= start // BLOCK}
        mine = {block: found & alone.users for block, found in known.items()}
        others = {block: found - alone.users for block, found in known.items()}
        if _size(others) < _size(mine):
            yield Views(connection, start, end, alone, others, of_others=True)
        else:
            yield Views(connection, start, end, alone, mine, of_others=False)


def _size(blocks: Blocks) -> int:
    return sum(map(len, blocks.values()))


def _users_by_block(
    connection: sqlite3.Connection, start: int, end: int, decode: Callable[[Row], BitMap | None]
) -> Blocks:
    """Return who viewed something in each block of histories that a range of seconds touches.

    Where an hour has no summary, these are all users of its block.
    """
    begin, behind = extent(connection)
    if begin is None:
        return {}
    blocks = range(max(start // BLOCK, begin // HOURS), min(end // BLOCK, behind // HOURS) + 1)
    hours = range_of_spans(0, blocks.start * HOURS, blocks.stop * HOURS - 1)
    users: defaultdict[int, BitMap] = defaultdict(BitMap)
    summaries: Counter[int] = Counter()
    for row in connection.execute(SELECT_SUMMARIES, hours):
        found = decode(row)
        if found is not None:
            block = row[1] // HOURS
            users[block] |= found
            summaries[block] += 1
    missing = [(block, block + 1) for block in blocks if summaries[block] < HOURS]
    for first, behind in joined(missing):
        rows = connection.execute(SELECT_USERS, {"first": first, "last": behind - 1})
        users.update({block: BitMap(json.loads(ids)) for block, ids in rows})
    return users


def _count_by_page(views: Views) -> Counter[int]:
    by_referer: Counter[int] = Counter()
    for block, users in views.counted.items():
        parameters = _parameters(views, block, users)
        (referers,) = views.connection.execute(SELECT_REFERERS, parameters).fetchone()
        by_referer.update(json.loads(referers))
    by_page: Counter[int] = Counter()
    referers = json.dumps(list(by_referer))
    for referer, page in views.connection.execute(SELECT_PAGES, {"referers": referers}):
        by_page[page] += by_referer[referer]
    return by_page


def _count_by_day(views: Views, calendar: Calendar, page: int) -> Counter[int]:
    by_day: Counter[int] = Counter()
    for block, users in views.counted.items():
        if not users:
            continue
        parameters = _parameters(views, block, users) | {"page": page}
        start, end = max(views.start, block * BLOCK), min(views.end, (block + 1) * BLOCK - 1)
        for day in range(calendar.day_of(start), calendar.day_of(end) + 1):
            first, last = Days(day, day).seconds(calendar)
            parameters |= {"start": max(start, first), "end": min(end, last)}
            (count,) = views.connection.execute(COUNT_VIEWS, parameters).fetchone()
            by_day[day] += count
    return by_day


def _parameters(views: Views, block: int, users: BitMap) -> dict[str, object]:
    return {
        "start": views.start,
        "end": views.end,
        "block": block,
        "users": json.dumps(list(users)),
    }
