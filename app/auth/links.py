"""Links: URLs that let whoever has them look at the dashboard.

The token is a part of the path, and stored as its hash. Every link expires.
"""

import sqlite3
from dataclasses import dataclass
from typing import Any

from ..storage.database import Database
from . import last_used
from .keys import NameTaken, list_limited
from .tokens import hash_token, make_token

DEFAULT_DAYS = 30
"""How long a link holds unless said."""

FIND_TENANT = "select id from tenant where name = :tenant_id"

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

# A link to a tenant that is gone, which should not be, is none: not a link to all.
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


@dataclass(frozen=True)
class Link:
    """A link that holds now."""

    id: int
    name: str
    tenant_id: str | None
    """Whose data alone it shows; None: those of all."""
    last_used_at: int | None


class UnknownTenant(Exception):
    """Nothing is stored of a tenant of this id."""


def create_link(
    database: Database, *, name: str, expires_at: int, tenant_id: str | None = None
) -> str:
    """Make a link and return its token, which is not stored and cannot be shown again.

    Raises NameTaken, or UnknownTenant.
    """
    token = make_token()
    with database.writing() as connection:
        row = {"name": name, "token_hash": hash_token(token), "expires_at": expires_at}
        row |= {"now": database.clock.now(), "tenant": _find_tenant(connection, tenant_id)}
        try:
            connection.execute(INSERT_LINK, row)
        except sqlite3.IntegrityError as error:
            raise NameTaken(name) from error
    return token


def list_links(database: Database, limit: int | None = None) -> list[dict[str, Any]]:
    """Return all links, the revoked ones too, oldest first, without their tokens.

    With a limit, there are so many at most: those that hold are preferred, then the newest.
    """
    return list_limited(database, LIST_LINKS, limit)


def names(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the links that are not revoked, oldest first."""
    return [name for (name,) in connection.execute(SELECT_NAMES)]


def revoke_link(database: Database, name: str) -> bool:
    """Revoke the link of this name from now on; tell whether it was there."""
    with database.writing() as connection:
        now = database.clock.now()
        return connection.execute(REVOKE_LINK, {"name": name, "now": now}).rowcount > 0


def find_link(database: Database, token: str) -> Link | None:
    """Return the link of a token, or None if it is not known, revoked or expired."""
    with database.reading() as connection:
        given = {"token_hash": hash_token(token), "now": database.clock.now()}
        row = connection.execute(FIND_LINK, given).fetchone()
    return Link(*row) if row else None


def note_use(database: Database, link: Link) -> None:
    """Note that a link was used."""
    last_used.note_use(database, NOTE_USE, link.last_used_at, id=link.id)


def _find_tenant(connection: sqlite3.Connection, tenant_id: str | None) -> int | None:
    if tenant_id is None:
        return None
    found = connection.execute(FIND_TENANT, {"tenant_id": tenant_id}).fetchone()
    if found is None:
        raise UnknownTenant(tenant_id)
    return int(found[0])
