"""Transactions, and the errors of SQLite that can pass."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import ServiceUnavailable

_PASSING = {
    sqlite3.SQLITE_BUSY: "the database is busy with another process",
    sqlite3.SQLITE_LOCKED: "the database is locked",
    sqlite3.SQLITE_FULL: "the disk that holds the database is full",
    sqlite3.SQLITE_READONLY: "the database cannot be written to",
    sqlite3.SQLITE_IOERR: "the disk that holds the database reports an error",
    sqlite3.SQLITE_CANTOPEN: "the database file cannot be opened",
    sqlite3.SQLITE_CORRUPT: "the database file is damaged",
    sqlite3.SQLITE_NOTADB: "the database file is damaged",
}


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Begin to write; commit at the end, undo everything on an exception."""
    try:
        connection.execute("begin immediate")
        yield
        connection.commit()
    finally:
        if connection.in_transaction:
            connection.rollback()


@contextmanager
def passing_errors() -> Iterator[None]:
    """Turn the SQLite errors that can pass into ServiceUnavailable; others are bugs."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        reason = _PASSING.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        if reason is None:
            raise
        raise ServiceUnavailable(f"{reason}; nothing was stored") from error
