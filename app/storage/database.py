"""The SQLite file: connections and transactions.

Every write is one `begin immediate` transaction on the one writing connection; reads run at the
same time on connections of their own (WAL), each with a snapshot of the data.
"""

import logging
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from threading import Lock, local
from typing import Self

from ..config import Settings
from ..days import Calendar, Clock
from ..errors import ServiceUnavailable, StartError
from .connections import connect, make_room_to_sort, set_busy_timeout
from .file_header import holds_database
from .files import FILES, identity_of, make_file, make_private, size_of
from .migrations import newest_version, prepare, read_version
from .open_servers import count_others, enter
from .transactions import transaction, transient_errors

logger = logging.getLogger("saasus_analysis.database")

SWITCHED = {None: None, True: "on", False: "off"}

MINIMUM_SQLITE = (3, 37)

EMPTY_WAL = "pragma wal_checkpoint(truncate)"

# Copies as much of the -wal into the file as is possible without waiting for readers.
TAKE_IN_WAL = "pragma wal_checkpoint(passive)"

WAL_LIMIT = 16 * 1024 * 1024
"""The size of the -wal, in bytes, from which on a write waits for readers to empty it."""

WAL_PATIENCE = 2
"""For how many seconds emptying the -wal waits for readers; writes wait during this time."""

WAL_PAUSE = 3
"""The pause before the next attempt, in multiples of the wait: writes lose a quarter at most."""

COPIED_AT_ONCE = 1024
"""How many pages of a snapshot are copied before Python can handle signals again."""

TAKE_SNAPSHOT = "select count(*) from sqlite_schema"

# These statements change nothing. The first write, of an ordinary size, needs new pages and is
# rolled back; the second goes to the disk like any other.
TRY_WRITE = (
    "savepoint room",
    "insert into setting (name, value) values ('try_write', hex(zeroblob(131072)))",
    "rollback to room",
    "update setting set value = value where name = 'time_zone'",
)


@dataclass
class Group:
    """Writes of one thread that are committed together."""

    is_open: bool = False
    """Whether their transaction has begun; if so, the thread holds the write lock."""
    loss: ServiceUnavailable | None = None
    """The error that keeps all of them from being stored; None if there is none."""


class Database:
    """One database file, with the calendar of its time zone and the clock of its application.

    `create` makes a missing file with mode 0600, and `migrate` migrates an older one; without them,
    these raise StartError. So do a file that is newer than this program, one that was made with
    another time zone or page rule, and one of another program, which is not touched.
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
        accept_ahead: int | None = 1,
        accept_from: date | None = None,
        clock: Clock | None = None,
        create: bool = True,
        migrate: bool = False,
    ) -> None:
        if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
            raise StartError(f"SQLite 3.37 or newer is needed, this is {sqlite3.sqlite_version}")
        self.path = path
        self.clock = clock or Clock()
        self.accept_ahead = accept_ahead
        """How many days ahead of the clock a timestamp may be; None: any number."""
        self.accept_from = accept_from
        """The first day whose data are accepted; None: every day is accepted."""
        self._synchronous = synchronous
        self._busy_seconds = busy_seconds
        self._create = create
        self._migrate = migrate
        self._is_server = False
        self._server_lock: int | None = None
        self._logged_version = 0
        self._idle: deque[sqlite3.Connection] = deque()
        self._lent = 0
        self._lending = Lock()
        self._write_lock = Lock()
        self._thread = local()
        self._wal_rests_until = 0.0
        self.sealing = Lock()
        """Held by the thread that makes summaries."""
        self.on_write_wait: Callable[[float], object] = lambda seconds: None
        """Called with how many seconds each write waited for other threads and processes."""
        self._wanted = {
            "time_zone": time_zone,
            "keep_query": SWITCHED[keep_query],
            "collapse_ids": SWITCHED[collapse_ids],
        }
        self._open()
        self._create = False  # a file that goes missing later may come back: make no new one

    @classmethod
    def open(
        cls, settings: Settings, clock: Clock | None = None, *, create: bool, migrate: bool
    ) -> Self:
        """Open the database that the settings name."""
        return cls(
            settings.database,
            time_zone=settings.time_zone,
            keep_query=settings.keep_query,
            collapse_ids=settings.collapse_ids,
            synchronous=settings.synchronous,
            busy_seconds=settings.busy_seconds,
            accept_ahead=settings.accept_ahead,
            accept_from=settings.accept_from,
            clock=clock,
            create=create,
            migrate=migrate,
        )

    def _open(self) -> None:
        try:
            self.is_new = self._create and make_file(self.path)
            """Whether opening the file made it, and so fixed its settings."""
            if not self.path.exists():
                raise StartError(
                    f"there is no database {self.path}; `saasus-analysis serve` makes one, and "
                    "--database or ANALYSIS_DATABASE names another"
                )
            if not holds_database(self.path) and not self._create:
                raise StartError(f"there is no database in {self.path} yet: it is empty")
            if not os.access(self.path, os.W_OK):  # SQLite would open it and fail at a write
                raise StartError(
                    f"the database {self.path} cannot be used: no permission to write to it"
                )
            make_private(self.path)
            self._writer = self._connect()
            with ExitStack() as on_failure:
                on_failure.enter_context(closing(self._writer))
                make_room_to_sort(self._writer, self.path.absolute().parent)
                fixed = prepare(
                    self._writer,
                    self.path,
                    self._wanted,
                    create=self._create,
                    migrate=self._migrate,
                )
                try:
                    self.calendar = Calendar(fixed["time_zone"])
                except ValueError as error:
                    raise StartError(f"the time zone of {self.path}: {error}") from None
                on_failure.pop_all()
        except (OSError, sqlite3.Error) as error:
            raise StartError(f"the database {self.path} cannot be used: {error}") from error
        self._version = newest_version()
        self._files: list[tuple[int, int] | None] = self._find_files()
        if self.is_new:
            logger.warning(
                "made a new database at %s; its time zone is %s and cannot be changed",
                self.path.absolute(),
                self.calendar.zone,
            )

    def enter_server(self) -> None:
        """Register as a server that has the file open; log a warning if there is another one."""
        self._is_server = True
        with suppress(OSError):
            self._server_lock = enter(self.path)
        if self._server_lock is not None and count_others(self._server_lock):
            logger.warning(
                "another server has %s open: both work, and each waits for the other's writes; "
                "stop one of them unless this is intended",
                self.path.absolute(),
            )

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that sees one snapshot of the data.

        Raises ServiceUnavailable if a later retry can help.
        """
        group = self._group
        if group and group.is_open:  # this thread must see its own writes
            with transient_errors():
                yield self._writer
            return
        with self._idle_connection() as connection:
            connection.execute("begin")
            self._refuse_other_version(connection)
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection to a private copy, for reads that a slow client can prolong.

        The -wal grows as long as a read of the database itself lasts. The copy is a temporary file
        of SQLite without a name, which disappears with the connection or the process.
        """
        with closing(sqlite3.connect("", isolation_level=None)) as copy:
            with self.reading() as connection:
                connection.execute(TAKE_SNAPSHOT).fetchone()
                connection.backup(copy, pages=COPIED_AT_ONCE)
            yield copy

    def read_json(self, sql: str, parameters: Mapping[str, object]) -> str:
        """Return the single value of a query, a JSON text.

        When several threads read at once, one value is much faster than many rows, since another
        thread may take over at each row. Raises ServiceUnavailable if a later retry can help.
        """
        with self.reading() as connection:
            text: str = connection.execute(sql, parameters).fetchone()[0]
        return text

    @contextmanager
    def _idle_connection(self) -> Iterator[sqlite3.Connection]:
        with transient_errors():
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
    def writing(self, patience: float | None = None) -> Iterator[sqlite3.Connection]:
        """Yield the writing connection; commit at the end, roll back on an exception.

        Waits for other threads without a limit, and `busy_seconds` for other processes; with a
        patience, that many seconds for both together. Raises ServiceUnavailable if a later retry
        can help.
        """
        group = self._group
        if group and (group.is_open or patience is None):
            with self._writing_in(group) as connection:
                yield connection
            return
        began = time.perf_counter()
        with self._lock(-1 if patience is None else patience), transient_errors():
            self._open_again()
            if patience is not None:
                patience = max(0, patience - (time.perf_counter() - began))
            with self._patient(patience), transaction(self._writer):
                self.on_write_wait(time.perf_counter() - began)
                self._refuse_other_version(self._writer)
                yield self._writer
            self._save_what_was_committed()
            self._keep_wal_small()

    @contextmanager
    def group_commit(self) -> Iterator[None]:
        """Commit everything that this thread writes in the context together, at its end.

        Each `writing` still stores all of its changes or none. Raises ServiceUnavailable at the end
        if nothing could be committed.
        """
        group = self._thread.group = Group()
        try:
            yield
        finally:
            self._thread.group = None
            if group.is_open:
                self._commit(group)
        if group.loss:
            raise group.loss

    @property
    def _group(self) -> Group | None:
        return getattr(self._thread, "group", None)

    @contextmanager
    def _writing_in(self, group: Group) -> Iterator[sqlite3.Connection]:
        if group.loss:
            raise group.loss
        try:
            with transient_errors():
                if not group.is_open:
                    self._begin(group)
                self._writer.execute("savepoint one")
                yield self._writer
                self._writer.execute("release one")
        except BaseException as error:
            if self._writer.in_transaction:
                self._writer.execute("rollback to one")
                self._writer.execute("release one")
            elif group.is_open:  # SQLite has rolled back the whole group
                group.loss = ServiceUnavailable("the database failed; nothing was stored")
                if isinstance(error, ServiceUnavailable):
                    group.loss = error
            raise

    def _begin(self, group: Group) -> None:
        began = time.perf_counter()
        self._write_lock.acquire()
        group.is_open = True
        try:
            self._open_again()
            self._writer.execute("begin immediate")
            self.on_write_wait(time.perf_counter() - began)
            self._refuse_other_version(self._writer)
        except BaseException:
            self._let_go(group)
            raise

    def _commit(self, group: Group) -> None:
        try:
            if not group.loss:
                with transient_errors():
                    self._writer.commit()
                    self._save_what_was_committed()
                    self._keep_wal_small()
        except ServiceUnavailable as error:
            group.loss = error
            raise
        finally:
            self._let_go(group)

    def _let_go(self, group: Group) -> None:
        """Roll back a group unless it is committed, and release the write lock."""
        group.is_open = False
        if self._writer.in_transaction:
            self._writer.rollback()
        self._write_lock.release()

    @contextmanager
    def erasing(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection like that of `writing`, for deleting names and histories.

        Foreign keys are not checked: SQLite would read all tables that refer to a name, for each
        name that is deleted.
        """
        with self._lock(-1), transient_errors():
            self._open_again()
            with closing(self._connect()) as connection:
                connection.execute("pragma foreign_keys = off")
                with transaction(connection):
                    self._refuse_other_version(connection)
                    yield connection
            self._save_what_was_committed()
            self._keep_wal_small()

    def empty_wal(self, patience: int = WAL_PATIENCE) -> bool:
        """Copy the -wal into the file and empty it, waiting `patience` seconds for readers.

        Return whether that was done. Only readers that have begun earlier can prevent it.
        """
        with self._lock(-1), transient_errors("the -wal was not emptied"):
            self._open_again()
            with self._patient(patience):
                (busy, _, _) = self._writer.execute(EMPTY_WAL).fetchone()
        return not busy

    def wal_bytes(self) -> int:
        """Return the size of the -wal."""
        return size_of(f"{self.path}-wal")

    def wal_held(self) -> float:
        """Return for how many seconds readers have kept the -wal from being copied into the file.

        This is 0 if no reader does.
        """
        with self._idle_connection() as connection:
            (_, frames, taken_in) = connection.execute(TAKE_IN_WAL).fetchone()
            # Only copying from the -wal writes to the file itself.
            return 0.0 if frames == taken_in else max(0.0, time.time() - self.path.stat().st_mtime)

    def try_write(self, patience: float | None = None) -> None:
        """Try to write, without changing anything. Raises ServiceUnavailable if that fails."""
        with self.writing(patience) as connection:
            for statement in TRY_WRITE:
                connection.execute(statement)

    def close(self) -> None:
        """Close all connections; call it when no request is running."""
        with self._write_lock:
            self._close_all()

    def _refuse_other_version(self, connection: sqlite3.Connection) -> None:
        """Raise ServiceUnavailable if a program of another version has migrated the database.

        Call it inside the transaction that reads or writes, so that both see the same schema.
        """
        version = read_version(connection)
        if version == self._version:
            return
        if version != self._logged_version:
            self._logged_version = version
            logger.error(
                "%s was migrated to schema %d by another version of this program, and this version "
                "needs %d: nothing is read or stored until the other version is started instead",
                self.path,
                version,
                self._version,
            )
        raise ServiceUnavailable(
            "the database was migrated by another version of this program; nothing was stored"
        )

    @contextmanager
    def _lock(self, seconds: float) -> Iterator[None]:
        """Hold the write lock, waiting `seconds` for other threads; -1 waits without a limit."""
        if (group := self._group) and group.is_open:
            self._commit(group)  # it holds the write lock
        if not self._write_lock.acquire(timeout=seconds):
            raise ServiceUnavailable("the database is busy with other writes; nothing was stored")
        try:
            yield
        finally:
            self._write_lock.release()

    def _find_files(self) -> list[tuple[int, int] | None]:
        return [identity_of(f"{self.path}{suffix}") for suffix in FILES]

    def _open_again(self) -> None:
        """Open the files at the path if they are not the ones that are open.

        Call it with the write lock held. SQLite itself would go on with deleted files, and what it
        stores there is lost when the process ends. Raises ServiceUnavailable if there is no file,
        if it cannot be used, or if the old one is still being read.
        """
        with self._lending:
            found = self._find_files()
            if found == self._files:
                return
            if found[0] is None:
                # The file may come back, so the connections stay open.
                raise ServiceUnavailable("the database file is gone; nothing was stored")
            if self._lent:
                raise ServiceUnavailable("the database file is being opened; nothing was stored")
            if self._files:
                # The content of a deleted -wal would be lost, and a -wal that is still at the path
                # would be taken for that of the new file.
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
            if self._is_server:
                self.enter_server()

    def _save_what_was_committed(self) -> None:
        """Ensure that a commit is in the files at the path, even if these were replaced."""
        found = self._find_files()
        if found == self._files:
            return
        with suppress(ServiceUnavailable):
            if found[0] == self._files[0]:
                self._open_again()
                return
        raise ServiceUnavailable("the database file was changed by others; this write may be lost")

    def _keep_wal_small(self) -> None:
        """Empty a large -wal; call it with the write lock held, after a commit.

        SQLite itself reuses the -wal from its start only when nobody reads, which may never happen.
        """
        began = time.monotonic()
        if began < self._wal_rests_until or self.wal_bytes() < WAL_LIMIT:
            return
        # The commit is done, so that a failure here loses nothing.
        with suppress(sqlite3.OperationalError), self._patient(WAL_PATIENCE):
            self._writer.execute(EMPTY_WAL).fetchone()
        ended = time.monotonic()
        self._wal_rests_until = ended + WAL_PAUSE * (ended - began)

    @contextmanager
    def _patient(self, seconds: float | None) -> Iterator[None]:
        """Wait `seconds` for other processes instead of `busy_seconds`; None changes nothing."""
        if seconds is None:
            yield
            return
        set_busy_timeout(self._writer, seconds)
        try:
            yield
        finally:
            set_busy_timeout(self._writer, self._busy_seconds)

    def _close_all(self) -> None:
        while self._idle:
            self._idle.pop().close()
        self._writer.close()
        if self._server_lock is not None:
            os.close(self._server_lock)
            self._server_lock = None

    def _connect(self) -> sqlite3.Connection:
        return connect(self.path, self._busy_seconds, self._synchronous)
