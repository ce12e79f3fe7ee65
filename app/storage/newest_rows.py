"""Lists of keys and links, limited because there can be too many to show."""

import sqlite3
from operator import itemgetter
from typing import Any


def select_newest(
    connection: sqlite3.Connection, statement: str, now: int, limit: int | None
) -> list[dict[str, Any]]:
    """Return the rows of a statement as dicts by column, oldest first, without their ids.

    The statement takes `:now` and `:limit`; a limit of None returns all rows.
    """
    cursor = connection.execute(statement, {"now": now, "limit": -1 if limit is None else limit})
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor]
    rows.sort(key=itemgetter("id"))
    for row in rows:
        del row["id"]
    return rows
