"""The data of the tag `userAnalysis`."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain, count, groupby
from typing import Any

from ..accepted import accepted_times, period_refusal
from ..days import MAX_TIMESTAMP, PERIODS, Calendar
from ..errors import InvalidRequest
from ..storage.blocks import BLOCK
from ..storage.cutoffs import read_kept, too_old
from ..storage.database import Database
from ..storage.dictionary import Dictionary
from ..summaries.invalidation import drop

HISTORY_DAYS = 31
"""How many days before today the histories of a user reach back (contract B.3)."""

DELETE_DAY = """
delete from behavior
where block in (select value from json_each(:blocks))
  and user_id = :user_id
  and timestamp between :start and :end
returning timestamp
"""

INSERT_BEHAVIOR = """
insert into behavior (block, user_id, second, seq, referer_id)
values (?1 / 14400, ?2, ?1 % 14400, ?3, ?4)
"""

APPEND_BEHAVIOR = """
insert into behavior (block, user_id, second, seq, referer_id)
select ?1 / 14400, ?2, ?1 % 14400, coalesce(max(seq) + 1, 0), ?3
from behavior
where block = ?1 / 14400 and user_id = ?2 and second = ?1 % 14400
"""

# A seek for each block: the table is clustered by block and user.
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

# The answer as it is sent: of a hundred thousand rows, none becomes an object of Python.
SELECT_ACTIVE_USERS = """
select json_object('data', json_group_array(json_object(
  'date', date, 'tenant_id', name, 'env_id', env_id, 'active_users', users
)))
from (
  select case
           when :monthly then printf('%04d-%02d', period / 12, period % 12 + 1)
           else date(period * 86400, 'unixepoch')
         end as date,
         tenant.name, active_users.env_id,
         coalesce(active_users.put, active_users.computed) as users
  from active_users
  join tenant on tenant.id = active_users.tenant_id
  where active_users.monthly = :monthly
    and active_users.period >= :date_from
    and (:date_to is null or active_users.period <= :date_to)
    and (:tenant_id is null or tenant.name = :tenant_id)
    and (:env_id is null or active_users.env_id = :env_id)
  order by active_users.period, tenant.name, active_users.env_id
)
"""

PUT_ACTIVE_USERS = """
insert into active_users (monthly, period, tenant_id, env_id, put)
values (:monthly, :period, :tenant_id, :env_id, :put)
on conflict (monthly, period, tenant_id, env_id) do update set put = excluded.put
"""


def update_user_behavior_histories_by_day(
    database: Database, *, timestamp: int, user_id: str, histories: list[dict[str, Any]]
) -> None:
    """Replace a user's histories of the day that holds `timestamp` (contract B.2).

    Raises InvalidRequest, naming the index, for entries outside that day, where the histories of
    that day were pruned, and for entries of an impossible day; nothing changes then.
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
    if refusal and histories:  # an empty list clears a day, whichever it is
        raise InvalidRequest(f"timestamp: {refusal}")
    with database.writing() as connection:
        since = read_kept(connection).histories
        if first < since:
            raise InvalidRequest(f"timestamp: {too_old(since)}")
        names = Dictionary(connection)
        user = names.users([user_id])[user_id]
        referers = names.referers(urls)
        of_user = {"user_id": user} | _range(first, last)
        deleted = connection.execute(DELETE_DAY, of_user).fetchall()
        seqs: defaultdict[int, Iterator[int]] = defaultdict(count)
        connection.executemany(
            INSERT_BEHAVIOR,
            [
                (at, user, next(seqs[at]), referers[url])
                for at, url in zip(timestamps, urls, strict=True)
            ],
        )
        drop(connection, calendar, chain((at for (at,) in deleted), timestamps))


def append_behaviors(
    connection: sqlite3.Connection, calendar: Calendar, behaviors: list[tuple[int, int, int]]
) -> None:
    """Add entries, each a timestamp, user and referer, behind those that are there.

    Entries of one user and second keep their order.
    """
    # In the order of the table, which spares SQLite from going to and fro in it.
    behaviors.sort(key=lambda entry: (entry[0] // BLOCK, entry[1], entry[0]))
    connection.executemany(APPEND_BEHAVIOR, behaviors)
    drop(connection, calendar, (timestamp for timestamp, _, _ in behaviors))


def get_user_behavior_histories(database: Database, user_id: str) -> dict[str, Any]:
    """Return a user's histories of today and the 31 days before it (contract B.3).

    Shape: `UserBehaviorHistories`; a user that is not known has none.
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
    blocks = json.dumps(list(range(start // BLOCK, end // BLOCK + 1)))
    return {"start": start, "end": end, "blocks": blocks}


def get_active_users(
    database: Database,
    *,
    type: str,
    date_from: int,
    date_to: int | None = None,
    tenant_id: str | None = None,
    env_id: int | None = None,
) -> str:
    """Return how many users were active by date, tenant and environment (contract B.4).

    Shape: the JSON text of `ActiveUsers`. The dates are numbers of days or of months, inclusive.
    """
    parameters = {
        "monthly": PERIODS[type].monthly,
        "date_from": date_from,
        "date_to": date_to,
        "tenant_id": tenant_id,
        "env_id": env_id,
    }
    return database.read_json(SELECT_ACTIVE_USERS, parameters)


def update_active_users(
    database: Database, *, type: str, date: int, tenant_id: str, env_id: int, active_users: int
) -> None:
    """Set the number of active users of a date, tenant and environment.

    The date may be one to come. Raises InvalidRequest where the counts of that date were pruned, or
    it is before all that is taken in.
    """
    monthly = PERIODS[type].monthly
    times = accepted_times(database)._replace(last=MAX_TIMESTAMP)
    if refusal := period_refusal(times, database.calendar, date, monthly):
        raise InvalidRequest(f"date: {refusal}")
    with database.writing() as connection:
        kept = read_kept(connection)
        if date < kept.first_period("counts", database.calendar, monthly):
            raise InvalidRequest(f"date: {too_old(kept.counts)}")
        connection.execute(
            PUT_ACTIVE_USERS,
            {
                "monthly": monthly,
                "period": date,
                "tenant_id": Dictionary(connection).tenants([tenant_id])[tenant_id],
                "env_id": env_id,
                "put": active_users,
            },
        )
