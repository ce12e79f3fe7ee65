"""The SQLite file: connections and transactions.

Every write is one `begin immediate` transaction on the one writing connection; reads run beside
it on connections of their own (WAL), each seeing one state of the data.
"""

import logging
import os
import sqlite3
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Self

from flask import current_app, g

from .config import Settings
from .days import Calendar, Clock
from .errors import ServiceUnavailable, StartError
from .histogram import Histogram
from .migrations import prepare
from .transactions import passing_errors, transaction

logger = logging.getLogger("saasus_analysis.database")

SWITCHED = {None: None, True: "on", False: "off"}

# A pragma takes no parameters. Where one is formatted below, it is with a whole number of ours.
SET_SYNCHRONOUS = {
    "full": "pragma synchronous = full",
    "normal": "pragma synchronous = normal",
    "off": "pragma synchronous = off",
}

MINIMUM_SQLITE = (3, 37)

FILES = ("", "-wal", "-shm")
"""What is behind the names of the files that SQLite holds open."""

EMPTY_WAL = "pragma wal_checkpoint(truncate)"

# Takes in what no reader needs, and waits for nobody.
TAKE_IN_WAL = "pragma wal_checkpoint(passive)"

WAL_LIMIT = 16 * 1024 * 1024
"""Bytes of the -wal from which on a write waits for readers, to empty it."""

WAL_PATIENCE = 2
"""How many seconds emptying the -wal waits for readers; writes wait meanwhile."""

WAL_PAUSE = 3
"""How long the -wal is left alone after that, in multiples of the wait: writes lose a quarter."""

COPIED_AT_ONCE = 1024
"""Pages of a copy between two looks at signals."""

TAKE_SNAPSHOT = "select count(*) from sqlite_schema"

# SQLite overwrites what it deletes only where it was built so, or is told to.
OVERWRITE = "pragma secure_delete = on"

# Change nothing together, but go to the disk like any other write.
TRY_WRITE = (
    "insert into setting (name, value) values ('try_write', '')",
    "delete from setting where name = 'try_write'",
)


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
        self._lent = 0
        self._lending = Lock()
        self._write_lock = Lock()
        self._wal_rests_until = 0.0
        self.sealing = Lock()
        """Held by the thread that makes summaries."""
        self.write_waits = Histogram()
        """How long writes waited for other threads and processes."""
        self._wanted = {
            "time_zone": time_zone,
            "keep_query": SWITCHED[keep_query],
            "collapse_ids": SWITCHED[collapse_ids],
        }
        self._open()

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

    def _open(self) -> None:
        try:
            _make_private(self.path)
            self._writer = self._connect()
            with ExitStack() as on_failure:
                on_failure.enter_context(closing(self._writer))
                fixed = prepare(self._writer, self.path, self._wanted)
                self.calendar = Calendar(fixed["time_zone"])
                on_failure.pop_all()
        except (OSError, sqlite3.Error) as error:
            raise StartError(f"the database {self.path} cannot be used: {error}") from error
        self._files: list[tuple[int, int] | None] = self._find_files()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees one state of the data.

        Raises ServiceUnavailable where asking again later can help.
        """
        with self._idle_connection() as connection:
            connection.execute("begin")
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Give a connection to a private copy, for what may take as long as whoever reads it.

        The -wal grows while somebody reads the database itself. The copy is a temporary file of
        SQLite: it has no name, and goes with the connection or the process.
        """
        with closing(sqlite3.connect("", isolation_level=None)) as copy:
            with self.reading() as connection:
                connection.execute(TAKE_SNAPSHOT).fetchone()
                connection.backup(copy, pages=COPIED_AT_ONCE)
            yield copy

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
            if self._find_files() != self._files:
                with self._lock(self._busy_seconds):
                    self._open_again()
            with self._lending:
                self._lent += 1
            try:
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
            finally:
                with self._lending:
                    self._lent -= 1

    @contextmanager
    def writing(self, patience: int | None = None) -> Iterator[sqlite3.Connection]:
        """Give the connection that writes; commit at the end, undo everything on an exception.

        Waits for other threads, and `busy_seconds` for other processes; with a patience, so many
        seconds for each. Raises ServiceUnavailable where asking again later can help.
        """
        began = time.perf_counter()
        with self._lock(-1 if patience is None else patience), passing_errors():
            self._open_again()
            with self._patient(patience), transaction(self._writer):
                self.write_waits.observe(time.perf_counter() - began)
                yield self._writer
            self._save_what_was_committed()
            self._keep_wal_small()

    @contextmanager
    def erasing(self) -> Iterator[sqlite3.Connection]:
        """Give a connection like that of `writing` for deleting names and what people did.

        References are not checked: for each name that is deleted, SQLite would read the tables that
        refer to it.
        """
        with self._lock(-1), passing_errors():
            self._open_again()
            with closing(self._connect()) as connection:
                connection.execute("pragma foreign_keys = off")
                with transaction(connection):
                    yield connection
            self._save_what_was_committed()
            self._keep_wal_small()

    def empty_wal(self, patience: int = WAL_PATIENCE) -> bool:
        """Take the -wal into the file and empty it, after waiting so many seconds for readers.

        Return whether that was done. New readers do not prevent it, only those who read already.
        """
        with self._lock(-1), passing_errors():
            self._open_again()
            with self._patient(patience):
                (busy, _, _) = self._writer.execute(EMPTY_WAL).fetchone()
        return not busy

    def wal_bytes(self) -> int:
        """Return the size of the -wal."""
        return _size(f"{self.path}-wal")

    def wal_held(self) -> float:
        """Return for how many seconds nothing could be taken from the -wal into the file.

        That is 0 where no reader keeps it from that.
        """
        with self._idle_connection() as connection:
            (_, frames, taken_in) = connection.execute(TAKE_IN_WAL).fetchone()
            # Nothing else writes into the file itself.
            return 0.0 if frames == taken_in else max(0.0, time.time() - self.path.stat().st_mtime)

    def try_write(self) -> None:
        """Write as others do, changing nothing. Raises ServiceUnavailable if it does not work."""
        with self.writing() as connection:
            for statement in TRY_WRITE:
                connection.execute(statement)

    def close(self) -> None:
        """Close all connections; call it when no request is running."""
        with self._write_lock:
            self._close_all()

    @contextmanager
    def _lock(self, seconds: int) -> Iterator[None]:
        """Hold the write lock, after waiting so long for other threads; with -1, however long."""
        if not self._write_lock.acquire(timeout=seconds):
            raise ServiceUnavailable("the database is busy with other writes; nothing was stored")
        try:
            yield
        finally:
            self._write_lock.release()

    def _find_files(self) -> list[tuple[int, int] | None]:
        return [_identity(f"{self.path}{suffix}") for suffix in FILES]

    def _open_again(self) -> None:
        """Where other files than those that are open are at the path, open those.

        To be called with the write lock. SQLite itself would go on with files that have no name any
        more, and what it stores there is lost with the process. Raises ServiceUnavailable if there
        is no file, it cannot be used, or questions are still answered from the old one.
        """
        with self._lending:
            found = self._find_files()
            if found == self._files:
                return
            if found[0] is None:
                # It may come back: what is open stays open.
                raise ServiceUnavailable("the database file is gone; nothing was stored")
            if self._lent:
                raise ServiceUnavailable("the database file is being opened; nothing was stored")
            if self._files:
                # What is in a -wal file without a name would be lost, and one that has its name
                # still would be taken for that of the other file.
                (busy, _, _) = self._writer.execute(EMPTY_WAL).fetchone()
                if busy:
                    raise ServiceUnavailable("the database is busy; nothing was stored")
            self._close_all()
            self._files = []
            self._wanted["time_zone"] = self.calendar.zone
            try:
                self._open()
            except StartError as error:
                logger.error("%s", error)
                raise ServiceUnavailable(
                    "the database file cannot be used; nothing was stored"
                ) from error
            logger.warning("%s was opened again, since its files were changed", self.path)

    def _save_what_was_committed(self) -> None:
        """See to it that a commit is in the files at the path, also if they changed meanwhile."""
        found = self._find_files()
        if found == self._files:
            return
        with suppress(ServiceUnavailable):
            if found[0] == self._files[0]:
                self._open_again()
                return
        raise ServiceUnavailable("the database file was changed by others; this may not be stored")

    def _keep_wal_small(self) -> None:
        """Empty a large -wal; to be called with the write lock, after a commit.

        SQLite begins at its start again only in a moment without readers, which may never come.
        """
        began = time.monotonic()
        if began < self._wal_rests_until or self.wal_bytes() < WAL_LIMIT:
            return
        # What was to be stored is stored, whatever becomes of this.
        with suppress(sqlite3.OperationalError), self._patient(WAL_PATIENCE):
            self._writer.execute(EMPTY_WAL).fetchone()
        ended = time.monotonic()
        self._wal_rests_until = ended + WAL_PAUSE * (ended - began)

    @contextmanager
    def _patient(self, seconds: int | None) -> Iterator[None]:
        """Wait so long for other processes, and not `busy_seconds`."""
        if seconds is None:
            yield
            return
        _set_busy_timeout(self._writer, seconds)
        try:
            yield
        finally:
            _set_busy_timeout(self._writer, self._busy_seconds)

    def _close_all(self) -> None:
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
            connection.execute(OVERWRITE)
            connection.execute(SET_SYNCHRONOUS[self._synchronous])
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def current_database() -> Database:
    """Return the database of this request: that of its application, or of its namespace."""
    database: Database = g.get("database") or current_app.extensions["database"]
    return database


def _identity(path: str) -> tuple[int, int] | None:
    """Return what tells a file from any other, whatever its name; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 (a third of the time of Path.stat)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 (as above)
    except OSError:
        return 0


def _set_busy_timeout(connection: sqlite3.Connection, seconds: int) -> None:
    connection.execute(f"pragma busy_timeout = {seconds * 1000:d}")


def _make_private(path: Path) -> None:
    """Make the file if it is missing; leave it readable by its owner alone.

    It holds signing secrets and what people did.
    """
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
