"""What the users of a tenant viewed, of those who were in no other: page views know no tenant.

No number here tells anything of another tenant: the people of this one may see it. Loads bitmaps,
so it is imported when the first question needs it.
"""

import json
import sqlite3
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from pyroaring import BitMap, BitMap64

from ...database import Database
from ...days import Calendar, month_of
from ...dictionary import NO_TENANT, find_tenant
from ...kept import read_kept
from ...metrics.queries import most_viewed
from ...summaries.periods import active_users
from ...summaries.reading import SELECT_SUMMARIES, summarize
from ...summaries.sealing import extent, seal
from ...summaries.spans import joined, range_of_spans
from ...summaries.summary import Row, Summary, decode_users, decode_visitors, users_in
from ...user_analysis.queries import BLOCK
from ..selection import Days
from .views import count_page_by_day
from .who import NO_ONE, users_of

HOURS = 4
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

SELECT_VIEWED = """
select json_group_array(referer.page_id << 32 | behavior.user_id)
from json_each(:users) as wanted
cross join behavior on behavior.block = :block and behavior.user_id = wanted.value
cross join referer on referer.id = behavior.referer_id
where behavior.timestamp between :start and :end
"""

SELECT_PAGE_VIEWED = """
select behavior.timestamp, behavior.user_id
from json_each(:users) as wanted
cross join behavior on behavior.block = :block and behavior.user_id = wanted.value
cross join referer on referer.id = behavior.referer_id
where behavior.timestamp between :start and :end and referer.page_id = :page
"""

Blocks = Mapping[int, BitMap]
"""Users by the block of histories in which they viewed something."""


class Alone(NamedTuple):
    """The users of a tenant who were in no other."""

    users: BitMap
    left_out: int
    """How many users of the tenant were in others as well."""
    since: int
    """The timestamp since when that is known."""


class Viewers(NamedTuple):
    """Who viewed something from one second to another."""

    connection: sqlite3.Connection
    start: int
    end: int
    alone: Blocks
    """The users of a tenant who were in no other."""
    others: Blocks
    left_out: int

    @property
    def others_are_fewer(self) -> bool:
        """Whether it takes less to take the others away from all."""
        return sum(map(len, self.others.values())) < sum(map(len, self.alone.values()))


def summarize_alone(
    database: Database, tenant_id: str, days: Days
) -> tuple[Summary, list[tuple[int, str, int]], int]:
    """Return what was viewed, its pages with URL and views, and how many users are left out."""
    with _viewers(database, tenant_id, days, decode_users) as viewers:
        if viewers.others_are_fewer:
            summary = summarize(viewers.connection, viewers.start, viewers.end)
            summary = summary.minus(_summarize(viewers, viewers.others))
        else:
            summary = _summarize(viewers, viewers.alone)
        return summary, most_viewed(viewers.connection, summary.views), viewers.left_out


def count_page_alone(
    database: Database, tenant_id: str, page: int, days: Days
) -> dict[int, tuple[int, int]]:
    """Return the views and users of a page on each day that it was viewed."""
    pairs_of_page = BitMap64(range(page << 32, (page + 1) << 32))

    def decode(row: Row) -> BitMap | None:
        visitors = decode_visitors(row)
        return None if visitors is None else users_in(visitors & pairs_of_page)

    calendar = database.calendar
    with _viewers(database, tenant_id, days, decode) as viewers:
        if not viewers.others_are_fewer:
            return _count_page(viewers, viewers.alone, page, calendar)
        known = Days(max(days.first, calendar.day_of(viewers.start)), days.last)
        counts = count_page_by_day(viewers.connection, calendar, page, known)
        for day, (views, users) in _count_page(viewers, viewers.others, page, calendar).items():
            counts[day] = counts[day][0] - views, counts[day][1] - users
        return {day: count for day, count in counts.items() if any(count)}


def find_alone(database: Database, tenant_id: str, days: Days) -> Alone:
    """Return the users of a tenant who were in no other in the months of some days.

    Calls and creations without a tenant are in no other.
    """
    first, last = map(month_of, days)
    active = active_users(database, monthly=True, first=first, last=last, with_tenants=True)
    members = BitMap64.union(BitMap64(), *(found.members for found in active.values()))
    with database.reading() as connection:
        tenant = find_tenant(connection, tenant_id) or NO_ONE
        none = find_tenant(connection, NO_TENANT) or NO_ONE
        parameters = days._asdict() | {"tenant": tenant, "none": none}
        callers = [
            BitMap(json.loads(ids)) for (ids,) in connection.execute(SELECT_CALLERS, parameters)
        ]
        kept = read_kept(connection)
    own = users_of(members, tenant)
    for each in (tenant, none):
        members.remove_range(each << 32, (each + 1) << 32)
    alone = own.difference(users_in(members), *callers)
    return Alone(alone, len(own) - len(alone), max(kept.histories, kept.counts))


@contextmanager
def _viewers(
    database: Database, tenant_id: str, days: Days, decode: Callable[[Row], BitMap | None]
) -> Iterator[Viewers]:
    """Give who viewed something, with the state of the data that it was read from.

    `decode` returns the users of the summary of an hour.
    """
    start, end = days.seconds(database.calendar)
    seal(database, start, end)
    with database.reading() as connection:
        users = _users_by_block(connection, start, end, decode)
        # A view that is seen here was stored together with where its user was: that is seen now.
        alone = find_alone(database, tenant_id, days)
        start = max(start, alone.since)
        known = {block: found for block, found in users.items() if block >= start // BLOCK}
        yield Viewers(
            connection,
            start,
            end,
            {block: found & alone.users for block, found in known.items()},
            {block: found - alone.users for block, found in known.items()},
            alone.left_out,
        )


def _users_by_block(
    connection: sqlite3.Connection,
    start: int,
    end: int,
    decode: Callable[[Row], BitMap | None],
) -> dict[int, BitMap]:
    """Return who viewed something in each block of histories that a range of seconds touches.

    Where an hour has no summary, it is all users of its block.
    """
    begin, behind = extent(connection)
    if begin is None:
        return {}
    blocks = range(max(start // BLOCK, begin // HOURS), min(end // BLOCK, behind // HOURS) + 1)
    users: defaultdict[int, BitMap] = defaultdict(BitMap)
    summaries: Counter[int] = Counter()
    hours = range_of_spans(0, blocks.start * HOURS, blocks.stop * HOURS - 1)
    for row in connection.execute(SELECT_SUMMARIES, hours):
        found = decode(row)
        if found is not None:
            users[row[1] // HOURS] |= found
            summaries[row[1] // HOURS] += 1
    missing = joined([(block, block + 1) for block in blocks if summaries[block] < HOURS])
    for first, last in missing:
        of_rows = connection.execute(SELECT_USERS, {"first": first, "last": last - 1})
        users.update({block: BitMap(json.loads(ids)) for block, ids in of_rows})
    return users


def _summarize(viewers: Viewers, users: Blocks) -> Summary:
    """Return the summary of what some of the viewers viewed, from the rows."""
    viewed = array("Q")
    for (pairs,) in _rows(viewers, users, SELECT_VIEWED):
        viewed.extend(json.loads(pairs))
    return Summary.of(viewed)


def _count_page(
    viewers: Viewers, users: Blocks, page: int, calendar: Calendar
) -> dict[int, tuple[int, int]]:
    """Return the views of a page by some of the viewers, and how many these are, by day."""
    views: Counter[int] = Counter()
    visitors: defaultdict[int, set[int]] = defaultdict(set)
    for timestamp, user in _rows(viewers, users, SELECT_PAGE_VIEWED, page):
        day = calendar.day_of(timestamp)
        views[day] += 1
        visitors[day].add(user)
    return {day: (count, len(visitors[day])) for day, count in views.items()}


def _rows(viewers: Viewers, users: Blocks, sql: str, page: int | None = None) -> Iterator[Any]:
    """Yield the rows of a query for users in each block: a seek for each of them."""
    parameters: dict[str, object] = {"start": viewers.start, "end": viewers.end, "page": page}
    for block, found in users.items():
        parameters |= {"block": block, "users": json.dumps(list(found))}
        yield from viewers.connection.execute(sql, parameters)
