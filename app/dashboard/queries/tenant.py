"""Tenants and environments, with how they are used."""

import json
import sqlite3
from collections.abc import Collection
from heapq import nsmallest
from typing import NamedTuple

from ...database import Database
from ...days import month_of
from ...metrics.queries import count_calls_by_tenant
from ..selection import Days, Scope
from .active import active_by_day, active_by_month, active_in

SELECT_TENANTS = "select id, name from tenant order by name"

# Latest first: where each tenant did something lately, the rest is not read.
SELECT_CALLERS = """
select day, json_group_array(tenant_id)
from call_count
where type = 'userinfo' and day <= :tomorrow
group by day
order by day desc
"""

SELECT_ACTIVE = """
select period, json_group_array(tenant_id)
from active_users
where monthly = 0 and period <= :tomorrow and coalesce(put, computed) > 0
group by period
order by period desc
"""

SELECT_ENVIRONMENTS = """
select distinct env_id
from active_users
where monthly = 0
  and period between :first and :last
  and coalesce(put, computed) > 0
  and (:tenant_id is null or tenant_id = (select id from tenant where name = :tenant_id))
order by env_id
"""

# A seek for each period: those of other tenants are not read.
SELECT_ENVIRONMENTS_OF_TENANT = """
select distinct active_users.env_id
from json_each(:periods) as wanted
cross join active_users
  on active_users.monthly = json_extract(wanted.value, '$[0]')
  and active_users.period = json_extract(wanted.value, '$[1]')
  and active_users.tenant_id = (select id from tenant where name = :tenant_id)
order by active_users.env_id
"""

SELECT_LARGEST = """
select tenant.name
from (
  select tenant_id, sum(cast(coalesce(put, computed) as real)) as users
  from active_users
  where monthly = 0 and period between :first and :last
  group by tenant_id
)
join tenant on tenant.id = tenant_id
where users > 0
order by users desc, tenant.name
limit :limit
"""


class Tenant(NamedTuple):
    """A tenant: its active users, and its calls of GetUserInfo.

    `active` are those of some days, and `active_before` of as many before them; None where it is
    not known who they are.
    """

    tenant_id: str
    today: int
    this_month: int
    active: int | None
    active_before: int | None
    calls: int
    calls_before: int
    last_day: int | None
    """The last day until tomorrow with calls or active users."""


class Fading(NamedTuple):
    """A tenant with fewer calls of GetUserInfo than in as many days before."""

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


def tenants(database: Database, days: Days) -> list[Tenant]:
    """Return all tenants, by their ids."""
    # Bitmaps are loaded when the first question needs them.
    from .by_tenant import count_in_days, count_in_period

    today = database.calendar.day_of(database.clock.now())
    with database.reading() as connection:
        names = dict(connection.execute(SELECT_TENANTS))
        calls = count_calls_by_tenant(connection, *days)
        calls_before = count_calls_by_tenant(connection, *days.before())
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
    """Return the tenants that lost calls against as many days before, the greatest loss first."""
    with database.reading() as connection:
        names = dict(connection.execute(SELECT_TENANTS))
        calls = count_calls_by_tenant(connection, *days)
        before = count_calls_by_tenant(connection, *days.before())
    found = [Fading(names[tenant], calls.get(tenant, 0), before[tenant]) for tenant in before]
    lost = [each for each in found if each.calls < each.calls_before]
    return nsmallest(limit, lost, key=lambda each: (each.calls - each.calls_before, each.tenant_id))


def _last_days(
    connection: sqlite3.Connection, tenants: Collection[int], tomorrow: int
) -> dict[int, int]:
    """Return the last day until tomorrow on which each tenant had calls or active users, if any."""
    last_days: dict[int, int] = {}
    for select in (SELECT_CALLERS, SELECT_ACTIVE):
        missing = set(tenants)
        for day, on_day in connection.execute(select, {"tomorrow": tomorrow}):
            found = missing.intersection(json.loads(on_day))
            missing -= found
            for tenant in found:
                last_days[tenant] = max(day, last_days.get(tenant, day))
            if not missing:
                break
    return last_days


def tenant_environments(database: Database, tenant_id: str, days: Days) -> list[Environment]:
    """Return the environments of a tenant, by their ids."""
    today = database.calendar.day_of(database.clock.now())
    month = month_of(today)
    looked_at = {*range(days.before().first, days.last + 1), today}
    periods = [[False, day] for day in looked_at] + [[True, month]]
    with database.reading() as connection:
        rows = connection.execute(
            SELECT_ENVIRONMENTS_OF_TENANT,
            {"tenant_id": tenant_id, "periods": json.dumps(periods)},
        ).fetchall()
    found = []
    for (env_id,) in rows:
        scope = Scope(tenant_id, env_id)
        found.append(
            Environment(
                env_id,
                active_by_day(database, Days(today, today), scope).get(today, 0),
                active_by_month(database, month, month, scope).get(month, 0),
                active_in(database, days, scope),
                active_in(database, days.before(), scope),
            )
        )
    return found


def environments(database: Database, days: Days, tenant_id: str | None = None) -> list[int]:
    """Return the environments in which users were active, of a tenant or of all."""
    parameters = {"first": days.first, "last": days.last, "tenant_id": tenant_id}
    with database.reading() as connection:
        rows = connection.execute(SELECT_ENVIRONMENTS, parameters).fetchall()
    return [env_id for (env_id,) in rows]


def tenant_ids(database: Database, days: Days, limit: int) -> list[str]:
    """Return the tenants in which users were active, those with the most users a day first."""
    with database.reading() as connection:
        rows = connection.execute(SELECT_LARGEST, days._asdict() | {"limit": limit}).fetchall()
    return [name for (name,) in rows]
