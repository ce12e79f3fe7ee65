"""The step from schema version 7 to 8: digests of events move from a row each to rows of many."""

import sqlite3

from .event_ids import store_in_order

RENAME = "alter table event_id rename to event_id_by_digest"

CREATE_ROWS = """
create table event_id (
  start integer primary key,
  wide  integer not null check (wide in (0, 1)),
  ids   blob    not null check (length(ids) > 0)
) strict
"""

CREATE_DAYS = """
create table event_id_day (
  day   integer primary key,
  count integer not null check (count > 0)
) strict
"""

SELECT_BY_DIGEST = "select digest, day from event_id_by_digest order by digest"

DROP = "drop table event_id_by_digest"


def pack_event_ids(connection: sqlite3.Connection) -> None:
    """Store the ids of version 7 as version 8 does."""
    for statement in (RENAME, CREATE_ROWS, CREATE_DAYS):
        connection.execute(statement)
    store_in_order(connection, connection.execute(SELECT_BY_DIGEST))
    connection.execute(DROP)
