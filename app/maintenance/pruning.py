"""Pruning: data older than the settings keep are deleted, one day at a time.

Each transaction deletes the data before some day and stores that day as the retention cutoff. So
the next run continues where an interrupted one stopped.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping

from ..days import FIRST_DAY, Calendar, month_of
from ..storage import audit_log
from ..storage.blocks import BLOCK
from ..storage.cutoffs import cutoffs_of, read_cutoffs
from ..storage.database import Database
from ..storage.event_ids import BEFORE_ALL, delete_some
from ..summaries.pages.sealing import seal, store_hours
from ..summaries.spans import HOUR
from .unused_names import delete_unused, find_unused

KEEP_SINCE = """
insert into kept (data, since)
values (:data, :since)
on conflict (data) do update set since = excluded.since
"""

# Entries are deleted by whole hours, as summaries cover them: if a day begins within an hour, the
# entries of that hour stay.
SELECT_FIRST_ENTRY = """
select min(timestamp)
from behavior
where block = (select min(block) from behavior) and timestamp < :hour * 3600
"""

DELETE_ENTRIES = """
delete from behavior
where block <= :block and timestamp < :hour * 3600
"""

# The number of active users stays when the users are deleted, like a number that was stored
# directly.
FIX_NUMBERS = """
update active_users
set put = coalesce(put, computed), computed = 0
where period < iif(monthly, :month, :day) and computed > 0
"""

FORGET_USERS = (
    "delete from active_user where period < iif(monthly, :month, :day)",
    "delete from user_call where day < :day",
    "delete from period_summary where period < iif(monthly, :month, :day)",
)

# A longer summary that begins before the cutoff is deleted too; a query that needs it computes it
# again from the data that are left.
DELETE_SUMMARIES = "delete from page_summary where span << (3 * level) < :hour"

DELETE_COUNTS = (
    "delete from call_count where day < :day",
    "delete from active_users where period < iif(monthly, :month, :day)",
)

COUNT = {
    "histories": """
    select count(*)
    from behavior
    where block <= :block and timestamp < :hour * 3600
    """,
    "page_statistics": """
    select count(*)
    from page_summary
    where (span + 1) << (3 * level) <= :hour
    """,
    "counts": """
    select (select count(*) from call_count where day < :day)
         + (select count(*) from active_users where period < iif(monthly, :month, :day))
    """,
    "event_ids": """
    select coalesce(sum(count), 0)
    from event_id_day
    where day < :day
    """,
}
"""Queries that count the entries, summaries, counts and ids that would be deleted."""


def count_old(database: Database, since: Mapping[str, int]) -> dict[str, int]:
    """Return how much `prune` would delete, by kind of data."""
    with database.reading() as connection:
        counted = {}
        for data, timestamp in since.items():
            parameters = _before(database.calendar, timestamp)
            (counted[data],) = connection.execute(COUNT[data], parameters).fetchone()
    return counted


def prune(
    database: Database, since: Mapping[str, int], noted_at: int | None = None
) -> Generator[tuple[str, int]]:
    """Delete the data before the timestamps, each of which is the start of a day.

    Yields after each transaction the kind of data and how much was deleted; at the end, `names`
    and how many names were deleted to which nothing refers. The audit log has it at `noted_at`, or
    now. Raises ServiceUnavailable for transient errors: the caller can try again later.
    """
    deleted: Counter[str] = Counter()
    kept = cutoffs_of(database)
    for data, timestamp in since.items():
        if timestamp > getattr(kept, data):
            for count in PRUNE[data](database, timestamp):
                deleted[data] += count
                yield data, count
    # Even if nothing was deleted: replacing the history of a day also leaves unused names.
    with database.reading() as connection:
        unused = find_unused(connection)
    if unused or deleted.total():
        with database.erasing() as connection:
            deleted["names"] = delete_unused(connection, unused).total()
            at = database.clock.now() if noted_at is None else noted_at
            audit_log.note(connection, at, "prune", deleted)
        database.empty_wal()
        yield "names", deleted["names"]


def _prune_histories(database: Database, since: int) -> Iterator[int]:
    calendar = database.calendar
    until = 0
    while until < since:
        with database.reading() as connection:
            first, until = _first_day(connection, calendar, since)
        # Most summaries of the day are computed here, without blocking writers.
        seal(database, first, until - 1, patience=None)
        with database.writing() as connection:
            first, until = _first_day(connection, calendar, since)
            store_hours(connection, first // HOUR, until // HOUR)
            before = _before(calendar, until)
            deleted = connection.execute(DELETE_ENTRIES, before).rowcount
            for statement in (FIX_NUMBERS, *FORGET_USERS):
                connection.execute(statement, before)
            _keep_since(connection, "histories", until)
        yield deleted


def _first_day(connection: sqlite3.Connection, calendar: Calendar, since: int) -> tuple[int, int]:
    """Return the timestamps of the first entry to delete and of the end of its day.

    Both are `since` if there is no entry to delete.
    """
    hour = {"hour": since // HOUR}
    (first,) = connection.execute(SELECT_FIRST_ENTRY, hour).fetchone()
    if first is None:
        return since, since
    day = calendar.day_of(max(first, read_cutoffs(connection).histories))
    return first, min(since, calendar.day_start(day + 1))


def _prune_page_statistics(database: Database, since: int) -> Iterator[int]:
    with database.writing() as connection:
        before = _before(database.calendar, since)
        deleted = connection.execute(DELETE_SUMMARIES, before).rowcount
        _keep_since(connection, "page_statistics", since)
    yield deleted


def _prune_counts(database: Database, since: int) -> Iterator[int]:
    before = _before(database.calendar, since)
    with database.writing() as connection:
        deleted = sum(connection.execute(sql, before).rowcount for sql in DELETE_COUNTS)
        for statement in FORGET_USERS:
            connection.execute(statement, before)
        _keep_since(connection, "counts", since)
    yield deleted


def _prune_event_ids(database: Database, since: int) -> Iterator[int]:
    with database.writing() as connection:
        _keep_since(connection, "event_ids", since)
    last = database.calendar.day_of(since) - 1
    after: int | None = BEFORE_ALL
    while after is not None:
        # One transaction for each batch of rows: a single long one would make the -wal grow.
        with database.writing() as connection:
            deleted, after = delete_some(connection, FIRST_DAY, last, after)
        yield deleted


PRUNE: Mapping[str, Callable[[Database, int], Iterator[int]]] = {
    "histories": _prune_histories,
    "page_statistics": _prune_page_statistics,
    "counts": _prune_counts,
    "event_ids": _prune_event_ids,
}
"""In the order of `Cutoffs`: pruning histories stores the page statistics of their time."""


def _before(calendar: Calendar, since: int) -> dict[str, int]:
    """Return the parameters of a statement that selects data before a timestamp."""
    day = calendar.day_of(since)
    return {"block": since // BLOCK, "hour": since // HOUR, "day": day, "month": month_of(day)}


def _keep_since(connection: sqlite3.Connection, data: str, since: int) -> None:
    connection.execute(KEEP_SINCE, {"data": data, "since": since})
