"""The settings that are fixed when a database is made: its time zone, and what a page is."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from ..errors import StartError

SELECT_SETTINGS = "select name, value from setting"

INSERT_SETTING = "insert into setting (name, value) values (?, ?)"

FIXED = {"time_zone": "UTC", "keep_query": "off", "collapse_ids": "off"}
"""The settings that are fixed when the database is made, with their defaults."""

REMEDIES = {
    "time_zone": "use another database",
    "keep_query": "change it with `saasus-analysis summaries rebuild`",
    "collapse_ids": "change it with `saasus-analysis summaries rebuild`",
}
"""By setting, what an operator can do to use another value."""


def read_settings(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the settings that a database was made with, by name."""
    return dict(connection.execute(SELECT_SETTINGS))


def store_settings(connection: sqlite3.Connection, wanted: Mapping[str, str | None]) -> None:
    """Store the settings of a new database; those that are None have their default."""
    fixed = [(name, wanted[name] or default) for name, default in FIXED.items()]
    connection.executemany(INSERT_SETTING, fixed)


def refuse_other_settings(
    path: Path, stored: Mapping[str, str], wanted: Mapping[str, str | None]
) -> None:
    """Raise StartError if a setting is wanted that differs from the stored one."""
    for name, value in wanted.items():
        if value not in (None, stored[name]):
            raise StartError(
                f"{name}: {path} was made with {stored[name]}, which a start does not change "
                f"to {value}; leave the setting out, or {REMEDIES[name]}"
            )
