"""Retention cutoffs that are in the future: how to find and reset them."""

import sqlite3

from ..days import Calendar
from ..storage import audit_log
from ..storage.blocks import BLOCK
from ..storage.cutoffs import Cutoffs, cutoffs_of, read_cutoffs
from ..storage.database import Database
from ..summaries.invalidation import invalidate_all
from ..summaries.spans import HOUR

# The last day with any data that are stored by day.
SELECT_NEWEST = """
select max(day)
from (
  select max(day) as day from call_count where day <= :today
  union all
  select max(period) from active_users where monthly = 0 and period <= :today
  union all
  select max(day) from event_id_day where day <= :today
)
"""

SELECT_NEWEST_ENTRY = "select max(timestamp) from behavior where block <= :block"

SELECT_NEWEST_HOUR = "select max(span) from page_summary where level = 0 and span <= :now / 3600"

SET_BACK = "update kept set since = :since where data = :data"

FORGET = "delete from kept where data = :data"


def future_cutoffs(database: Database) -> dict[str, int]:
    """Return the cutoffs that are more than an hour ahead of the clock, by data, as timestamps."""
    return _future(cutoffs_of(database), database.clock.now())


def reset_cutoffs(database: Database, *, dry_run: bool = False) -> dict[str, int]:
    """Reset cutoffs that are in the future to the end of the stored data; return the new ones.

    The new cutoff is the end of the last day with stored data, or now if that day is today: so
    nothing that was counted can be counted twice. It is never within an hour whose histories were
    pruned. If nothing is stored, the cutoffs are removed and returned as 0.
    """
    now = database.clock.now()
    with database.writing() as connection:
        wrong = _future(read_cutoffs(connection), now)
        since = _end_of_data(connection, database.calendar, now)
        reset = dict.fromkeys(wrong, since)
        if reset and not dry_run:
            for data in reset:
                connection.execute(SET_BACK if since else FORGET, {"since": since, "data": data})
            invalidate_all(connection)
            audit_log.note(connection, now, "reset-cutoffs", reset)
    return reset


def _future(kept: Cutoffs, now: int) -> dict[str, int]:
    # A cutoff that was reset may be at the end of the current hour.
    return {data: since for data, since in kept._asdict().items() if since > now + HOUR}


def _end_of_data(connection: sqlite3.Connection, calendar: Calendar, now: int) -> int:
    """Return the timestamp at which the stored data end; 0 if nothing is stored."""
    today = calendar.day_of(now)
    (day,) = connection.execute(SELECT_NEWEST, {"today": today}).fetchone()
    (entry,) = connection.execute(SELECT_NEWEST_ENTRY, {"block": now // BLOCK}).fetchone()
    (hour,) = connection.execute(SELECT_NEWEST_HOUR, {"now": now}).fetchone()
    ends = [0]
    if day is not None:
        ends.append(min(calendar.day_start(day + 1), now))
    if entry is not None:
        ends.append(min(entry + 1, now))
    if hour is not None:
        ends.append((hour + 1) * HOUR)
    return max(ends)
