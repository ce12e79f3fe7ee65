"""The keys: made, listed, revoked and found.

A Bearer token is stored as its SHA-256 hash. A signature's secret key is stored as it is: to check
an HMAC, one must have the secret that it was made with.
"""

import hashlib
import hmac
import secrets
import sqlite3
from dataclasses import dataclass
from typing import Any

from ..database import Database

SCOPES = ("read", "write", "ingest", "admin")
TOKEN_PREFIX = "saa_"
PREFIX_LENGTH = len(TOKEN_PREFIX) + 8

INSERT_KEY = """
insert into key (name, prefix, token_hash, saas_id, secret, scopes, created_at, expires_at)
values (:name, :prefix, :token_hash, :saas_id, :secret, :scopes, :created_at, :expires_at)
"""

LIST_KEYS = """
select name, prefix, saas_id, scopes, created_at, expires_at, revoked_at
from key
order by id
"""

REVOKE_KEY = """
update key
set revoked_at = :now, secret = null
where name = :name and revoked_at is null
"""

FIND_KEY = """
select name, scopes, token_hash, saas_id, secret
from key
where prefix = :prefix
  and revoked_at is null
  and (expires_at is null or expires_at > :now)
"""

COUNT_KEYS = "select count(*) from key"


@dataclass(frozen=True)
class Key:
    """A key that came with a request and holds now."""

    name: str
    scopes: frozenset[str]


class NameTaken(Exception):
    """A key of this name is there and not revoked."""


def create_bearer_key(
    database: Database, *, name: str, scopes: tuple[str, ...], expires_at: int | None = None
) -> str:
    """Make a key and return its token, which is not stored and cannot be shown again.

    Raises NameTaken.
    """
    token = f"{TOKEN_PREFIX}{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"
    _insert(
        database,
        name=name,
        scopes=scopes,
        expires_at=expires_at,
        prefix=token[:PREFIX_LENGTH],
        token_hash=_hash(token),
    )
    return token


def create_signature_key(
    database: Database, *, name: str, scopes: tuple[str, ...], expires_at: int | None = None
) -> dict[str, str]:
    """Make a key for clients that sign, and return the three values that they are set up with.

    Raises NameTaken.
    """
    saas_id, api_key = f"saas_{secrets.token_hex(8)}", f"api_{secrets.token_hex(16)}"
    secret = secrets.token_urlsafe(32)
    _insert(
        database,
        name=name,
        scopes=scopes,
        expires_at=expires_at,
        prefix=api_key,
        saas_id=saas_id,
        secret=secret,
    )
    return {"SAASUS_SAAS_ID": saas_id, "SAASUS_API_KEY": api_key, "SAASUS_SECRET_KEY": secret}


def list_keys(database: Database) -> list[dict[str, Any]]:
    """Return all keys, the revoked ones too, oldest first, without anything secret."""
    with database.reading() as connection:
        cursor = connection.execute(LIST_KEYS)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def revoke_key(database: Database, name: str) -> bool:
    """Revoke the key of this name from now on and forget its secret; tell whether it was there."""
    with database.writing() as connection:
        now = database.clock.now()
        return connection.execute(REVOKE_KEY, {"name": name, "now": now}).rowcount > 0


def has_keys(database: Database) -> bool:
    """Tell whether a key was ever made."""
    with database.reading() as connection:
        return bool(connection.execute(COUNT_KEYS).fetchone()[0])


def find_bearer_key(database: Database, token: str) -> Key | None:
    """Return the key of a token, or None if it is not known, revoked or expired."""
    row = _find(database, token[:PREFIX_LENGTH])
    stored = row[2] if row else None
    # A hash is compared whether or not there is a key, so that time tells nothing.
    same = hmac.compare_digest(_hash(token), stored or _hash(""))
    return _key(row) if row and stored and same else None


def find_signature_key(database: Database, saas_id: str, api_key: str) -> tuple[Key | None, str]:
    """Return the key of a client that signs and its secret; None and a wrong secret if none."""
    row = _find(database, api_key)
    stored = (row[3] if row else None) or ""
    if row and row[4] and hmac.compare_digest(stored.encode(), saas_id.encode("utf-8", "replace")):
        return _key(row), row[4]
    return None, secrets.token_urlsafe(32)


def _insert(database: Database, *, scopes: tuple[str, ...], **values: Any) -> None:
    empty: dict[str, object] = {"token_hash": None, "saas_id": None, "secret": None}
    with database.writing() as connection:
        try:
            connection.execute(
                INSERT_KEY,
                empty
                | values
                | {
                    "scopes": " ".join(scope for scope in SCOPES if scope in scopes),
                    "created_at": database.clock.now(),
                },
            )
        except sqlite3.IntegrityError as error:
            raise NameTaken(values["name"]) from error


def _find(database: Database, prefix: str) -> tuple[Any, ...] | None:
    with database.reading() as connection:
        row: tuple[Any, ...] | None = connection.execute(
            FIND_KEY, {"prefix": prefix, "now": database.clock.now()}
        ).fetchone()
        return row


def _key(row: tuple[Any, ...]) -> Key:
    return Key(name=row[0], scopes=frozenset(row[1].split()))


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
