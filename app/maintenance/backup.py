"""Backups of a database file, made while a server writes, and putting one back.

A copy is written beside its name, checked and flushed before it gets that name: a file that has the
name of a backup is whole.
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
"""The pages that are copied before progress is told."""

SIDE_FILES = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database, by the end of the name."""

BEFORE_RESTORE = ".before-restore.backup"
"""The end of the name under which a restore keeps the database that was there."""

UNREADABLE = (sqlite3.Error, UnicodeError)
"""What reading a damaged database raises; SQLite's words may hold bytes of it."""

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

Progress = Callable[[int, int], object]
"""Is told how many bytes of how many are copied."""

TAKE_SNAPSHOT = "select count(*) from sqlite_schema"

# What is written is flushed at once at the end, and thrown away if it does not get there.
WRITE_FAST = ("pragma journal_mode = off", "pragma synchronous = off")

CHECK = "pragma integrity_check"

# `delete` takes the -wal into the file, and fails where another process has the file open.
KEEP_OTHERS_OUT = (
    "pragma locking_mode = exclusive",
    "pragma journal_mode = delete",
    "begin exclusive",
)


@dataclass(frozen=True)
class Made:
    """A copy that was made and checked: where, its size, and the version of its schema."""

    path: Path
    bytes: int
    schema: int


@contextmanager
def existing(path: Path) -> Iterator[tuple[sqlite3.Connection, int]]:
    """Give a connection to a database that is there, as it is, and the version of its schema.

    Nothing is made or migrated. Raises StartError if it is not one of ours, or is a newer one.
    """
    if not path.is_file():
        raise StartError(f"there is no database {path}")
    if not holds_database(path):
        raise StartError(f"there is no database in {path} yet: it is empty")
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
    """Raise StartError unless a file is a database of this version."""
    with existing(path) as (_, schema):
        if schema < NEWEST:
            raise StartError(older(path, schema))


def back_up(database: Path, target: Path, progress: Progress) -> Made:
    """Copy a database to a file, which may be an older backup.

    Raises StartError, and leaves what is there as it was, if that does not work.
    """
    target = target.resolve()
    if target.is_dir():
        raise StartError(f"{target} is a folder; --keep N makes dated backups in it")
    if target in {database.resolve().with_name(database.name + end) for end in SIDE_FILES}:
        raise StartError(f"{target} is for the database itself")
    if target.exists():
        _refuse_to_replace(target, database)
    return _copy(database, target, target.with_name(f"{target.name}.part"), progress)


def back_up_dated(
    database: Path, folder: Path, keep: int, now: int, progress: Progress
) -> tuple[Made, list[Path]]:
    """Copy a database into a folder under a name with the time; delete the oldest such copies.

    Returns the copy, and what was deleted: all but that copy and the newest of the others.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StartError(f"{folder} cannot be a folder for backups: {error.strerror}") from error
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
    """Note in a database that it was copied, for who watches when that was last.

    Leaves it where the database cannot be written to: the copy is as good without it.
    """
    with (
        suppress(StartError, sqlite3.Error),
        existing(database) as (connection, _),
        transaction(connection),
    ):
        if read_version(connection) == NEWEST:
            audit_log.note(connection, now, "backup", {"bytes": made.bytes})


def copies_beside(database: Path) -> list[Path]:
    """Return the copies of a database that are left beside it.

    Migrations and restores leave them, and backups and restores that were killed.
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
    """Put a backup in the place of a database.

    Returns the database that is there now, and where the one that it replaced is kept. Raises
    StartError, and leaves everything as it was, if that does not work: the source is damaged, a
    database is there and is not to be replaced, or another process has it open.
    """
    database = database.resolve()
    part = database.with_name(f"{database.name}.part")
    if not database.exists():
        for left in _side_files(database):
            raise StartError(f"{left} is left of another database; move it away first")
        made = _copy(source, database, part, progress, lambda: _refuse_existing(database))
        return made, None
    if source.exists() and source.samefile(database):
        raise StartError(f"{source} is the database itself")
    if not force:
        _refuse_existing(database)
    if not database.is_file():
        raise StartError(f"{database} is not a file")
    with suppress(NotADatabase):  # one that is damaged is replaced
        holds_database(database)
    kept = database.with_name(database.name + BEFORE_RESTORE)
    if kept.exists() and not kept.samefile(database):
        raise StartError(f"{kept} is there from an earlier restore; move it away first")
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
    """Copy a database, as it is at one moment, to a file beside; check it, and rename it.

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
                raise StartError(f"{source} is damaged, and was not copied: {error}") from error
            raise StartError(f"{source} cannot be copied to {target}: {error}") from error
    return Made(target, size, schema)


def _write(connection: sqlite3.Connection, part: Path, progress: Progress) -> None:
    (page_size,) = connection.execute("pragma page_size").fetchone()

    def tell(_: int, remaining: int, total: int) -> None:
        progress((total - remaining) * page_size, total * page_size)

    # With the file locked by us, SQLite's own locks could meet ours.
    with closing(_connect(part, "nolock=1")) as copy:
        for statement in WRITE_FAST:
            copy.execute(statement)
        # In a transaction, a write of another process does not let the copy begin anew.
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
        raise StartError(f"{source} is damaged, and was not copied: {first}")


def _refuse_to_replace(target: Path, database: Path) -> None:
    """Raise StartError unless a file is a backup that nobody uses as a database."""
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
        raise StartError(f"{database} is there; --force replaces it, and keeps it beside")


@contextmanager
def _locked(part: Path) -> Iterator[int]:
    """Make an empty file for its owner alone, and keep it from others who would write it."""
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
    """Keep other processes out of a database, and take its -wal into it.

    Raises StartError if one has it open. Tells False where it is too damaged for any of this.
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
    """Give a database a second name, and leave nothing beside the first that belongs to it.

    What is beside a damaged one goes with it: it was not taken in.
    """
    # A link, so that there is a database at any moment: a server would make an empty one.
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
    """Return how to open a database: a WAL needs a file beside it, which a medium may not allow."""
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
    """Let a new name in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
