"""The rows of links to the dashboard."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from .newest_rows import select_newest

INSERT_LINK = """
insert into link (name, token_hash, tenant_id, created_at, expires_at)
values (:name, :token_hash, :tenant, :now, :expires_at)
"""

LIST_LINKS = """
select link.id, link.name, tenant.name as tenant_id,
       created_at, expires_at, revoked_at, last_used_at
from link
left join tenant on tenant.id = link.tenant_id
order by revoked_at is not null, expires_at <= :now, link.id desc
limit :limit
"""

SELECT_NAMES = """
select name
from link
where revoked_at is null
order by id
"""

REVOKE_LINK = """
update link
set revoked_at = :now
where name = :name and revoked_at is null
"""

# A link whose tenant is missing is never valid: it would show the data of all tenants.
FIND_LINK = """
select link.id, link.name, tenant.name, link.last_used_at
from link
left join tenant on tenant.id = link.tenant_id
where link.token_hash = :token_hash
  and link.revoked_at is null
  and link.expires_at > :now
  and (link.tenant_id is null) = (tenant.id is null)
"""

NOTE_USE = """
update link
set last_used_at = :now
where id = :id
"""


def insert_link(connection: sqlite3.Connection, row: Mapping[str, Any]) -> None:
    """Store a link. Raises sqlite3.IntegrityError if one of its name exists and is not revoked."""
    connection.execute(INSERT_LINK, row)


def find_link(
    connection: sqlite3.Connection, token_hash: bytes, now: int
) -> tuple[int, str, str | None, int | None] | None:
    """Return id, name, tenant and last use of the valid link with a token, or None."""
    row: tuple[int, str, str | None, int | None] | None
    row = connection.execute(FIND_LINK, {"token_hash": token_hash, "now": now}).fetchone()
    return row


def list_links(connection: sqlite3.Connection, now: int, limit: int | None) -> list[dict[str, Any]]:
    """Return all links, including revoked ones, oldest first, without their tokens.

    With a limit, return at most that many: valid links are preferred, then the newest.
    """
    return select_newest(connection, LIST_LINKS, now, limit)


def link_names(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the links that are not revoked, oldest first."""
    return [name for (name,) in connection.execute(SELECT_NAMES)]


def revoke_link(connection: sqlite3.Connection, name: str, now: int) -> bool:
    """Revoke the link of a name; return whether there was one."""
    return connection.execute(REVOKE_LINK, {"name": name, "now": now}).rowcount > 0


def note_link_use(connection: sqlite3.Connection, id_: int, now: int) -> None:
    """Store when a link was last used."""
    connection.execute(NOTE_USE, {"id": id_, "now": now})
