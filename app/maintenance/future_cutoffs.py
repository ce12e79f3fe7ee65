"""Retention cutoffs that are in the future: found, and set back."""

import sqlite3

from ..days import Calendar
from ..storage import audit_log
from ..storage.blocks import BLOCK
from ..storage.cutoffs import Cutoffs, cutoffs_of, read_cutoffs
from ..storage.database import Database
from ..summaries.invalidation import invalidate_all
from ..summaries.spans import HOUR

# What is stored of a day, whatever it is.
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
    """Set the cutoffs that are in the future back to where stored data end; return them by data.

    That is the end of the last day that anything is stored of, or now if that is today: whatever
    was counted stays counted once. An hour whose histories were pruned is over before that. Where
    nothing is stored, the cutoffs go, and are returned as 0.
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
    # Setting one back may leave it at the end of this hour.
    return {data: since for data, since in kept._asdict().items() if since > now + HOUR}


def _end_of_data(connection: sqlite3.Connection, calendar: Calendar, now: int) -> int:
    """Return the timestamp by which all that is stored had happened; 0 if there is nothing."""
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
