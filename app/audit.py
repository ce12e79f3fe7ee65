"""What was done to the data as a whole, and when."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from .database import Database

INSERT_AUDIT = "insert into audit (at, action, details) values (?, ?, ?)"

SELECT_AUDIT = "select at, action, details from audit order by id"

SELECT_LATEST = "select action, max(at) from audit group by action order by action"


def note(
    connection: sqlite3.Connection, at: int, action: str, details: Mapping[str, object]
) -> None:
    """Note an action, one of those in `schema.sql`, with what it changed.

    The details are numbers, and never what was in the data.
    """
    connection.execute(INSERT_AUDIT, (at, action, json.dumps(details)))


def list_actions(database: Database) -> list[dict[str, Any]]:
    """Return what was done, oldest first; `at` is in UNIX seconds."""
    with database.reading() as connection:
        return [
            {"at": at, "action": action, "details": json.loads(details)}
            for at, action, details in connection.execute(SELECT_AUDIT)
        ]
