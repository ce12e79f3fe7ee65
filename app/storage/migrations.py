"""The schema of a database file: made, brought up to date, or refused."""

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from importlib.resources import files
from pathlib import Path

from ..errors import StartError
from .event_ids import digest_of
from .file_header import APPLICATION_ID
from .migration_steps import MIGRATIONS

READ_PRAGMA = {
    "application_id": "pragma application_id",
    "user_version": "pragma user_version",
}


def newest_version() -> int:
    """Return the version of the schema that this program makes."""
    return len(MIGRATIONS) + 1


NEWEST = newest_version()

FIXED = {"time_zone": "UTC", "keep_query": "off", "collapse_ids": "off"}
"""The settings that are fixed when the database is made, with what they are if not given."""

REMEDIES = {
    "time_zone": "use another database",
    "keep_query": "change it with `saasus-analysis summaries rebuild`",
    "collapse_ids": "change it with `saasus-analysis summaries rebuild`",
}
"""What to do about a start with another value."""


def prepare(
    connection: sqlite3.Connection,
    path: Path,
    wanted: Mapping[str, str | None],
    *,
    create: bool = True,
    migrate: bool = False,
) -> dict[str, str]:
    """Return the settings that are fixed in a database.

    Makes the schema if there is none, or migrates it, where that is wanted. Raises StartError, and
    leaves the database as it is, if its schema is not that of this program then.
    """
    connection.execute("begin immediate")
    try:
        version = read_version(connection)
        newest = newest_version()
        if version == 0 and not connection.execute("select 1 from sqlite_schema").fetchone():
            if not create:
                raise StartError(f"there is no database in {path} yet: it is empty")
            _run_script(connection, files(__package__).joinpath("schema.sql").read_text())
            fixed = [(name, wanted[name] or default) for name, default in FIXED.items()]
            connection.executemany("insert into setting (name, value) values (?, ?)", fixed)
        elif _pragma(connection, "application_id") != APPLICATION_ID:
            raise StartError(f"{path} is a database of another program")
        elif version > newest:
            raise StartError(
                f"{path} was made by a newer version of this program "
                f"(schema {version}, known here up to {newest}); nothing was changed"
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
        stored = dict(connection.execute("select name, value from setting"))
        for name, value in wanted.items():
            if value not in (None, stored[name]):
                raise StartError(
                    f"{name}: {path} was made with {stored[name]}, which a start does not change "
                    f"to {value}; leave the setting out, or {REMEDIES[name]}"
                )
        connection.commit()
    finally:
        if connection.in_transaction:
            connection.rollback()
    # Last, so that what is refused is not changed.
    _use_wal(connection)
    read_version(connection)  # makes the files that are open from now on
    return stored


def older(path: Path, version: int) -> str:
    """Return what is said of a database of an older version where it is not to be migrated."""
    return (
        f"{path} was made by an older version of this program (schema {version}, needed is "
        f"{newest_version()}); `saasus-analysis migrate` brings it up to date, with a copy of it "
        "beside, and so does the next start of `serve`"
    )


def read_version(connection: sqlite3.Connection) -> int:
    """Return the version of the schema of a database, as a transaction sees it."""
    return _pragma(connection, "user_version")


def copy_before(path: Path, version: int) -> Path:
    """Return where a migration leaves a copy of a database as it was with a version."""
    return path.with_name(f"{path.name}.schema-{version}.backup")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch a database to WAL, which fails at once where another process is about to do the same.

    A transaction waits for that, as long as the connection waits for others.
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
    """Run a script inside the transaction that is open (`executescript` would commit it)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def _back_up(path: Path, version: int) -> None:
    """Copy the database as it is before a migration; the copy gets its name when it is whole."""
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
