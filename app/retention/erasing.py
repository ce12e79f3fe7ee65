"""Erasing a user or a tenant: what is stored of them, and their part of what was counted.

Answers are then those of a server that was never told of them, but for what cannot be told apart:
in time whose histories were pruned, counts and views of pages that others viewed as well.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Set
from dataclasses import asdict, dataclass

from pyroaring import BitMap

from .. import audit
from ..database import Database
from ..days import Calendar
from ..dictionary import NO_TENANT, find_tenant, find_user
from ..summaries.dropping import drop, drop_active, drop_callers, stop_sealing
from ..summaries.reading import pruned_summaries
from ..summaries.sealing import INSERT_SUMMARY
from ..summaries.summary import Row, encode
from .unused import Names, delete_unused, find_unused, rewrite, select_ids

# A seek for each block and user: histories have no index by user.
DELETE_ENTRIES = """
with recursive stored (number) as (
  select min(block) from behavior
  union all
  select (select min(block) from behavior where block > number)
  from stored
  where number is not null
)
delete from behavior
where block in (select number from stored)
  and user_id in (select value from json_each(:users))
returning timestamp, referer_id
"""

SELECT_PAGES = """
select distinct page_id
from referer
where id in (select value from json_each(:referers))
"""

DELETE_USER_CALLS = """
delete from user_call
where user_id in (select value from json_each(:users))
returning type, day, tenant_id, count
"""

DELETE_CALLS = """
delete from call_count
where type = ? and day = ? and tenant_id = ? and count <= ?
"""

SUBTRACT_CALLS = """
update call_count
set count = count - ?4
where type = ?1 and day = ?2 and tenant_id = ?3
"""

DELETE_ACTIVE_USER = """
delete from active_user
where user_id in (select value from json_each(:users))
returning monthly, period, tenant_id, env_id
"""

SUBTRACT_ACTIVE = """
update active_users
set computed = computed - ?5
where monthly = ?1 and period = ?2 and tenant_id = ?3 and env_id = ?4
"""

DELETE_EMPTY = "delete from active_users where computed = 0 and put is null"

DELETE_SUMMARY = "delete from page_summary where level = ? and span = ?"

SELECT_MEMBERS = """
select user_id from active_user where tenant_id = :tenant
union
select user_id from user_call where tenant_id = :tenant
"""

SELECT_SHARED = """
select user_id
from active_user
join tenant on tenant.id = active_user.tenant_id
where user_id in (select value from json_each(:users)) and tenant.name not in (:name, :none)
union
select user_id
from user_call
join tenant on tenant.id = user_call.tenant_id
where user_id in (select value from json_each(:users)) and tenant.name not in (:name, :none)
"""

DELETE_ACTIVE_OF_TENANT = """
delete from active_user
where tenant_id = :tenant
returning monthly, period
"""

DELETE_CALLS_OF_TENANT = "delete from user_call where tenant_id = :tenant returning day"

DELETE_OF_TENANT = (
    "delete from call_count where tenant_id = :tenant",
    "delete from active_users where tenant_id = :tenant",
)

DELETE_LINKS = "delete from link where tenant_id = :tenant"


@dataclass
class Erased:
    """How much was erased."""

    users: int
    histories: int
    calls: int
    """What was taken from the counts of calls and creations."""
    unknown_days: int
    """Days and tenants of which the calls of the users are not known, and stay counted.

    They were counted by an older version, or come from an export of one.
    """
    shared_users: int = 0
    """Users of a tenant who stay, since they are in others."""
    links: int = 0
    """Links that show the dashboard of a tenant alone."""


def erase_user(database: Database, user_id: str, *, dry_run: bool = False) -> Erased | None:
    """Erase a user; return None if there is none of this id. A dry run changes nothing."""
    with database.reading() as connection:
        if find_user(connection, user_id) is None:
            return None
        unused = find_unused(connection)
    with database.erasing() as connection:
        user = find_user(connection, user_id)
        if user is None:
            return None
        erased, names = _erase_users(connection, database.calendar, {user})
        delete_unused(connection, names | unused)
        _finish(connection, database.clock.now(), "erase-user", erased, dry_run)
    return erased


def erase_tenant(database: Database, tenant_id: str, *, dry_run: bool = False) -> Erased | None:
    """Erase a tenant, and the users who are in no other; return None if there is none of this id.

    Histories do not tell tenants: those of users who are in other tenants as well stay.
    """
    with database.reading() as connection:
        if find_tenant(connection, tenant_id) is None:
            return None
        unused = find_unused(connection)
    with database.erasing() as connection:
        tenant = find_tenant(connection, tenant_id)
        if tenant is None:
            return None
        members = select_ids(connection, SELECT_MEMBERS, tenant=tenant)
        others = {"users": json.dumps(list(members)), "name": tenant_id, "none": NO_TENANT}
        shared = select_ids(connection, SELECT_SHARED, **others)
        erased, names = _erase_users(connection, database.calendar, members - shared)
        erased.shared_users = len(shared)
        of_tenant = {"tenant": tenant}
        drop_active(connection, set(connection.execute(DELETE_ACTIVE_OF_TENANT, of_tenant)))
        drop_callers(connection, select_ids(connection, DELETE_CALLS_OF_TENANT, **of_tenant))
        for statement in DELETE_OF_TENANT:
            connection.execute(statement, of_tenant)
        erased.links = connection.execute(DELETE_LINKS, of_tenant).rowcount
        if erased.links:
            rewrite(connection, "link")
        delete_unused(connection, names | unused | Names(tenants={tenant}))
        _finish(connection, database.clock.now(), "erase-tenant", erased, dry_run)
    return erased


def _finish(
    connection: sqlite3.Connection, now: int, action: str, erased: Erased, dry_run: bool
) -> None:
    if dry_run:
        connection.rollback()
    else:
        audit.note(connection, now, action, asdict(erased))


def _erase_users(
    connection: sqlite3.Connection, calendar: Calendar, users: Set[int]
) -> tuple[Erased, Names]:
    """Delete what users did; return how much it was, and the names that may be unused now."""
    of_users = {"users": json.dumps(list(users))}
    entries = connection.execute(DELETE_ENTRIES, of_users).fetchall()
    drop(connection, calendar, {timestamp for timestamp, _ in entries})
    stop_sealing(connection)
    viewed, seen = _erase_from_pruned(connection, BitMap(users))
    referers = {referer for _, referer in entries}
    viewed |= select_ids(connection, SELECT_PAGES, referers=json.dumps(list(referers)))

    calls: Counter[tuple[str, int, int]] = Counter()
    for *key, count in connection.execute(DELETE_USER_CALLS, of_users):
        calls[tuple(key)] += count
    for key, count in calls.items():
        if not connection.execute(DELETE_CALLS, (*key, count)).rowcount:
            connection.execute(SUBTRACT_CALLS, (*key, count))
    active = Counter(connection.execute(DELETE_ACTIVE_USER, of_users))
    connection.executemany(SUBTRACT_ACTIVE, [(*key, count) for key, count in active.items()])
    drop_active(connection, {key[:2] for key in active})
    drop_callers(connection, {day for _, day, _ in calls})
    connection.execute(DELETE_EMPTY)

    known = {(day, tenant) for type_, day, tenant in calls if type_ == "userinfo"}
    days = {(period, tenant) for monthly, period, tenant, _ in active if not monthly}
    tenants = {tenant for _, tenant in days} | {tenant for _, _, tenant in calls}
    erased = Erased(len(users), len(entries), calls.total(), len(days - known))
    return erased, Names(referers, viewed - seen, users, tenants)


def _erase_from_pruned(connection: sqlite3.Connection, users: BitMap) -> tuple[set[int], set[int]]:
    """Take users out of the summaries of pruned time.

    Longer spans are made anew from those of hours when a question needs them. Returns the pages of
    the summaries that they were in, and those that are in any afterwards.
    """
    viewed: set[int] = set()
    seen: set[int] = set()
    rest: list[Row] = []
    gone: list[tuple[int, int]] = []
    for level, span, summary in pruned_summaries(connection):
        if summary is None:
            # Damaged: nothing is answered from it, and nobody knows whom it tells of.
            gone.append((level, span))
        elif not summary.users & users:
            seen.update(summary.views)
        else:
            viewed.update(summary.views)
            if level == 0:
                without = summary.without(users)
                seen.update(without.views)
                rest.append(encode(level, span, without))
            else:
                gone.append((level, span))
    connection.executemany(INSERT_SUMMARY, rest)
    connection.executemany(DELETE_SUMMARY, gone)
    return viewed, seen
