"""Creating, listing, revoking and finding keys.

A Bearer token is stored as its SHA-256 hash. A signature's secret key is stored in clear, because
verifying an HMAC needs the secret that it was made with.
"""

import hmac
import secrets
import sqlite3
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..storage import keys as rows
from ..storage.database import Database
from . import last_used
from .tokens import hash_token

SCOPES = ("read", "write", "ingest", "admin")
TOKEN_PREFIX = "saa_"
PREFIX_LENGTH = len(TOKEN_PREFIX) + 8

NO_HASH, NO_SECRET = bytes(32), secrets.token_urlsafe(32)
"""What a token and a signature are compared with if there is no such key."""


@dataclass(frozen=True)
class Key:
    """A key that came with a request and is valid now."""

    name: str
    scopes: frozenset[str]
    prefix: str | None = None
    """None if the key is not stored."""
    last_used_at: int | None = None


Shown = TypeVar("Shown")


class NameTaken(Exception):
    """There is a key of this name that is not revoked."""


def create_bearer_key(
    database: Database, *, name: str, scopes: tuple[str, ...], expires_at: int | None = None
) -> str:
    """Create a key and return its token, which is not stored and cannot be shown again.

    Raises NameTaken.
    """
    made = _make_bearer()
    with database.writing() as connection:
        now = database.clock.now()
        _insert(connection, now, name=name, scopes=scopes, expires_at=expires_at, **made.row)
    return made.shown


def create_signature_key(
    database: Database, *, name: str, scopes: tuple[str, ...], expires_at: int | None = None
) -> dict[str, str]:
    """Create a key for clients that sign, and return the three variables that configure them.

    Raises NameTaken.
    """
    made = _make_signature()
    with database.writing() as connection:
        now = database.clock.now()
        _insert(connection, now, name=name, scopes=scopes, expires_at=expires_at, **made.row)
    return made.shown


def rotate_key(database: Database, name: str, overlap: int) -> dict[str, str] | str | None:
    """Replace a key by a new one; the old key stays valid for `overlap` seconds as `NAME.old`.

    Returns what `create_bearer_key` or `create_signature_key` returns, or None if there is no key
    of this name. Raises NameTaken, with nothing changed, if there is a `NAME.old` already.
    """
    with database.writing() as connection:
        now = database.clock.now()
        old_name = f"{name}.old"
        try:
            row = rows.retire_key(connection, name, old_name=old_name, until=now + overlap, now=now)
        except sqlite3.IntegrityError as error:
            raise NameTaken(old_name) from error
        if row is None:
            return None
        made = _make_signature() if row[1] else _make_bearer()
        _insert(connection, now, name=name, scopes=tuple(row[0].split()), **made.row)
    return made.shown


def note_use(database: Database, key: Key) -> None:
    """Store that a key was used now, unless the key is not stored itself."""
    if key.prefix is not None:
        last_used.note_use(database, rows.note_key_use, key.prefix, key.last_used_at)


def list_keys(database: Database, limit: int | None = None) -> list[dict[str, Any]]:
    """Return all keys, including revoked ones, oldest first, without their secrets.

    With a limit, returns at most that many: valid keys are preferred, then the newest.
    """
    with database.reading() as connection:
        return rows.list_keys(connection, database.clock.now(), limit)


def revoke_key(database: Database, name: str) -> bool:
    """Revoke the key of this name and delete its secret; return whether there was such a key."""
    with database.writing() as connection:
        return rows.revoke_key(connection, name, database.clock.now())


def has_keys(database: Database) -> bool:
    """Return whether a key was ever created."""
    with database.reading() as connection:
        return rows.has_keys(connection)


def find_bearer_key(database: Database, token: str) -> Key | None:
    """Return the key of a token, or None if it is unknown, revoked or expired."""
    row = _find(database, token[:PREFIX_LENGTH])
    stored = row[2] if row else None
    # Compare a hash even if there is no such key, so that the time does not reveal that.
    same = hmac.compare_digest(hash_token(token), stored or NO_HASH)
    return _key(row) if row and stored and same else None


def find_signature_key(database: Database, saas_id: str, api_key: str) -> tuple[Key | None, str]:
    """Return a signature key and its secret; if there is no such key, None and a wrong secret."""
    row = _find(database, api_key)
    stored = (row[3] if row else None) or ""
    # Compare even if there is no such key, so that the time does not reveal that.
    is_same = hmac.compare_digest(stored.encode(), saas_id.encode("utf-8", "replace"))
    if row and row[4] and is_same:
        return _key(row), row[4]
    return None, NO_SECRET


@dataclass(frozen=True)
class _Made(Generic[Shown]):
    """A new key: the part that is shown once, and the row that is stored."""

    shown: Shown
    row: dict[str, Any]


def _make_bearer() -> _Made[str]:
    token = f"{TOKEN_PREFIX}{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"
    return _Made(token, {"prefix": token[:PREFIX_LENGTH], "token_hash": hash_token(token)})


def _make_signature() -> _Made[dict[str, str]]:
    saas_id, api_key = f"saas_{secrets.token_hex(8)}", f"api_{secrets.token_hex(16)}"
    secret = secrets.token_urlsafe(32)
    return _Made(
        {"SAASUS_SAAS_ID": saas_id, "SAASUS_API_KEY": api_key, "SAASUS_SECRET_KEY": secret},
        {"prefix": api_key, "saas_id": saas_id, "secret": secret},
    )


def _insert(
    connection: sqlite3.Connection, now: int, *, scopes: tuple[str, ...], **values: Any
) -> None:
    empty = dict.fromkeys(("token_hash", "saas_id", "secret", "expires_at"))
    ordered = " ".join(scope for scope in SCOPES if scope in scopes)
    row = empty | values | {"scopes": ordered, "created_at": now}
    try:
        rows.insert_key(connection, row)
    except sqlite3.IntegrityError as error:
        raise NameTaken(values["name"]) from error


def _find(database: Database, prefix: str) -> rows.Row | None:
    with database.reading() as connection:
        return rows.find_key(connection, prefix, database.clock.now())


def _key(row: rows.Row) -> Key:
    return Key(row[0], frozenset(row[1].split()), prefix=row[5], last_used_at=row[6])
