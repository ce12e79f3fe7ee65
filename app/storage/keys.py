"""The rows of keys."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from .newest_rows import select_newest

INSERT_KEY = """
insert into key (name, prefix, token_hash, saas_id, secret, scopes, created_at, expires_at)
values (:name, :prefix, :token_hash, :saas_id, :secret, :scopes, :created_at, :expires_at)
"""

LIST_KEYS = """
select id, name, prefix, saas_id, scopes, created_at, expires_at, revoked_at, last_used_at
from key
order by revoked_at is not null, coalesce(expires_at <= :now, 0), id desc
limit :limit
"""

SELECT_NAMES = """
select name
from key
where revoked_at is null
order by id
"""

REVOKE_KEY = """
update key
set revoked_at = :now, secret = null
where name = :name and revoked_at is null
"""

RETIRE_KEY = """
update key
set name = :old_name, expires_at = min(coalesce(expires_at, :until), :until)
where name = :name
  and revoked_at is null
  and (expires_at is null or expires_at > :now)
returning scopes, saas_id
"""

NOTE_USE = """
update key
set last_used_at = :now
where prefix = :prefix
"""

FIND_KEY = """
select name, scopes, token_hash, saas_id, secret, prefix, last_used_at
from key
where prefix = :prefix
  and revoked_at is null
  and (expires_at is null or expires_at > :now)
"""

HAS_KEYS = "select exists (select 1 from key)"

Row = tuple[Any, ...]


def insert_key(connection: sqlite3.Connection, row: Mapping[str, Any]) -> None:
    """Store a key. Raises sqlite3.IntegrityError if a key of its name exists and is not revoked."""
    connection.execute(INSERT_KEY, row)


def find_key(connection: sqlite3.Connection, prefix: str, now: int) -> Row | None:
    """Return the row of the key with a prefix that is neither revoked nor expired.

    The columns are name, scopes, token_hash, saas_id, secret, prefix, last_used_at.
    """
    row: Row | None = connection.execute(FIND_KEY, {"prefix": prefix, "now": now}).fetchone()
    return row


def list_keys(connection: sqlite3.Connection, now: int, limit: int | None) -> list[dict[str, Any]]:
    """Return all keys, including revoked ones, oldest first, without their secrets.

    With a limit, return at most that many: valid keys are preferred, then the newest.
    """
    return select_newest(connection, LIST_KEYS, now, limit)


def key_names(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the keys that are not revoked, oldest first."""
    return [name for (name,) in connection.execute(SELECT_NAMES)]


def has_keys(connection: sqlite3.Connection) -> bool:
    """Return whether a key was ever made."""
    return bool(connection.execute(HAS_KEYS).fetchone()[0])


def revoke_key(connection: sqlite3.Connection, name: str, now: int) -> bool:
    """Revoke the key of a name and delete its secret; return whether there was one."""
    return connection.execute(REVOKE_KEY, {"name": name, "now": now}).rowcount > 0


def retire_key(
    connection: sqlite3.Connection, name: str, *, old_name: str, until: int, now: int
) -> Row | None:
    """Rename a valid key, and let it expire at `until` at the latest.

    Return its scopes and SaaS id; None if there is no such key. Raises sqlite3.IntegrityError if
    the new name is taken.
    """
    given = {"name": name, "old_name": old_name, "until": until, "now": now}
    row: Row | None = connection.execute(RETIRE_KEY, given).fetchone()
    return row


def note_key_use(connection: sqlite3.Connection, prefix: str, now: int) -> None:
    """Store when the key with a prefix was last used."""
    connection.execute(NOTE_USE, {"prefix": prefix, "now": now})
