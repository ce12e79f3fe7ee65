"""Sessions: which browser is signed in with which key.

The browser has the token, the server its hash. A session lasts as long as is set, and no longer
than its key holds and may read.
"""

import sqlite3

from ..storage.database import Database
from .keys import Key
from .tokens import hash_token, make_token

SCOPE = "read"
"""What a key must allow, so that one can sign in with it."""

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

# A bounded number each time, however many there are: signing in waits for it.
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


def begin_session(database: Database, key: Key, seconds: int, *, before: str = "") -> str:
    """Sign a browser in with a key that is stored, and return the token of the session.

    The session that the browser had before ends, as if it had been signed out.
    """
    token = make_token()
    with database.writing() as connection:
        now = database.clock.now()
        _delete(connection, before, now)
        row = {"token_hash": hash_token(token), "now": now, "expires_at": now + seconds}
        connection.execute(INSERT_SESSION, row | {"prefix": key.prefix})
    return token


def find_key(database: Database, token: str) -> Key | None:
    """Return the key of a session, or None if there is none now."""
    with database.reading() as connection:
        given = {"token_hash": hash_token(token), "now": database.clock.now()}
        row = connection.execute(FIND_KEY, given).fetchone()
    if row is None:
        return None
    name, scopes, prefix, last_used_at = row
    key = Key(name, frozenset(scopes.split()), prefix=prefix, last_used_at=last_used_at)
    return key if SCOPE in key.scopes else None


def end_session(database: Database, token: str) -> None:
    """Sign out the browser that has a token."""
    with database.writing() as connection:
        _delete(connection, token, database.clock.now())


def _delete(connection: sqlite3.Connection, token: str, now: int) -> None:
    """Delete the session of a token, and some of those that have expired."""
    connection.execute(DELETE_SESSION, {"token_hash": hash_token(token)})
    connection.execute(DELETE_EXPIRED, {"now": now})
