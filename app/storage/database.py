"""The SQLite file: connections and transactions.

Every write is one `begin immediate` transaction on the one writing connection; reads run beside
it on connections of their own (WAL), each seeing one state of the data.
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

# Change nothing. The first write, of an ordinary size, needs pages and is undone; the second goes
# to the disk like any other.
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
    """Whether their transaction has begun; the thread has the write lock then."""
    loss: ServiceUnavailable | None = None
    """Why nothing of them can be stored any more."""


class Database:
    """One database file, with the calendar that is fixed in it and the clock of its application.

    Makes the file with mode 0600 if it is missing, and migrates it if it is older, where that is
    wanted. Raises StartError if the file is missing or older otherwise, is not ours, is newer than
    this program, or was made for another time zone; a file that is not ours is not touched.
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
        """How many days ahead of the clock what is fed may be; None: any."""
        self.accept_from = accept_from
        """The first day of which anything is taken in; None: any."""
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
        """Told how long each write waited for other threads and processes, in seconds."""
        self._wanted = {
            "time_zone": time_zone,
            "keep_query": SWITCHED[keep_query],
            "collapse_ids": SWITCHED[collapse_ids],
        }
        self._open()
        self._create = False  # a file that goes missing later may come back

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
            """Whether the file was made now, and with it what is fixed in it."""
            if not self.path.exists():
                raise StartError(
                    f"there is no database {self.path}; `saasus-analysis serve` makes one, and "
                    "--database or ANALYSIS_DATABASE names another"
                )
            if not holds_database(self.path) and not self._create:
                raise StartError(f"there is no database in {self.path} yet: it is empty")
            if not os.access(self.path, os.W_OK):  # SQLite would open it, and fail at a write
                raise StartError(
                    f"the database {self.path} cannot be used: no right to write to it"
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
                "made a new database at %s, with the days of %s for ever",
                self.path.absolute(),
                self.calendar.zone,
            )

    def enter_server(self) -> None:
        """Count as a server that has the file open; say in the log if there is another one."""
        self._is_server = True
        with suppress(OSError):
            self._server_lock = enter(self.path)
        if self._server_lock is not None and count_others(self._server_lock):
            logger.warning(
                "another server has %s open: both work, and each waits for the other's writes; "
                "end one of them unless this is meant",
                self.path.absolute(),
            )

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees one state of the data.

        Raises ServiceUnavailable where asking again later can help.
        """
        group = self._group
        if group and group.is_open:  # which has to see what it has written
            with transient_errors():
                yield self._writer
            return
        with self._idle_connection() as connection:
            connection.execute("begin")
            self._refuse_other_version(connection)
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
        """Give the connection that writes; commit at the end, undo everything on an exception.

        Waits for other threads, and `busy_seconds` for other processes; with a patience, so many
        seconds for both. Raises ServiceUnavailable where asking again later can help.
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
        """Let everything that this thread writes meanwhile wait for one commit, at the end.

        Each `writing` still stores all of its own or nothing. Raises ServiceUnavailable at the end
        if none of them could be stored.
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
            elif group.is_open:  # SQLite has undone all of it
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
        """Undo what of a group is not committed, and let others write."""
        group.is_open = False
        if self._writer.in_transaction:
            self._writer.rollback()
        self._write_lock.release()

    @contextmanager
    def erasing(self) -> Iterator[sqlite3.Connection]:
        """Give a connection like that of `writing` for deleting names and what people did.

        References are not checked: for each name that is deleted, SQLite would read the tables that
        refer to it.
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
        """Take the -wal into the file and empty it, after waiting so many seconds for readers.

        Return whether that was done. New readers do not prevent it, only those who read already.
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
        """Return for how many seconds nothing could be taken from the -wal into the file.

        That is 0 where no reader keeps it from that.
        """
        with self._idle_connection() as connection:
            (_, frames, taken_in) = connection.execute(TAKE_IN_WAL).fetchone()
            # Nothing else writes into the file itself.
            return 0.0 if frames == taken_in else max(0.0, time.time() - self.path.stat().st_mtime)

    def try_write(self, patience: float | None = None) -> None:
        """Write as others do, changing nothing. Raises ServiceUnavailable if it does not work."""
        with self.writing(patience) as connection:
            for statement in TRY_WRITE:
                connection.execute(statement)

    def close(self) -> None:
        """Close all connections; call it when no request is running."""
        with self._write_lock:
            self._close_all()

    def _refuse_other_version(self, connection: sqlite3.Connection) -> None:
        """Raise ServiceUnavailable if a program of another version has migrated the database.

        To be called in a transaction, which sees the schema that it then finds or fills.
        """
        version = read_version(connection)
        if version == self._version:
            return
        if version != self._logged_version:
            self._logged_version = version
            logger.error(
                "%s was brought to schema %d by another version of this program, and this one "
                "knows %d: nothing is read or stored until that version is started in its place",
                self.path,
                version,
                self._version,
            )
        raise ServiceUnavailable(
            "the database was migrated by another version of this program; nothing was stored"
        )

    @contextmanager
    def _lock(self, seconds: float) -> Iterator[None]:
        """Hold the write lock, after waiting so long for other threads; with -1, however long."""
        if (group := self._group) and group.is_open:
            self._commit(group)  # whose lock this thread has
        if not self._write_lock.acquire(timeout=seconds):
            raise ServiceUnavailable("the database is busy with other writes; nothing was stored")
        try:
            yield
        finally:
            self._write_lock.release()

    def _find_files(self) -> list[tuple[int, int] | None]:
        return [identity_of(f"{self.path}{suffix}") for suffix in FILES]

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
            if self._is_server:
                self.enter_server()

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
    def _patient(self, seconds: float | None) -> Iterator[None]:
        """Wait so long for other processes, and not `busy_seconds`."""
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
