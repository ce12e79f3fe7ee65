"""The audit log: which maintenance actions were done to the data as a whole, and when."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from .database import Database

INSERT_AUDIT = "insert into audit (at, action, details) values (?, ?, ?)"

SELECT_AUDIT = """
select at, action, details
from audit
order by id desc
limit :limit
"""

# One index seek per action, however many rows it has.
SELECT_LATEST = """
with recursive done (action) as (
  select min(action)
  from audit
  union all
  select (select min(action) from audit where audit.action > done.action)
  from done
  where done.action is not null
)
select action, (select max(at) from audit where audit.action = done.action)
from done
where action is not null
order by action
"""


def note(
    connection: sqlite3.Connection, at: int, action: str, details: Mapping[str, object]
) -> None:
    """Record an action, one of those in `schema.sql`, with what it changed.

    The details are numbers, never the content of the data.
    """
    connection.execute(INSERT_AUDIT, (at, action, json.dumps(details)))


def latest_actions(connection: sqlite3.Connection) -> dict[str, int]:
    """Return when each action was done last, in UNIX seconds."""
    return dict(connection.execute(SELECT_LATEST))


def list_actions(database: Database, limit: int | None = None) -> list[dict[str, Any]]:
    """Return the actions, oldest first; with a limit, only the latest. `at` is in UNIX seconds."""
    parameters = {"limit": -1 if limit is None else limit}
    with database.reading() as connection:
        rows = connection.execute(SELECT_AUDIT, parameters).fetchall()
    return [
        {"at": at, "action": action, "details": json.loads(details)}
        for at, action, details in reversed(rows)
    ]
