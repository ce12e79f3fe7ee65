"""Transactions, and the transient errors of SQLite."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import ServiceUnavailable

DISK_FULL = "the disk that holds the database is full"
DISK_ERROR = "the disk that holds the database reports an error"

_PASSING = {
    sqlite3.SQLITE_BUSY: "the database is busy with another process",
    sqlite3.SQLITE_LOCKED: "the database is locked",
    sqlite3.SQLITE_FULL: DISK_FULL,
    sqlite3.SQLITE_READONLY: "the database cannot be written to",
    sqlite3.SQLITE_IOERR: DISK_ERROR,
    sqlite3.SQLITE_CANTOPEN: "the database file cannot be opened",
    sqlite3.SQLITE_CORRUPT: "the database file is damaged",
    sqlite3.SQLITE_NOTADB: "the database file is damaged",
}


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Begin a write transaction; commit it at the end, roll it back on an exception."""
    try:
        connection.execute("begin immediate")
        yield
        connection.commit()
    finally:
        if connection.in_transaction:
            connection.rollback()


@contextmanager
def transient_errors(outcome: str = "nothing was stored") -> Iterator[None]:
    """Turn the transient errors of SQLite into ServiceUnavailable; other errors are bugs.

    The message ends with `outcome`, which says what was not done.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        reason = _PASSING.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        if reason is None:
            raise
        raise ServiceUnavailable(f"{reason}; {outcome}") from error
