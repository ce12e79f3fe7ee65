"""Erasure of a user or a tenant: all that is stored about them, and their share of the counts.

Afterwards, the server responds as if it had never received their data. The exception is time whose
histories were pruned: counts stay, and so do views of pages that others viewed in the same hour,
because it is no longer stored whose they are.
"""

import json
import sqlite3
from collections.abc import Set
from dataclasses import asdict, dataclass

from ..days import Calendar
from ..storage import audit_log
from ..storage.database import Database
from ..storage.dictionary import NO_TENANT, find_tenant, find_user
from .row_deletion import Selection, delete_selection
from .unused_names import Names, delete_unused, find_unused, rewrite, select_ids

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

DELETE_LINKS = "delete from link where tenant_id = :tenant"


@dataclass
class Erased:
    """How much was erased."""

    users: int
    histories: int
    calls: int
    """The calls and creations that were subtracted from the counts."""
    unknown_days: int
    """Pairs of a day and a tenant whose calls stay counted, since they were not stored by user.

    An older version counted them, or they were imported from an export of an older version.
    """
    shared_users: int = 0
    """Users of the tenant who are not erased, because they are in other tenants too."""
    links: int = 0
    """Shared links that show only the tenant."""


def erase_user(database: Database, user_id: str, *, dry_run: bool = False) -> Erased | None:
    """Erase a user; return None if there is no user with this id. A dry run changes nothing."""
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
    """Erase a tenant, and its users who are in no other tenant.

    Returns None if there is no tenant with this id. Users who are in other tenants too keep their
    histories, because a history entry has no tenant. A dry run changes nothing.
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
        # The links refer to the tenant, and its name would stay as long as they do.
        erased.links = connection.execute(DELETE_LINKS, {"tenant": tenant}).rowcount
        if erased.links:
            rewrite(connection, "link")
        of_tenant = delete_selection(connection, database.calendar, Selection(tenant=tenant))
        delete_unused(connection, names | of_tenant.names | unused | Names(tenants={tenant}))
        _finish(connection, database.clock.now(), "erase-tenant", erased, dry_run)
    return erased


def _finish(
    connection: sqlite3.Connection, now: int, action: str, erased: Erased, dry_run: bool
) -> None:
    if dry_run:
        connection.rollback()
    else:
        audit_log.note(connection, now, action, asdict(erased))


def _erase_users(
    connection: sqlite3.Connection, calendar: Calendar, users: Set[int]
) -> tuple[Erased, Names]:
    """Delete the data of users; return how much was erased, and names that may be unused now."""
    done = delete_selection(connection, calendar, Selection(users=users))
    return Erased(len(users), done.histories, done.calls, done.unknown_days), done.names
