"""Who was active in a range of days or months, in a tenant and an environment or in all.

This module loads bitmaps, so it is imported when the first query needs it.
"""

import json
from itertools import islice
from typing import NamedTuple

from pyroaring import BitMap, BitMap64

from ..storage.cutoffs import read_cutoffs
from ..storage.database import Database
from ..storage.dictionary import NO_ONE, find_tenant
from ..summaries.pages.summary import users_in
from ..summaries.periods.reading import active_members, active_users
from .selection import Days, Scope

PAYS = 10
"""How many rows of a tenant can be read in the time that one tenant takes in a summary of all."""

# The largest id approximates the number of tenants, which SQLite could count only by reading all.
COUNT_ROWS = """
select coalesce(sum(active_users.computed), 0), (select max(id) from tenant)
from json_each(:periods) as wanted
cross join active_users
  on active_users.monthly = :monthly
  and active_users.period = wanted.value
  and active_users.tenant_id = :tenant
  and active_users.env_id between coalesce(:env_id, 0) and coalesce(:env_id, 9223372036854775807)
"""

# One index seek per period, and one JSON text for its rows.
SELECT_USERS = """
select wanted.value, (
  select json_group_array(user_id)
  from active_user
  where monthly = :monthly
    and period = wanted.value
    and tenant_id = :tenant
    and env_id between coalesce(:env_id, 0) and coalesce(:env_id, 9223372036854775807)
)
from json_each(:periods) as wanted
"""

# Summed in two halves, since the sum may exceed an integer of SQLite.
SELECT_PUT = """
select period, sum(put >> 32), sum(put & 0xffffffff)
from active_users
where put is not null
  and monthly = :monthly
  and period between :first and :last
  and (:tenant is null or tenant_id = :tenant)
  and (:env_id is null or env_id = :env_id)
group by period
order by period
"""

SELECT_NOT_PUT = """
select active_users.period, json_group_array(active_user.user_id)
from json_each(:periods) as wanted
cross join active_users
  on active_users.monthly = :monthly
  and active_users.period = wanted.value
cross join active_user using (monthly, period, tenant_id, env_id)
where active_users.put is null
  and (:tenant is null or active_users.tenant_id = :tenant)
  and (:env_id is null or active_users.env_id = :env_id)
group by active_users.period
order by active_users.period
"""

HAS_PUT = """
select exists (
  select 1
  from active_users
  where put is not null
    and monthly = :monthly
    and period between :first and :last
    and (:tenant is null or tenant_id = :tenant)
    and (:env_id is null or env_id = :env_id)
)
"""


class ActiveUsersFilter(NamedTuple):
    """The parameters of queries: a range of periods, a tenant and an environment (None: all)."""

    monthly: bool
    first: int
    last: int
    tenant: int | None
    env_id: int | None


def filter_of(
    database: Database, monthly: bool, first: int, last: int, scope: Scope
) -> ActiveUsersFilter:
    """Return the filter for a range of days or months; an unknown tenant matches no rows."""
    tenant = None
    if scope.tenant_id is not None:
        with database.reading() as connection:
            tenant = find_tenant(connection, scope.tenant_id) or NO_ONE
    return ActiveUsersFilter(monthly, first, last, tenant, scope.env_id)


def users_by_period(database: Database, cells: ActiveUsersFilter) -> dict[int, BitMap]:
    """Return the active users of each period that has any."""
    asked = {name: value for name, value in cells._asdict().items() if name != "tenant"}
    if cells.tenant is not None:
        periods = range(cells.first, cells.last + 1)
        parameters = cells._asdict() | {"periods": json.dumps(list(periods))}
        with database.reading() as connection:
            rows, tenants = connection.execute(COUNT_ROWS, parameters).fetchone()
            if rows < PAYS * tenants * len(periods):
                texts = connection.execute(SELECT_USERS, parameters)
                return {at: users for at, text in texts if (users := BitMap(json.loads(text)))}
        members = active_members(database, **asked)
        found = {at: users_of(of_all, cells.tenant) for at, of_all in members.items()}
        return {at: users for at, users in found.items() if users}
    return active_users(database, **asked)


def users_of(members: BitMap64, tenant: int) -> BitMap:
    """Return the users of one tenant from the members of tenants, each tenant * 2^32 + user."""
    first, last = tenant << 32, (tenant + 1) << 32
    count = members.range_cardinality(first, last)
    return users_in(islice(members.iter_equal_or_larger(first), count))


def count_by_period(database: Database, cells: ActiveUsersFilter) -> dict[int, int]:
    """Return how many users were active in each period; periods without any are left out.

    For a cell (a period, tenant and environment) with a number that was put, that number counts.
    Users of the other cells of a period are counted once.
    """
    # Users are read first: pruning replaces users by numbers that were put, never the reverse.
    numbers = {at: len(users) for at, users in users_by_period(database, cells).items()}
    with database.reading() as connection:
        parameters = cells._asdict()
        rows = connection.execute(SELECT_PUT, parameters)
        put = {at: (high << 32) + low for at, high, low in rows}
        parameters["periods"] = json.dumps(list(put))
        for at, users in connection.execute(SELECT_NOT_PUT, parameters):
            put[at] += len(BitMap(json.loads(users)))
    return {at: number for at, number in (numbers | put).items() if number}


def count_once(database: Database, cells: ActiveUsersFilter) -> int | None:
    """Return how many users were active in all of the periods together.

    Returns None if it is not known who they were: numbers were put, or counts were pruned.
    """
    users = users_by_period(database, cells)
    with database.reading() as connection:
        (has_put,) = connection.execute(HAS_PUT, cells._asdict()).fetchone()
        kept = read_cutoffs(connection).first_period("counts", database.calendar, cells.monthly)
    if has_put or cells.first < kept:
        return None
    return len(BitMap.union(BitMap(), *users.values()))


def active_by_day(database: Database, days: Days, scope: Scope) -> dict[int, int]:
    """Return how many users were active on each day; days without any are left out."""
    return count_by_period(database, filter_of(database, False, *days, scope))


def active_by_month(
    database: Database, first_month: int, last_month: int, scope: Scope
) -> dict[int, int]:
    """Return how many users were active in each month; months without any are left out."""
    return count_by_period(database, filter_of(database, True, first_month, last_month, scope))


def active_in(database: Database, days: Days, scope: Scope) -> int | None:
    """Return how many users were active in all of the days together.

    Returns None if it is not known who they were: numbers were put, or counts were pruned.
    """
    return count_once(database, filter_of(database, False, *days, scope))
