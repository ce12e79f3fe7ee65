"""Links: URLs that show the dashboard to whoever has them.

The path contains a token, which is stored as its hash. Every link expires.
"""

import sqlite3
from dataclasses import dataclass
from typing import Any

from ..storage import links as rows
from ..storage.database import Database
from ..storage.dictionary import find_tenant
from . import last_used
from .keys import NameTaken
from .tokens import hash_token, make_token

DEFAULT_DAYS = 30
"""How long a link is valid by default."""


@dataclass(frozen=True)
class Link:
    """A link that is valid now."""

    id: int
    name: str
    tenant_id: str | None
    """The only tenant whose data it shows; None: it shows the data of all tenants."""
    last_used_at: int | None


class UnknownTenant(Exception):
    """Nothing is stored about a tenant of this id."""


def create_link(
    database: Database, *, name: str, expires_at: int, tenant_id: str | None = None
) -> str:
    """Create a link and return its token, which is not stored and cannot be shown again.

    Raises NameTaken or UnknownTenant.
    """
    token = make_token()
    with database.writing() as connection:
        tenant = None if tenant_id is None else find_tenant(connection, tenant_id)
        if tenant_id is not None and tenant is None:
            raise UnknownTenant(tenant_id)
        row = {"name": name, "token_hash": hash_token(token), "expires_at": expires_at}
        row |= {"now": database.clock.now(), "tenant": tenant}
        try:
            rows.insert_link(connection, row)
        except sqlite3.IntegrityError as error:
            raise NameTaken(name) from error
    return token


def list_links(database: Database, limit: int | None = None) -> list[dict[str, Any]]:
    """Return all links, including revoked ones, oldest first, without their tokens.

    With a limit, returns at most that many: valid links are preferred, then the newest.
    """
    with database.reading() as connection:
        return rows.list_links(connection, database.clock.now(), limit)


def revoke_link(database: Database, name: str) -> bool:
    """Revoke the link of this name; return whether there was such a link."""
    with database.writing() as connection:
        return rows.revoke_link(connection, name, database.clock.now())


def find_link(database: Database, token: str) -> Link | None:
    """Return the link of a token, or None if it is unknown, revoked or expired."""
    with database.reading() as connection:
        row = rows.find_link(connection, hash_token(token), database.clock.now())
    return Link(*row) if row else None


def note_use(database: Database, link: Link) -> None:
    """Store that a link was used now."""
    last_used.note_use(database, rows.note_link_use, link.id, link.last_used_at)
