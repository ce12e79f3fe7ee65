"""The data of the tag `userAnalysis`."""

import json
import sqlite3
from itertools import count, groupby, repeat
from operator import itemgetter
from typing import Any

from .. import summaries
from ..database import Database
from ..days import PERIODS
from ..dictionary import Dictionary
from ..errors import InvalidRequest

HISTORY_DAYS = 31
"""How many days before today the histories of a user reach back (contract B.3)."""

DELETE_DAY = """
delete from behavior
where day = :day and user_id = :user_id
returning timestamp
"""

INSERT_BEHAVIOR = """
insert into behavior (day, user_id, seq, timestamp, referer_id)
values (?, ?, ?, ?, ?)
"""

APPEND_BEHAVIOR = """
insert into behavior (day, user_id, seq, timestamp, referer_id)
select ?1, ?2, coalesce(max(seq) + 1, 0), ?3, ?4
from behavior
where day = ?1 and user_id = ?2
"""

# A seek for each day: the table is clustered by day and user.
SELECT_HISTORIES = """
select behavior.day, behavior.timestamp, referer.url
from user
cross join json_each(:days) as wanted
join behavior on behavior.day = wanted.value and behavior.user_id = user.id
join referer on referer.id = behavior.referer_id
where user.name = :user_id
order by behavior.day, behavior.timestamp, behavior.seq
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

    Raises InvalidRequest, naming the index, for an entry outside that day; nothing changes then.
    """
    calendar = database.calendar
    day = calendar.day_of(timestamp)
    first, last = calendar.day_start(day), calendar.day_start(day + 1) - 1
    timestamps = [entry["timestamp"] for entry in histories]
    urls = [entry["referer"] for entry in histories]
    for index, at in enumerate(timestamps):
        if not first <= at <= last:
            raise InvalidRequest(
                f"histories[{index}].timestamp: must be in the day of timestamp, "
                f"from {first} to {last}"
            )
    with database.writing() as connection:
        names = Dictionary(connection)
        user = names.users([user_id])[user_id]
        referers = names.referers(urls)
        deleted = connection.execute(DELETE_DAY, {"day": day, "user_id": user}).fetchall()
        connection.executemany(
            INSERT_BEHAVIOR,
            zip(repeat(day), repeat(user), count(), timestamps, map(referers.get, urls)),
        )
        summaries.drop(connection, (at for (at,) in deleted))
        summaries.drop(connection, timestamps)


def append_behaviors(
    connection: sqlite3.Connection, behaviors: list[tuple[int, int, int, int]]
) -> None:
    """Add entries, each a day, user, timestamp and referer, behind those that are there.

    Entries of one user and day keep their order.
    """
    # In the order of the table, which spares SQLite from going to and fro in it.
    behaviors.sort(key=itemgetter(0, 1))
    connection.executemany(APPEND_BEHAVIOR, behaviors)
    summaries.drop(connection, (timestamp for _, _, timestamp, _ in behaviors))


def get_user_behavior_histories(database: Database, user_id: str) -> dict[str, Any]:
    """Return a user's histories of today and the 31 days before it (contract B.3).

    Shape: `UserBehaviorHistories`; a user that is not known has none.
    """
    today = database.calendar.day_of(database.clock.now())
    days = json.dumps(list(range(today - HISTORY_DAYS, today + 1)))
    with database.reading() as connection:
        rows = connection.execute(SELECT_HISTORIES, {"user_id": user_id, "days": days}).fetchall()
    return {
        "histories": [
            {
                "behaved_at": database.calendar.day_start(day),
                "histories": [{"timestamp": at, "referer": referer} for _, at, referer in entries],
            }
            for day, entries in groupby(rows, key=itemgetter(0))
        ]
    }


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
    """Set the number of active users of a date, tenant and environment."""
    with database.writing() as connection:
        connection.execute(
            PUT_ACTIVE_USERS,
            {
                "monthly": PERIODS[type].monthly,
                "period": date,
                "tenant_id": Dictionary(connection).tenants([tenant_id])[tenant_id],
                "env_id": env_id,
                "put": active_users,
            },
        )
