"""Backup of a database file, also while a server writes, and restore of a backup.

A copy is written under a temporary name, checked, and flushed to disk; then it is renamed. So a
file with the name of a backup is always complete.
"""

import fcntl
import glob
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import StartError
from ..storage import audit_log
from ..storage.file_header import NotADatabase, holds_database
from ..storage.migrations import NEWEST, older, read_version
from ..storage.transactions import transaction

STEP = 1024
"""How many pages are copied between two reports of progress."""

SIDE_FILES = ("-wal", "-shm", "-journal")
"""The suffixes of the files that SQLite keeps beside a database."""

BEFORE_RESTORE = ".before-restore.backup"
"""The suffix under which a restore keeps the database that it replaces."""

UNREADABLE = (sqlite3.Error, UnicodeError)
"""What reading a damaged database raises; messages of SQLite may not be valid UTF-8."""

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

Progress = Callable[[int, int], object]
"""Receives the number of bytes copied and the total number."""

TAKE_SNAPSHOT = "select count(*) from sqlite_schema"

# The copy is flushed once at its end, and deleted if it fails, so it needs no journal.
WRITE_FAST = ("pragma journal_mode = off", "pragma synchronous = off")

CHECK = "pragma integrity_check"

# Journal mode `delete` checkpoints the -wal, and fails if another process has the file open.
KEEP_OTHERS_OUT = (
    "pragma locking_mode = exclusive",
    "pragma journal_mode = delete",
    "begin exclusive",
)


@dataclass(frozen=True)
class Made:
    """A copy that was made and checked: path, size, and version of its schema."""

    path: Path
    bytes: int
    schema: int


@contextmanager
def existing(path: Path) -> Iterator[tuple[sqlite3.Connection, int]]:
    """Yield a connection to an existing database, and the version of its schema.

    The database is neither created nor migrated. Raises StartError if it does not exist, does not
    belong to this program, or has a newer schema.
    """
    if not path.is_file():
        raise StartError(f"there is no database {path}")
    if not holds_database(path):
        raise StartError(f"there is no database in {path} yet: the file is empty")
    with closing(_connect(path, _mode(path))) as connection:
        try:
            schema = read_version(connection)
        except UNREADABLE as error:
            raise StartError(f"the database {path} cannot be read: {error}") from error
        if schema > NEWEST:
            raise StartError(
                f"{path} was made by a newer version of this program "
                f"(schema {schema}, known here up to {NEWEST})"
            )
        yield connection, schema


def refuse_older(path: Path) -> None:
    """Raise StartError unless a file is a database with the schema of this version."""
    with existing(path) as (_, schema):
        if schema < NEWEST:
            raise StartError(older(path, schema))


def back_up(database: Path, target: Path, progress: Progress) -> Made:
    """Copy a database to a file, replacing an older backup there.

    Raises StartError, and leaves an existing file unchanged, if the copy fails.
    """
    target = target.resolve()
    if target.is_dir():
        raise StartError(f"{target} is a folder; use --keep N to make dated backups in it")
    if target in {database.resolve().with_name(database.name + end) for end in SIDE_FILES}:
        raise StartError(f"{target} is reserved for the database itself")
    if target.exists():
        _refuse_to_replace(target, database)
    return _copy(database, target, target.with_name(f"{target.name}.part"), progress)


def back_up_dated(
    database: Path, folder: Path, keep: int, now: int, progress: Progress
) -> tuple[Made, list[Path]]:
    """Copy a database into a folder, under a name with the time; delete old copies there.

    Keeps the new copy and the newest of the others, `keep` in total. Returns the copy and the paths
    that were deleted. Raises StartError.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StartError(f"the folder {folder} cannot be created: {error.strerror}") from error
    stem, suffix = database.stem, database.suffix
    target = folder.resolve() / f"{stem}-{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}{suffix}"
    made = _copy(database, target, target.with_name(f"{database.name}.part"), progress)
    name = re.compile(rf"{re.escape(stem)}-[0-9]{{8}}T[0-9]{{6}}Z{re.escape(suffix)}")
    others = [file for file in target.parent.iterdir() if name.fullmatch(file.name)]
    others = sorted(file for file in others if file.is_file() and file != target)
    deleted = others[: max(0, len(others) + 1 - keep)]
    for file in deleted:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            message = f"{made.path} was made, but {file} cannot be deleted: {error.strerror}"
            raise StartError(message) from error
    return made, deleted


def note_backup(database: Path, made: Made, now: int) -> None:
    """Record in the audit log of a database that it was backed up, for monitoring.

    Does nothing if the database cannot be written to, since the backup itself has succeeded.
    """
    with (
        suppress(StartError, sqlite3.Error),
        existing(database) as (connection, _),
        transaction(connection),
    ):
        if read_version(connection) == NEWEST:
            audit_log.note(connection, now, "backup", {"bytes": made.bytes})


def copies_beside(database: Path) -> list[Path]:
    """Return the copies of a database in its folder.

    Migrations and restores keep such copies; interrupted backups and restores leave them.
    """
    names = (
        f"{glob.escape(database.name)}.part",
        f"{glob.escape(database.name)}.*.backup",
        f"{glob.escape(database.name)}{BEFORE_RESTORE}*",
    )
    return sorted({file for name in names for file in database.absolute().parent.glob(name)})


def restore(
    source: Path, database: Path, force: bool, progress: Progress
) -> tuple[Made, Path | None]:
    """Restore a backup to the path of a database.

    Returns the restored database, and the path under which the one that it replaced is kept, if
    there was one. Raises StartError, and changes nothing, if the source is damaged, if a database
    exists and `force` is not set, or if another process has it open.
    """
    database = database.resolve()
    part = database.with_name(f"{database.name}.part")
    if not database.exists():
        for left in _side_files(database):
            raise StartError(f"{left} is left over from another database; move it away first")
        made = _copy(source, database, part, progress, lambda: _refuse_existing(database))
        return made, None
    if source.exists() and source.samefile(database):
        raise StartError(f"{source} is the database itself")
    if not force:
        _refuse_existing(database)
    if not database.is_file():
        raise StartError(f"{database} is not a file")
    with suppress(NotADatabase):  # a damaged database may be replaced
        holds_database(database)
    kept = database.with_name(database.name + BEFORE_RESTORE)
    if kept.exists() and not kept.samefile(database):
        raise StartError(f"{kept} exists from an earlier restore; move it away first")
    with _held(database) as whole:
        made = _copy(source, database, part, progress, lambda: _keep(database, kept, whole))
    return made, kept


def _copy(
    source: Path,
    target: Path,
    part: Path,
    progress: Progress,
    replacing: Callable[[], None] = lambda: None,
) -> Made:
    """Copy a snapshot of a database to the file `part`, check it, and rename it to `target`.

    `replacing` is called right before the target is replaced.
    """
    with existing(source) as (connection, schema):
        try:
            with _locked(part) as file:
                try:
                    _write(connection, part, progress)
                    _refuse_damaged(source, part)
                    os.fsync(file)
                    size = os.fstat(file).st_size
                    replacing()
                    part.replace(target)
                except BaseException:
                    part.unlink(missing_ok=True)
                    raise
            _flush_folder(target.parent)
        except (OSError, *UNREADABLE) as error:
            if getattr(error, "sqlite_errorcode", 0) in DAMAGED:
                raise StartError(f"{source} is damaged and was not copied: {error}") from error
            raise StartError(f"{source} cannot be copied to {target}: {error}") from error
    return Made(target, size, schema)


def _write(connection: sqlite3.Connection, part: Path, progress: Progress) -> None:
    (page_size,) = connection.execute("pragma page_size").fetchone()

    def tell(_: int, remaining: int, total: int) -> None:
        progress((total - remaining) * page_size, total * page_size)

    # We hold a lock on the file, with which SQLite's own locks could conflict.
    with closing(_connect(part, "nolock=1")) as copy:
        for statement in WRITE_FAST:
            copy.execute(statement)
        # Without a read transaction, a write of another process would restart the copy.
        connection.execute("begin")
        connection.execute(TAKE_SNAPSHOT).fetchone()
        connection.backup(copy, pages=STEP, progress=tell)
        connection.rollback()


def _refuse_damaged(source: Path, copy: Path) -> None:
    with closing(_connect(copy, "immutable=1")) as connection:
        try:
            found = [str(line) for (line,) in connection.execute(CHECK)]
        except UNREADABLE as error:
            found = [str(error)]
    if found != ["ok"]:
        first = " ".join(found[0].split())
        raise StartError(f"{source} is damaged and was not copied: {first}")


def _refuse_to_replace(target: Path, database: Path) -> None:
    """Raise StartError unless a file is a backup that is not in use as a database."""
    if not target.is_file():
        raise StartError(f"{target} is not a file")
    if database.exists() and target.samefile(database):
        raise StartError(f"{target} is the database itself")
    if _side_files(target):
        raise StartError(f"{target} is in use as a database")
    if target.stat().st_size:
        with existing(target):
            pass


def _refuse_existing(database: Path) -> None:
    if database.exists():
        raise StartError(f"{database} exists; --force replaces it and keeps the old one beside it")


@contextmanager
def _locked(part: Path) -> Iterator[int]:
    """Create an empty file that only its owner can read, and lock it against other writers.

    Yields its descriptor. Raises StartError if another process holds the lock.
    """
    file = os.open(part, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(file), part.stat()):
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError) as error:
            raise StartError(f"{part} is being written by another process") from error
        os.fchmod(file, 0o600)
        os.ftruncate(file, 0)
        yield file
    finally:
        os.close(file)


@contextmanager
def _held(database: Path) -> Iterator[bool]:
    """Lock a database against other processes, and checkpoint its -wal.

    Yields True, or False if the database is too damaged for that. Raises StartError if another
    process has it open.
    """
    whole = True
    with closing(_connect(database, "mode=rw", timeout=0)) as connection:
        try:
            for statement in KEEP_OTHERS_OUT:
                connection.execute(statement)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise StartError(
                    f"{database} is open in another process; stop the server first"
                ) from error
            raise StartError(f"{database} cannot be replaced: {error}") from error
        except UNREADABLE:
            connection.close()
            whole = False
        yield whole


def _keep(database: Path, kept: Path, whole: bool) -> None:
    """Give a database the name `kept` too, and remove its side files from beside the first name.

    The -wal of a damaged database was not checkpointed, so its side files are renamed with it.
    """
    # A hard link, so that the path always has a database: a server would create an empty one.
    kept.unlink(missing_ok=True)
    kept.hardlink_to(database)
    for left in _side_files(database):
        if whole:
            left.unlink()
        else:
            left.replace(kept.with_name(kept.name + left.name.removeprefix(database.name)))


def _side_files(database: Path) -> list[Path]:
    files = [database.with_name(database.name + end) for end in SIDE_FILES]
    return [file for file in files if file.exists()]


def _mode(path: Path) -> str:
    """Return the mode to open a database: immutable if SQLite cannot create its -wal beside it."""
    alone = not os.access(path.parent, os.W_OK) and not _side_files(path)
    return "immutable=1" if alone else "mode=rw"


def _connect(path: Path, how: str, timeout: float = 5) -> sqlite3.Connection:
    try:
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?{how}", uri=True, timeout=timeout, isolation_level=None
        )
    except sqlite3.Error as error:
        raise StartError(f"the database {path} cannot be opened: {error}") from error


def _flush_folder(folder: Path) -> None:
    """Flush a folder to disk, so that a new name in it survives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
