"""Noting when something was used last."""

from ..errors import ServiceUnavailable
from ..storage.database import Database

NOTED_SECONDS = 3600
"""How old the noted time of a last use may be: a write for each request would be too many."""


def note_use(database: Database, sql: str, last_used_at: int | None, **row: object) -> None:
    """Note a use now by a statement, once an hour, and not where that would have to wait."""
    now = database.clock.now()
    if abs(now - (last_used_at or 0)) < NOTED_SECONDS:
        return
    try:
        with database.writing(patience=0) as connection:
            connection.execute(sql, row | {"now": now})
    except ServiceUnavailable:
        return
