"""Connections to SQLite, and their settings."""

import sqlite3
from pathlib import Path
from tempfile import gettempdir

# A pragma takes no bound parameters. Those that are formatted below contain only a number, or the
# quoted name of a folder.
SET_SYNCHRONOUS = {
    "full": "pragma synchronous = full",
    "normal": "pragma synchronous = normal",
    "off": "pragma synchronous = off",
}

# Not every build of SQLite overwrites deleted data by default.
OVERWRITE = "pragma secure_delete = on"


def connect(path: Path | str, busy_seconds: float, synchronous: str) -> sqlite3.Connection:
    """Open a database file; a transaction on it begins with an explicit `begin`.

    The connection waits `busy_seconds` for locks of other processes. `synchronous` is the setting
    of that name.
    """
    connection = sqlite3.connect(
        path, timeout=busy_seconds, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("pragma foreign_keys = on")
        connection.execute(OVERWRITE)
        connection.execute(SET_SYNCHRONOUS[synchronous])
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def open_in_memory() -> sqlite3.Connection:
    """Open an empty database in memory."""
    return connect(":memory:", busy_seconds=0, synchronous="off")


def set_busy_timeout(connection: sqlite3.Connection, seconds: float) -> None:
    """Set for how many seconds a connection waits for locks of other processes."""
    connection.execute(f"pragma busy_timeout = {round(seconds * 1000):d}")


def make_room_to_sort(connection: sqlite3.Connection, folder: Path) -> None:
    """Let SQLite use a folder for large sorts if the system has no folder for temporary files.

    This applies to all connections of the process.
    """
    try:
        gettempdir()
    except OSError:
        quoted = str(folder).replace("'", "''")
        connection.execute(f"pragma temp_store_directory = '{quoted}'")
