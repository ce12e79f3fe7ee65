"""Tenants and environments, and how much they are used."""

import json
import sqlite3
from collections.abc import Collection
from heapq import nlargest
from operator import itemgetter
from typing import NamedTuple

from ..days import month_of
from ..storage.database import Database
from ..storage.dictionary import NO_ONE, find_tenant
from .active_users import active_in
from .active_users_by_tenant import count_in_days, count_in_period
from .calls import count_calls_by_tenant
from .selection import Days, Scope

SELECT_TENANTS = """
select id, name
from tenant
where (:tenant_id is null or name = :tenant_id)
  and (:contains is null or instr(folded(name), :contains))
order by (
    select total(coalesce(put, computed))
    from active_users
    where monthly = 1 and period = :month and tenant_id = tenant.id
  ) desc,
  name
limit :limit
"""

# Summed in two halves, since the sum may exceed an integer of SQLite. Type 0 is userinfo.
SELECT_FEWER_CALLS = """
select tenant_id, high, low, high_before, low_before
from (
  select tenant_id,
         sum(iif(day >= :first, count >> 32, 0)) as high,
         sum(iif(day >= :first, count & 0xffffffff, 0)) as low,
         sum(iif(day < :first, count >> 32, 0)) as high_before,
         sum(iif(day < :first, count & 0xffffffff, 0)) as low_before
  from call_count
  where type = 0 and day between :first_before and :last
  group by tenant_id
)
where (high_before - high) * 4294967296.0 + (low_before - low) > 0
"""

SELECT_NAMES = """
select id, name
from tenant
where id in (select value from json_each(:tenants))
order by name
limit :limit
"""

# One index seek per day, latest first, without reading its rows.
SELECT_DAYS = """
with recursive found (day) as (
  select max(latest)
  from (
    select max(day) as latest from call_count where type = 0 and day <= :tomorrow
    union all
    select max(period) from active_users where monthly = 0 and period <= :tomorrow
  )
  union all
  select (
    select max(latest)
    from (
      select max(day) as latest from call_count where type = 0 and day < found.day
      union all
      select max(period) from active_users where monthly = 0 and period < found.day
    )
  )
  from found
  where found.day is not null
)
select day from found where day is not null
"""

SELECT_SEEN = """
select wanted.value
from json_each(:tenants) as wanted
where exists (
    select 1
    from call_count
    where type = 0 and day = :day and tenant_id = wanted.value
  )
  or exists (
    select 1
    from active_users
    where monthly = 0 and period = :day and tenant_id = wanted.value
      and coalesce(put, computed) > 0
  )
"""

# Latest days first, so that the limit keeps the latest cells.
SELECT_ENVIRONMENTS = """
select env_id
from (
  select active_users.env_id,
         cast(coalesce(active_users.put, active_users.computed) as real) as users
  from json_each(:days) as wanted
  cross join active_users
    on active_users.monthly = 0
    and active_users.period = wanted.value
    and active_users.tenant_id
      between coalesce(:tenant, 0) and coalesce(:tenant, 9223372036854775807)
  limit :cells
)
group by env_id
having sum(users) > 0
order by sum(users) desc, env_id
limit :limit
"""

SELECT_LARGEST = """
select tenant.name
from (
  select tenant_id, sum(users) as users
  from (
    select active_users.tenant_id,
           cast(coalesce(active_users.put, active_users.computed) as real) as users
    from json_each(:days) as wanted
    cross join active_users on active_users.monthly = 0 and active_users.period = wanted.value
    limit :cells
  )
  group by tenant_id
)
join tenant on tenant.id = tenant_id
where users > 0
order by users desc, tenant.name
limit :limit
"""

# One index seek per period, without reading the rows of other tenants.
SELECT_ENVIRONMENTS_OF_TENANT = """
select env_id,
       max(iif(not monthly and period = :today, users, 0)),
       max(iif(monthly, users, 0)),
       count(*) over ()
from (
  select active_users.env_id, active_users.monthly, active_users.period,
         coalesce(active_users.put, active_users.computed) as users
  from json_each(:periods) as wanted
  cross join active_users
    on active_users.monthly = json_extract(wanted.value, '$[0]')
    and active_users.period = json_extract(wanted.value, '$[1]')
    and active_users.tenant_id = (select id from tenant where name = :tenant_id)
  where :contains is null or instr(active_users.env_id, :contains)
)
group by env_id
order by sum(iif(not monthly and period between :first and :last, cast(users as real), 0)) desc,
         env_id
limit :limit offset :start
"""

NO_LIMIT = -1

CELLS = 10_000
"""How many cells, each a day of a tenant and environment, are read at most to list choices."""


class Tenant(NamedTuple):
    """A tenant: its active users, and its calls of GetUserInfo.

    `active` counts those of some days, and `active_before` those of as many days before; None if it
    is not known who they were.
    """

    tenant_id: str
    today: int
    this_month: int
    active: int | None
    active_before: int | None
    calls: int
    calls_before: int
    last_day: int | None
    """The last day with calls or active users, up to tomorrow."""


class Fading(NamedTuple):
    """A tenant with fewer calls of GetUserInfo than in the same number of days before."""

    tenant_id: str
    calls: int
    calls_before: int


class Environment(NamedTuple):
    """The active users of an environment of a tenant; None as in `Tenant`."""

    env_id: int
    today: int
    this_month: int
    active: int | None
    active_before: int | None


def tenants(
    database: Database,
    days: Days,
    *,
    tenant_id: str | None = None,
    contains: str | None = None,
    limit: int | None = None,
) -> list[Tenant]:
    """Return tenants in order of their ids: all, one, or those whose ids contain a text.

    The text may be in any case. With a limit, they are those with the most users in the month of
    the last day.
    """
    today = database.calendar.day_of(database.clock.now())
    parameters = {
        "month": month_of(days.last),
        "tenant_id": tenant_id,
        "contains": contains and contains.casefold(),
        "limit": NO_LIMIT if limit is None else limit,
    }
    with database.reading() as connection:
        connection.create_function("folded", 1, str.casefold, deterministic=True)
        rows = connection.execute(SELECT_TENANTS, parameters).fetchall()
        names = dict(sorted(rows, key=itemgetter(1)))
        calls = count_calls_by_tenant(connection, *days, names)
        calls_before = count_calls_by_tenant(connection, *days.before(), names)
        last_days = _last_days(connection, names, today + 1)
    on_day = count_in_period(database, names, monthly=False, period=today)
    in_month = count_in_period(database, names, monthly=True, period=month_of(today))
    active = count_in_days(database, names, days)
    active_before = count_in_days(database, names, days.before())
    return [
        Tenant(
            name,
            on_day[tenant],
            in_month[tenant],
            active[tenant],
            active_before[tenant],
            calls.get(tenant, 0),
            calls_before.get(tenant, 0),
            last_days.get(tenant),
        )
        for tenant, name in names.items()
    ]


def fading(database: Database, days: Days, limit: int) -> list[Fading]:
    """Return the tenants with fewer calls than in as many days before, the greatest loss first."""
    with database.reading() as connection:
        parameters = days._asdict() | {"first_before": days.before().first}
        calls = {
            tenant: ((high << 32) + low, (high_before << 32) + low_before)
            for tenant, high, low, high_before, low_before in connection.execute(
                SELECT_FEWER_CALLS, parameters
            )
        }
        lost = {tenant: before - now for tenant, (now, before) in calls.items()}
        least = min(nlargest(limit, lost.values()), default=0)
        above = [tenant for tenant, number in lost.items() if number > least]
        # Ties at the limit are broken by name.
        at_limit = [tenant for tenant, number in lost.items() if number == least]
        names = _names(connection, above) + _names(connection, at_limit, limit - len(above))
    found = [Fading(name, *calls[tenant]) for tenant, name in names]
    return sorted(found, key=lambda each: (each.calls - each.calls_before, each.tenant_id))


def _names(
    connection: sqlite3.Connection, tenants: Collection[int], limit: int = NO_LIMIT
) -> list[tuple[int, str]]:
    """Return tenants with their names, in order of name; with a limit, only the first ones."""
    parameters = {"tenants": json.dumps(list(tenants)), "limit": limit}
    return connection.execute(SELECT_NAMES, parameters).fetchall()


def _last_days(
    connection: sqlite3.Connection, tenants: Collection[int], tomorrow: int
) -> dict[int, int]:
    """Return each tenant's last day with calls or active users, up to tomorrow, if there is one."""
    last_days: dict[int, int] = {}
    missing = set(tenants)
    for (day,) in connection.execute(SELECT_DAYS, {"tomorrow": tomorrow}):
        parameters = {"day": day, "tenants": json.dumps(list(missing))}
        seen = {tenant for (tenant,) in connection.execute(SELECT_SEEN, parameters)}
        last_days |= dict.fromkeys(seen, day)
        missing -= seen
        if not missing:
            break
    return last_days


def tenant_environments(
    database: Database,
    tenant_id: str,
    days: Days,
    *,
    contains: str | None = None,
    start: int = 0,
    limit: int | None = None,
) -> tuple[list[Environment], int]:
    """Return environments of a tenant, the most active first, and how many there are in all.

    `start` and `limit` select a part of the list; `contains` selects the environments whose ids
    contain these digits.
    """
    today = database.calendar.day_of(database.clock.now())
    looked_at = sorted({*range(days.before().first, days.last + 1), today})
    periods = [[False, day] for day in looked_at] + [[True, month_of(today)]]
    parameters = {
        "tenant_id": tenant_id,
        "periods": json.dumps(periods),
        "today": today,
        "contains": contains,
        "start": start,
        "limit": NO_LIMIT if limit is None else limit,
    }
    with database.reading() as connection:
        rows = connection.execute(SELECT_ENVIRONMENTS_OF_TENANT, parameters | days._asdict())
        found = rows.fetchall()
    shown = [
        Environment(
            env_id,
            on_day,
            in_month,
            active_in(database, days, Scope(tenant_id, env_id)),
            active_in(database, days.before(), Scope(tenant_id, env_id)),
        )
        for env_id, on_day, in_month, _ in found
    ]
    return shown, found[0][-1] if found else 0


def environments(
    database: Database, days: Days, tenant_id: str | None = None, limit: int = NO_LIMIT
) -> list[int]:
    """Return the environments in which users were active, of a tenant or of all, in order of id.

    With a limit, they are those with the most users per day. Only the latest CELLS cells are read.
    """
    with database.reading() as connection:
        tenant = None if tenant_id is None else find_tenant(connection, tenant_id) or NO_ONE
        parameters = _cells(days) | {"tenant": tenant, "limit": limit}
        rows = connection.execute(SELECT_ENVIRONMENTS, parameters).fetchall()
    return sorted(env_id for (env_id,) in rows)


def tenant_ids(database: Database, days: Days, limit: int) -> list[str]:
    """Return the tenants in which users were active, those with the most users per day first.

    Only the latest CELLS cells are read.
    """
    with database.reading() as connection:
        rows = connection.execute(SELECT_LARGEST, _cells(days) | {"limit": limit}).fetchall()
    return [name for (name,) in rows]


def _cells(days: Days) -> dict[str, object]:
    latest_first = range(days.last, days.first - 1, -1)
    return {"days": json.dumps(list(latest_first)), "cells": CELLS}
