"""How many users were active in each tenant: like `active_users`, but for many tenants at once.

This module loads bitmaps, so it is imported when the first query needs it.
"""

import json
from collections.abc import Iterable

from pyroaring import BitMap64

from ..storage.cutoffs import read_cutoffs
from ..storage.database import Database
from ..summaries.periods.reading import active_members
from .selection import Days

# Summed in two halves, since the sum may exceed an integer of SQLite.
SELECT_PUT = """
select tenant_id, sum(put >> 32), sum(put & 0xffffffff)
from active_users
where put is not null and monthly = :monthly and period between :first and :last
group by tenant_id
order by tenant_id
"""

COUNT_NOT_PUT = """
select active_users.tenant_id, count(distinct active_user.user_id)
from json_each(:tenants) as wanted
cross join active_users
  on active_users.monthly = :monthly
  and active_users.period = :first
  and active_users.tenant_id = wanted.value
cross join active_user using (monthly, period, tenant_id, env_id)
where active_users.put is null
group by active_users.tenant_id
order by active_users.tenant_id
"""


def count_in_period(
    database: Database, tenants: Iterable[int], *, monthly: bool, period: int
) -> dict[int, int]:
    """Return how many users were active in a day or month, including numbers that were put."""
    numbers = _count_members(database, tenants, monthly, period, period)
    parameters: dict[str, object] = {"monthly": monthly, "first": period, "last": period}
    with database.reading() as connection:
        rows = connection.execute(SELECT_PUT, parameters)
        put = {tenant: (high << 32) + low for tenant, high, low in rows}
        parameters["tenants"] = json.dumps([tenant for tenant in put if tenant in numbers])
        for tenant, number in connection.execute(COUNT_NOT_PUT, parameters):
            put[tenant] += number
    return numbers | put


def count_in_days(
    database: Database, tenants: Iterable[int], days: Days
) -> dict[int, int] | dict[int, int | None]:
    """Return how many users were active in all of the days together.

    That is None if it is not known who they were: numbers were put, or counts were pruned.
    """
    numbers = _count_members(database, tenants, False, *days)
    parameters = {"monthly": False, "first": days.first, "last": days.last}
    with database.reading() as connection:
        unknown = {tenant for tenant, _, _ in connection.execute(SELECT_PUT, parameters)}
        kept = read_cutoffs(connection).first_period("counts", database.calendar, monthly=False)
    if days.first < kept:
        unknown = set(numbers)
    return numbers | dict.fromkeys(unknown)


def _count_members(
    database: Database, tenants: Iterable[int], monthly: bool, first: int, last: int
) -> dict[int, int]:
    active = active_members(database, monthly=monthly, first=first, last=last)
    members = BitMap64.union(BitMap64(), *active.values())
    return {
        tenant: members.range_cardinality(tenant << 32, (tenant + 1) << 32) for tenant in tenants
    }
