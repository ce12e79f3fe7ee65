"""Storing when a key or link was last used."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from ..errors import ServiceUnavailable
from ..storage.database import Database

Used = TypeVar("Used")

NOTED_SECONDS = 3600
"""How old the stored time of the last use may be; a write for each request would cost too much."""


def note_use(
    database: Database,
    note: Callable[[sqlite3.Connection, Used, int], None],
    used: Used,
    last_used_at: int | None,
) -> None:
    """Store that something is used now, at most once an hour; skip it if the database is locked.

    `note` writes the time (UNIX seconds) for what `used` identifies.
    """
    now = database.clock.now()
    if abs(now - (last_used_at or 0)) < NOTED_SECONDS:
        return
    try:
        with database.writing(patience=0) as connection:
            note(connection, used, now)
    except ServiceUnavailable:
        return
