"""Noting when something was used last."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from ..errors import ServiceUnavailable
from ..storage.database import Database

Used = TypeVar("Used")

NOTED_SECONDS = 3600
"""How old the noted time of a last use may be: a write for each request would be too many."""


def note_use(
    database: Database,
    note: Callable[[sqlite3.Connection, Used, int], None],
    used: Used,
    last_used_at: int | None,
) -> None:
    """Note that something is used now, once an hour, and not where that would have to wait."""
    now = database.clock.now()
    if abs(now - (last_used_at or 0)) < NOTED_SECONDS:
        return
    try:
        with database.writing(patience=0) as connection:
            note(connection, used, now)
    except ServiceUnavailable:
        return
