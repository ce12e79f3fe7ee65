"""The behaviour histories of users: data of the API tag `userAnalysis`."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain, count, groupby
from typing import Any

from ..days import Calendar
from ..errors import InvalidRequest
from ..storage.blocks import BLOCK, blocks_between
from ..storage.cutoffs import before_cutoff, read_cutoffs
from ..storage.database import Database
from ..storage.dictionary import Dictionary
from ..summaries.invalidation import invalidate
from .accepted_times import accepted_times

HISTORY_DAYS = 31
"""How many days before today a user's histories go back (contract B.3)."""

DELETE_DAY = """
delete from behavior
where block in (select value from json_each(:blocks))
  and user_id = :user_id
  and timestamp between :start and :end
returning timestamp
"""

INSERT_BEHAVIOR = """
insert into behavior (block, user_id, second, seq, referer_id)
values (?, ?, ?, ?, ?)
"""

APPEND_BEHAVIOR = """
insert into behavior (block, user_id, second, seq, referer_id)
select ?1, ?2, ?3, coalesce(max(seq) + 1, 0), ?4
from behavior
where block = ?1 and user_id = ?2 and second = ?3
"""

# One index seek per block, since the table is clustered by block and user.
SELECT_HISTORIES = """
select behavior.timestamp, referer.url
from user
cross join json_each(:blocks) as wanted
join behavior on behavior.block = wanted.value and behavior.user_id = user.id
join referer on referer.id = behavior.referer_id
where user.name = :user_id
  and behavior.timestamp between :start and :end
  and behavior.timestamp >= coalesce((select since from kept where data = 'histories'), 0)
order by behavior.timestamp, behavior.seq
"""


def update_user_behavior_histories_by_day(
    database: Database, *, timestamp: int, user_id: str, histories: list[dict[str, Any]]
) -> None:
    """Replace a user's histories of the day that holds `timestamp` (contract B.2).

    Raises InvalidRequest, and changes nothing, if entries are outside that day (naming their
    indexes), if the histories of that day were pruned, or if entries of that day are not accepted.
    """
    calendar = database.calendar
    day = calendar.day_of(timestamp)
    first, last = calendar.day_start(day), calendar.day_start(day + 1) - 1
    timestamps = [entry["timestamp"] for entry in histories]
    urls = [entry["referer"] for entry in histories]
    outside = [index for index, at in enumerate(timestamps) if not first <= at <= last]
    if outside:
        expected = f"must be in the day of timestamp, from {first} to {last}"
        raise InvalidRequest(*(f"histories[{index}].timestamp: {expected}" for index in outside))
    refusal = accepted_times(database).refusal(max(first, 0))
    if refusal and histories:  # an empty list may clear any day
        raise InvalidRequest(f"timestamp: {refusal}")
    with database.writing() as connection:
        since = read_cutoffs(connection).histories
        if first < since:
            raise InvalidRequest(f"timestamp: {before_cutoff(since)}")
        names = Dictionary(connection)
        user = names.users([user_id])[user_id]
        referers = names.referers(urls)
        of_user = {"user_id": user} | _range(first, last)
        deleted = connection.execute(DELETE_DAY, of_user).fetchall()
        seqs: defaultdict[int, Iterator[int]] = defaultdict(count)
        connection.executemany(
            INSERT_BEHAVIOR,
            [
                (at // BLOCK, user, at % BLOCK, next(seqs[at]), referers[url])
                for at, url in zip(timestamps, urls, strict=True)
            ],
        )
        invalidate(connection, calendar, chain((at for (at,) in deleted), timestamps))


def append_behaviors(
    connection: sqlite3.Connection, calendar: Calendar, behaviors: list[tuple[int, int, int]]
) -> None:
    """Add entries, each a timestamp, user and referer, after those that are stored.

    Entries of one user and second keep their order.
    """
    # SQLite inserts faster in the order of the table.
    behaviors.sort(key=lambda entry: (entry[0] // BLOCK, entry[1], entry[0]))
    rows = ((at // BLOCK, user, at % BLOCK, referer) for at, user, referer in behaviors)
    connection.executemany(APPEND_BEHAVIOR, rows)
    invalidate(connection, calendar, (timestamp for timestamp, _, _ in behaviors))


def get_user_behavior_histories(database: Database, user_id: str) -> dict[str, Any]:
    """Return a user's histories of today and the 31 days before it (contract B.3).

    Shape: `UserBehaviorHistories`; an unknown user has no histories.
    """
    calendar = database.calendar
    today = calendar.day_of(database.clock.now())
    first, last = calendar.day_start(today - HISTORY_DAYS), calendar.day_start(today + 1) - 1
    with database.reading() as connection:
        parameters = {"user_id": user_id} | _range(first, last)
        rows = connection.execute(SELECT_HISTORIES, parameters).fetchall()
    return {
        "histories": [
            {
                "behaved_at": calendar.day_start(day),
                "histories": [{"timestamp": at, "referer": referer} for at, referer in entries],
            }
            for day, entries in groupby(rows, key=lambda row: calendar.day_of(row[0]))
        ]
    }


def _range(start: int, end: int) -> dict[str, Any]:
    """Return the parameters of a query for a user's entries from one second to another."""
    blocks = json.dumps(list(blocks_between(start, end)))
    return {"start": start, "end": end, "blocks": blocks}
