"""The SQLite file: connections and transactions.

Every write is one `begin immediate` transaction on the one writing connection; reads run beside
it on connections of their own (WAL), each seeing one state of the data.
"""

import os
import sqlite3
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Lock
from typing import Self

from flask import current_app, g

from .config import Settings
from .days import Calendar, Clock
from .errors import ServiceUnavailable, StartError
from .histogram import Histogram
from .migrations import prepare

SWITCHED = {None: None, True: "on", False: "off"}

# A pragma takes no parameters. Where one is formatted below, it is with a whole number of ours.
SET_SYNCHRONOUS = {
    "full": "pragma synchronous = full",
    "normal": "pragma synchronous = normal",
    "off": "pragma synchronous = off",
}

MINIMUM_SQLITE = (3, 37)

_PASSING = {
    sqlite3.SQLITE_BUSY: "the database is busy with another process",
    sqlite3.SQLITE_LOCKED: "the database is locked",
    sqlite3.SQLITE_FULL: "the disk that holds the database is full",
    sqlite3.SQLITE_READONLY: "the database cannot be written to",
    sqlite3.SQLITE_IOERR: "the disk that holds the database reports an error",
    sqlite3.SQLITE_CANTOPEN: "the database file cannot be opened",
}


class Database:
    """One database file, with the calendar that is fixed in it and the clock of its application.

    Makes the file with mode 0600 if it is missing and migrates it if it is older. Raises StartError
    if the file is not ours, is newer than this program, or was made for another time zone.
    """

    def __init__(
        self,
        path: Path,
        *,
        time_zone: str | None = None,
        keep_query: bool | None = None,
        collapse_ids: bool | None = None,
        synchronous: str = "full",
        busy_seconds: int = 5,
        clock: Clock | None = None,
    ) -> None:
        if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
            raise StartError(f"SQLite 3.37 or newer is needed, this is {sqlite3.sqlite_version}")
        self.path = path
        self.clock = clock or Clock()
        self._synchronous = synchronous
        self._busy_seconds = busy_seconds
        self._idle: deque[sqlite3.Connection] = deque()
        self._write_lock = Lock()
        self.sealing = Lock()
        """Held by the thread that makes page summaries."""
        self.write_waits = Histogram()
        """How long writes waited for other threads and processes."""
        wanted = {
            "time_zone": time_zone,
            "keep_query": SWITCHED[keep_query],
            "collapse_ids": SWITCHED[collapse_ids],
        }
        try:
            _make_private(path)
            self._writer = self._connect()
            with ExitStack() as on_failure:
                on_failure.enter_context(closing(self._writer))
                fixed = prepare(self._writer, path, wanted)
                self.calendar = Calendar(fixed["time_zone"])
                on_failure.pop_all()
        except (OSError, sqlite3.Error) as error:
            raise StartError(f"the database {path} cannot be used: {error}") from error

    @classmethod
    def open(cls, settings: Settings, clock: Clock | None = None) -> Self:
        """Open the database that the settings name."""
        return cls(
            settings.database,
            time_zone=settings.time_zone,
            keep_query=settings.keep_query,
            collapse_ids=settings.collapse_ids,
            synchronous=settings.synchronous,
            busy_seconds=settings.busy_seconds,
            clock=clock,
        )

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees one state of the data.

        Raises ServiceUnavailable where asking again later can help.
        """
        with self._idle_connection() as connection:
            connection.execute("begin")
            yield connection

    def read_json(self, sql: str, parameters: Mapping[str, object]) -> str:
        """Return the one value of a query, which is JSON text.

        Rows cost most where threads read at once: each is a time that another one may take over.
        Raises ServiceUnavailable where asking again later can help.
        """
        with self._idle_connection() as connection:
            text: str = connection.execute(sql, parameters).fetchone()[0]
        return text

    @contextmanager
    def _idle_connection(self) -> Iterator[sqlite3.Connection]:
        with passing_errors():
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connect()
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.rollback()
                self._idle.append(connection)

    @contextmanager
    def writing(self, patience: int | None = None) -> Iterator[sqlite3.Connection]:
        """Give the connection that writes; commit at the end, undo everything on an exception.

        Waits for other threads, and `busy_seconds` for other processes; with a patience, so many
        seconds for each. Raises ServiceUnavailable where asking again later can help.
        """
        began = time.perf_counter()
        if not self._write_lock.acquire(timeout=-1 if patience is None else patience):
            raise ServiceUnavailable("the database is busy with other writes; nothing was stored")
        connection = self._writer
        try:
            with passing_errors():
                if patience is not None:
                    _set_busy_timeout(connection, patience)
                with transaction(connection):
                    self.write_waits.observe(time.perf_counter() - began)
                    yield connection
        finally:
            if patience is not None:
                _set_busy_timeout(connection, self._busy_seconds)
            self._write_lock.release()

    def try_write(self) -> None:
        """Write and undo it. Raises ServiceUnavailable if a write would not work now."""
        with self.writing() as connection:
            connection.execute("insert into setting (name, value) values ('try_write', '')")
            connection.rollback()

    def close(self) -> None:
        """Close all connections; call it when no request is running."""
        with self._write_lock:
            while self._idle:
                self._idle.pop().close()
            self._writer.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=self._busy_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("pragma foreign_keys = on")
            connection.execute(SET_SYNCHRONOUS[self._synchronous])
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def current_database() -> Database:
    """Return the database of this request: that of its application, or of its namespace."""
    database: Database = g.get("database") or current_app.extensions["database"]
    return database


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
    except sqlite3.OperationalError as error:
        reason = _PASSING.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        if reason is None:
            raise
        raise ServiceUnavailable(f"{reason}; nothing was stored") from error


def _set_busy_timeout(connection: sqlite3.Connection, seconds: int) -> None:
    connection.execute(f"pragma busy_timeout = {seconds * 1000:d}")


def _make_private(path: Path) -> None:
    """Make the file if it is missing; leave it readable by its owner alone.

    It holds signing secrets and what people did.
    """
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
