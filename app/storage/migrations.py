"""Making the schema of a database file, migrating it, or refusing the file."""

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from importlib.resources import files
from pathlib import Path

from ..errors import StartError
from .event_ids import digest_of
from .file_header import APPLICATION_ID
from .fixed_settings import read_settings, refuse_other_settings, store_settings
from .migration_steps import MIGRATIONS

READ_PRAGMA = {
    "application_id": "pragma application_id",
    "user_version": "pragma user_version",
}


def newest_version() -> int:
    """Return the version of the schema that this program makes."""
    return len(MIGRATIONS) + 1


NEWEST = newest_version()


def prepare(
    connection: sqlite3.Connection,
    path: Path,
    wanted: Mapping[str, str | None],
    *,
    create: bool = True,
    migrate: bool = False,
) -> dict[str, str]:
    """Make or migrate the schema of a database; return the settings that are fixed in it.

    A missing schema is made if `create` is set, an older one migrated if `migrate` is set. Raises
    StartError, and leaves the database as it is, if its schema is still not that of this program,
    or if a fixed setting is not the one that is `wanted`.
    """
    connection.execute("begin immediate")
    try:
        version = read_version(connection)
        newest = newest_version()
        if version == 0 and not connection.execute("select 1 from sqlite_schema").fetchone():
            if not create:
                raise StartError(f"there is no database in {path} yet: it is empty")
            _run_script(connection, files(__package__).joinpath("schema.sql").read_text())
            store_settings(connection, wanted)
        elif _pragma(connection, "application_id") != APPLICATION_ID:
            raise StartError(f"{path} is a database of another program")
        elif version > newest:
            raise StartError(
                f"{path} was made by a newer version of this program "
                f"(schema {version}, supported up to {newest}); nothing was changed"
            )
        elif version < newest and not migrate:
            raise StartError(older(path, version))
        elif version < newest:
            _back_up(path, version)
            connection.create_function("digest_of", 2, digest_of, deterministic=True)
            for step in MIGRATIONS[version - 1 :]:
                if callable(step):
                    step(connection)
                else:
                    _run_script(connection, step)
        if version != newest:
            connection.execute(f"pragma application_id = {APPLICATION_ID}")
            connection.execute(f"pragma user_version = {newest}")
        stored = read_settings(connection)
        refuse_other_settings(path, stored, wanted)
        connection.commit()
    finally:
        if connection.in_transaction:
            connection.rollback()
    # This comes last, so that a file that is refused is not changed.
    _use_wal(connection)
    read_version(connection)  # makes the -wal and -shm files, which stay open
    return stored


def older(path: Path, version: int) -> str:
    """Return the error message for a database of an older version that must not be migrated."""
    return (
        f"{path} was made by an older version of this program (schema {version}, needed is "
        f"{newest_version()}); `saasus-analysis migrate` or the next start of `serve` brings it up "
        "to date and leaves a copy of it beside it"
    )


def read_version(connection: sqlite3.Connection) -> int:
    """Return the version of the schema of a database, as a transaction sees it."""
    return _pragma(connection, "user_version")


def copy_before(path: Path, version: int) -> Path:
    """Return the path at which a migration leaves a copy of a database of an older version."""
    return path.with_name(f"{path.name}.schema-{version}.backup")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch a database to WAL mode.

    That fails at once if another process is doing the same. An exclusive transaction waits for the
    other process, up to the connection's busy timeout; then it is tried again.
    """
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            connection.execute("begin exclusive")
            connection.rollback()
        else:
            return


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(READ_PRAGMA[name]).fetchone()
    return int(value)


def _run_script(connection: sqlite3.Connection, script: str) -> None:
    """Run a script inside the open transaction (`executescript` would commit it)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def _back_up(path: Path, version: int) -> None:
    """Copy the database before a migration; the copy gets its final name when it is complete."""
    target = copy_before(path, version)
    part = target.with_name(f"{target.name}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(part)) as copy:
            source.backup(copy)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
