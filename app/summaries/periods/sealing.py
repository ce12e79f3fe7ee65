"""Sealing and checking the summaries of days and months.

A past day or month is sealed when a query first needs it. It is read from the rows instead if these
are few, if another thread is sealing, or if the database cannot be written to.
"""

import sqlite3
from collections.abc import Collection, Iterator
from typing import Any

from ...days import FIRST_DAY, LAST_DAY, Calendar, describe_period, month_of
from ...storage.database import Database
from ..seal_lock import PATIENCE, Progress, left_to_questions, seal_lock, seal_one
from .actions import ACTIONS
from .active_users import MEMBERS, USERS
from .callers import CALLERS
from .kinds import Kind

KINDS: Collection[Kind[Any]] = (*USERS.values(), *MEMBERS.values(), ACTIONS, CALLERS)

PAYS = 1000
"""A period with fewer rows is not sealed: reading them takes a third of a millisecond."""

SELECT_SEALED = """
select period
from period_summary
where data = :data and monthly = :monthly and period between :first and :last
  and content is not null
"""

SELECT_ALL = """
select data, monthly, period
from period_summary
where content is not null
order by data, monthly, period
"""

BEGIN = """
insert or replace into period_summary (data, monthly, period, token)
values (:data, :monthly, :period, :token)
"""

END = """
update period_summary
set content = :content, checksum = :checksum
where data = :data and monthly = :monthly and period = :period and token = :token
"""


def seal(
    database: Database,
    kinds: Collection[Kind[Any]],
    first: int,
    last: int,
    progress: Progress = lambda periods: periods,
    patience: int | None = PATIENCE,
) -> None:
    """Seal the past periods of a range that have enough rows; see `pages.sealing.seal`."""
    with seal_lock(database, patience) as mine:
        if mine:
            for kind, period in progress(_unsealed(database, kinds, first, last)):
                _seal(database, kind, period, patience)


def seal_all(database: Database, progress: Progress) -> None:
    """Seal all past periods that have enough rows."""
    # The range of all days includes the numbers of all months.
    with left_to_questions():
        seal(database, KINDS, FIRST_DAY, LAST_DAY, progress, patience=None)


def check(
    connection: sqlite3.Connection, calendar: Calendar, progress: Progress
) -> Iterator[tuple[str, str, str]]:
    """Compare every summary with the rows; yield data, date and error of each wrong one.

    The error is `damaged` (the checksum does not match) or `differs` (from the rows).
    """
    kinds = {(kind.data, kind.monthly): kind for kind in KINDS}
    for data, monthly, period in progress(connection.execute(SELECT_ALL).fetchall()):
        kind = kinds[data, bool(monthly)]
        date = describe_period(monthly, period)
        stored = dict(kind.stored_contents(connection, period, period))
        if not stored:
            yield data, date, "damaged"
        elif kind.decode(stored[period]) != kind.decode(kind.make(connection, calendar, period)):
            yield data, date, "differs"


def _unsealed(
    database: Database, kinds: Collection[Kind[Any]], first: int, last: int
) -> list[tuple[Kind[Any], int]]:
    """Return the kinds and periods to seal for a query about a range."""
    calendar = database.calendar
    today = calendar.day_of(database.clock.now())
    found: list[tuple[Kind[Any], int]] = []
    with database.reading() as connection:
        for kind in kinds:
            over = min(last, (month_of(today) if kind.monthly else today) - 1)
            rows = connection.execute(SELECT_SEALED, kind.range(first, over))
            sealed = {period for (period,) in rows}
            for period in kind.periods(connection, calendar, first, over):
                if period not in sealed and kind.has_rows(connection, calendar, period, PAYS):
                    found.append((kind, period))
    return found


def _seal(database: Database, kind: Kind[Any], period: int, patience: int | None) -> None:
    key = {"data": kind.data, "monthly": kind.monthly, "period": period}

    def begin(connection: sqlite3.Connection, token: int) -> None:
        connection.execute(BEGIN, key | {"token": token})

    def make(connection: sqlite3.Connection) -> dict[str, object]:
        content = kind.make(connection, database.calendar, period)
        return {"content": content, "checksum": kind.checksum(period, content)}

    def end(connection: sqlite3.Connection, token: int, made: dict[str, object]) -> None:
        connection.execute(END, key | {"token": token} | made)

    seal_one(database, patience, begin, make, end)
