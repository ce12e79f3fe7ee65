"""Users: finding them by id, and the tenants and history of one user."""

import json
from typing import NamedTuple

from ..days import MAX_TIMESTAMP
from ..storage.blocks import blocks_between, stored_blocks
from ..storage.cutoffs import read_cutoffs
from ..storage.database import Database
from ..storage.dictionary import find_user
from ..validation.fields import MAX_INTEGER
from .selection import Days

PIECE = 6
"""How many blocks (a day) are searched first for a page of entries; each step doubles this."""

# SQLite's lower() changes only ASCII letters.
FIND_USERS = """
select name
from user
where instr(lower(name), lower(:text))
order by name = :text desc,
         lower(name) = lower(:text) desc,
         instr(lower(name), lower(:text)) = 1 desc,
         name
limit :limit
"""

FIRST_USERS = """
select name
from user
order by name
limit :limit
"""

# One index seek per month, tenant and environment.
SELECT_TENANTS = """
select tenant.name, env_id, last_month
from (
  select active_users.tenant_id, active_users.env_id, max(active_users.period) as last_month
  from active_users
  cross join active_user using (monthly, period, tenant_id, env_id)
  where active_users.monthly = 1
    and active_users.computed > 0
    and active_user.user_id = :user
  group by active_users.tenant_id, active_users.env_id
)
cross join tenant on tenant.id = tenant_id
order by last_month desc, tenant.name, env_id
limit :limit
"""

# Two index seeks; min and max in one select would read the whole table.
SELECT_BLOCKS = "select (select min(block) from behavior), (select max(block) from behavior)"

SELECT_ENTRIES = """
select behavior.timestamp, behavior.seq, referer.url, page.url
from json_each(:blocks) as wanted
cross join behavior on behavior.block = wanted.value and behavior.user_id = :user
cross join referer on referer.id = behavior.referer_id
cross join page on page.id = referer.page_id
where behavior.timestamp >= :start
  and (behavior.timestamp, behavior.seq) < (:before, :seq)
  and (:contains is null or instr(lower(referer.url), lower(:contains)))
order by behavior.timestamp desc, behavior.seq desc
limit :limit
"""

# One index seek per block, without reading the rows of other users.
SELECT_EXTENT = """
select min(behavior.timestamp), max(behavior.timestamp), count(behavior.timestamp)
from json_each(:blocks) as wanted
cross join behavior on behavior.block = wanted.value and behavior.user_id = :user
where behavior.timestamp between :since and :until
"""


class Membership(NamedTuple):
    """A tenant and environment in which a user was active, and the last month of it."""

    tenant_id: str
    env_id: int
    last_month: int


class Entry(NamedTuple):
    """An entry of a user's history, with the page of its referer."""

    timestamp: int
    referer: str
    page: str


class Extent(NamedTuple):
    """The timestamps of a user's first and last entry in a range of time, and their number."""

    first: int
    last: int
    entries: int


class Cursor(NamedTuple):
    """The last entry of a page of a user's history: the next page has those before it."""

    timestamp: int
    seq: int


def find_users(database: Database, text: str, limit: int) -> list[str]:
    """Return users whose ids contain a text, ignoring the case of ASCII letters.

    An exact match comes first, then ids that begin with the text.
    """
    find = FIND_USERS if text else FIRST_USERS
    with database.reading() as connection:
        rows = connection.execute(find, {"text": text, "limit": limit}).fetchall()
    return [name for (name,) in rows]


def user_exists(database: Database, user_id: str) -> bool:
    """Return whether a user is known."""
    with database.reading() as connection:
        return find_user(connection, user_id) is not None


def user_tenants(database: Database, user_id: str, limit: int = -1) -> list[Membership]:
    """Return where a user was active, latest first; with a limit, at most that many places."""
    with database.reading() as connection:
        parameters = {"user": find_user(connection, user_id), "limit": limit}
        return [Membership(*row) for row in connection.execute(SELECT_TENANTS, parameters)]


def user_entries(
    database: Database,
    user_id: str,
    days: Days,
    contains: str | None = None,
    *,
    limit: int,
    before: Cursor | None = None,
) -> tuple[list[Entry], Cursor | None]:
    """Return a user's latest entries of some days, and the cursor of the next page, if any.

    The order is the reverse of the API's, also among entries of equal timestamp.
    """
    day_start = database.calendar.day_start
    with database.reading() as connection:
        first, last = connection.execute(SELECT_BLOCKS).fetchone()
        user = find_user(connection, user_id)
        if first is None or user is None:
            return [], None
        start = max(day_start(days.first), read_cutoffs(connection).histories)
        before = min(before or Cursor(MAX_INTEGER, 0), Cursor(day_start(days.last + 1), 0))
        parameters = {
            "user": user,
            "start": start,
            "before": before.timestamp,
            "seq": before.seq,
            "contains": contains,
        }
        blocks = blocks_between(start, before.timestamp, range(first, last + 1))
        found: list[tuple[int, int, str, str]] = []
        piece = PIECE
        while blocks and len(found) <= limit:
            parameters["blocks"] = json.dumps(list(blocks[-piece:]))
            parameters["limit"] = min(limit - len(found) + 1, MAX_INTEGER)
            found += connection.execute(SELECT_ENTRIES, parameters)
            blocks = blocks[:-piece]
            piece *= 2
    older = Cursor(*found[limit - 1][:2]) if len(found) > limit else None
    return [Entry(timestamp, *urls) for timestamp, _, *urls in found[:limit]], older


def user_extent(database: Database, user_id: str) -> Extent | None:
    """Return the extent of a user's entries up to tomorrow; None if there are none."""
    return _extent(database, user_id, 0, _end_of_tomorrow(database))


def user_future(database: Database, user_id: str) -> Extent | None:
    """Return the extent of a user's entries after tomorrow; None if there are none."""
    return _extent(database, user_id, _end_of_tomorrow(database) + 1, MAX_TIMESTAMP)


def _end_of_tomorrow(database: Database) -> int:
    day_of, day_start = database.calendar.day_of, database.calendar.day_start
    return day_start(day_of(database.clock.now()) + 2) - 1


def _extent(database: Database, user_id: str, since: int, until: int) -> Extent | None:
    with database.reading() as connection:
        since = max(since, read_cutoffs(connection).histories)
        parameters = {
            "user": find_user(connection, user_id),
            "blocks": json.dumps(stored_blocks(connection, since, until)),
            "since": since,
            "until": until,
        }
        found = Extent(*connection.execute(SELECT_EXTENT, parameters).fetchone())
    return found if found.entries else None
