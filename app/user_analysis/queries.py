"""The data of the tag `userAnalysis`."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from itertools import groupby
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
values (:day, :user_id, :seq, :timestamp, :referer_id)
"""

NEXT_SEQ = """
select coalesce(max(seq) + 1, 0)
from behavior
where day = :day and user_id = :user_id
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

SELECT_ACTIVE_USERS = """
select active_users.period, tenant.name, active_users.env_id,
       coalesce(active_users.put, active_users.computed)
from active_users
join tenant on tenant.id = active_users.tenant_id
where active_users.monthly = :monthly
  and active_users.period >= :date_from
  and (:date_to is null or active_users.period <= :date_to)
  and (:tenant_id is null or tenant.name = :tenant_id)
  and (:env_id is null or active_users.env_id = :env_id)
order by active_users.period, tenant.name, active_users.env_id
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
    for index, entry in enumerate(histories):
        if calendar.day_of(entry["timestamp"]) != day:
            raise InvalidRequest(
                f"histories[{index}].timestamp: must be in the day of timestamp, "
                f"from {calendar.day_start(day)} to {calendar.day_start(day + 1) - 1}"
            )
    with database.writing() as connection:
        names = Dictionary(connection)
        user = names.user(user_id)
        deleted = connection.execute(DELETE_DAY, {"day": day, "user_id": user}).fetchall()
        changed = [*(at for (at,) in deleted), *(entry["timestamp"] for entry in histories)]
        summaries.drop(connection, changed)
        _insert(connection, names, day, user, histories, first=0)


def append_behaviors(
    connection: sqlite3.Connection,
    names: Dictionary,
    *,
    day: int,
    user: int,
    histories: Iterable[Mapping[str, Any]],
) -> None:
    """Add entries behind those that a user has in a day."""
    (first,) = connection.execute(NEXT_SEQ, {"day": day, "user_id": user}).fetchone()
    _insert(connection, names, day, user, histories, first)


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
) -> dict[str, Any]:
    """Return how many users were active by date, tenant and environment (contract B.4).

    Shape: `ActiveUsers`. The dates are numbers of days or of months, inclusive.
    """
    period = PERIODS[type]
    parameters = {
        "monthly": period.monthly,
        "date_from": date_from,
        "date_to": date_to,
        "tenant_id": tenant_id,
        "env_id": env_id,
    }
    with database.reading() as connection:
        rows = connection.execute(SELECT_ACTIVE_USERS, parameters).fetchall()
    return {
        "data": [
            {
                "date": period.format(date),
                "tenant_id": tenant,
                "env_id": env,
                "active_users": active_users,
            }
            for date, tenant, env, active_users in rows
        ]
    }


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
                "tenant_id": Dictionary(connection).tenant(tenant_id),
                "env_id": env_id,
                "put": active_users,
            },
        )


def _insert(
    connection: sqlite3.Connection,
    names: Dictionary,
    day: int,
    user: int,
    histories: Iterable[Mapping[str, Any]],
    first: int,
) -> None:
    connection.executemany(
        INSERT_BEHAVIOR,
        [
            {
                "day": day,
                "user_id": user,
                "seq": seq,
                "timestamp": entry["timestamp"],
                "referer_id": names.referer(entry["referer"]),
            }
            for seq, entry in enumerate(histories, first)
        ],
    )
