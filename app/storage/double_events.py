"""The events that were fed: a test double keeps them in addition to what it counts from them."""

import sqlite3
from collections.abc import Iterable, Iterator

# They are kept as a state shows them, because they cannot be derived from counts.
CREATE_EVENTS = """
create table fed_event (
  seq    integer primary key,
  record text not null                 -- JSON, in the shape of a state's events
) strict
"""

INSERT_EVENT = "insert into fed_event (record) values (?)"

SELECT_EVENTS = "select record from fed_event order by seq"


def create(connection: sqlite3.Connection) -> None:
    """Create the table of events."""
    connection.execute(CREATE_EVENTS)


def keep(connection: sqlite3.Connection, records: Iterable[str]) -> None:
    """Add events, each as JSON text."""
    connection.executemany(INSERT_EVENT, ((record,) for record in records))


def read(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield the events as JSON texts, in the order in which they were fed."""
    for (record,) in connection.execute(SELECT_EVENTS):
        yield record
