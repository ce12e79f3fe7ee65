"""The rows of sessions: which browser is signed in with which key."""

import sqlite3
from typing import Any

INSERT_SESSION = """
insert into session (token_hash, key_id, created_at, expires_at)
select :token_hash, id, :now, :expires_at
from key
where prefix = :prefix
"""

FIND_KEY = """
select key.name, key.scopes, key.prefix, key.last_used_at
from session
join key on key.id = session.key_id
where session.token_hash = :token_hash
  and session.expires_at > :now
  and key.revoked_at is null
  and (key.expires_at is null or key.expires_at > :now)
"""

DELETE_SESSION = "delete from session where token_hash = :token_hash"

# The number is limited, since a request waits for it.
DELETE_EXPIRED = """
delete from session
where token_hash in (
  select token_hash
  from session
  where expires_at <= :now
  order by expires_at
  limit 1000
)
"""


def insert_session(
    connection: sqlite3.Connection,
    token_hash: bytes,
    *,
    prefix: str | None,
    now: int,
    expires_at: int,
) -> None:
    """Store that a browser is signed in with the key that has this prefix."""
    given = {"token_hash": token_hash, "prefix": prefix, "now": now, "expires_at": expires_at}
    connection.execute(INSERT_SESSION, given)


def find_session_key(
    connection: sqlite3.Connection, token_hash: bytes, now: int
) -> tuple[Any, ...] | None:
    """Return name, scopes, prefix and last use of the valid key of a session, or None."""
    row: tuple[Any, ...] | None
    row = connection.execute(FIND_KEY, {"token_hash": token_hash, "now": now}).fetchone()
    return row


def delete_session(connection: sqlite3.Connection, token_hash: bytes, now: int) -> None:
    """Delete a session, and a limited number of expired ones."""
    connection.execute(DELETE_SESSION, {"token_hash": token_hash})
    connection.execute(DELETE_EXPIRED, {"now": now})
