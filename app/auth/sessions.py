"""Sessions: which browser is signed in with which key.

The browser has the token, the server its hash. A session lasts as long as it was given, but ends
early when its key is no longer valid or no longer has the scope read.
"""

from ..storage.database import Database
from ..storage.sessions import delete_session, find_session_key, insert_session
from .keys import Key
from .tokens import hash_token, make_token

SCOPE = "read"
"""The scope that a key needs for signing in."""


def begin_session(database: Database, key: Key, seconds: int, *, before: str = "") -> str:
    """Sign a browser in with a stored key for `seconds`, and return the token of the session.

    The browser's previous session, whose token is `before`, ends as if it had signed out.
    """
    token = make_token()
    with database.writing() as connection:
        now = database.clock.now()
        delete_session(connection, hash_token(before), now)
        insert_session(
            connection, hash_token(token), prefix=key.prefix, now=now, expires_at=now + seconds
        )
    return token


def find_key(database: Database, token: str) -> Key | None:
    """Return the key of a session, or None if there is no valid session of this token."""
    with database.reading() as connection:
        row = find_session_key(connection, hash_token(token), database.clock.now())
    if row is None:
        return None
    name, scopes, prefix, last_used_at = row
    key = Key(name, frozenset(scopes.split()), prefix=prefix, last_used_at=last_used_at)
    return key if SCOPE in key.scopes else None


def end_session(database: Database, token: str) -> None:
    """Sign out the browser that has the token."""
    with database.writing() as connection:
        delete_session(connection, hash_token(token), database.clock.now())
