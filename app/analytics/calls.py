"""Calls and creations by day and tenant: the data of the API tag `metrics`."""

import json
import sqlite3
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import Any

from ..days import format_day
from ..storage.database import Database
from .events import TYPE_NUMBERS, TYPES
from .selection import Days

SELECT_COUNTS = """
select call_count.day, tenant.name, call_count.count
from call_count
join tenant on tenant.id = call_count.tenant_id
where call_count.type = :type
  and call_count.day between :start_date and :end_date
  and (:tenant_ids is null or tenant.name in (select value from json_each(:tenant_ids)))
order by call_count.day, tenant.name
"""

# Summed in two halves, since the sum may exceed an integer of SQLite.
SELECT_CALLS = """
select type, day, sum(count >> 32), sum(count & 0xffffffff)
from call_count
where type in (select value from json_each(:types))
  and day between :first and :last
group by type, day
order by type, day
"""

# One index seek per type and day, without reading the rows of other tenants.
SELECT_CALLS_OF_TENANT = """
select call_count.type, call_count.day, 0, call_count.count
from json_each(:types) as types
cross join json_each(:days) as days
cross join call_count
  on call_count.type = types.value
  and call_count.day = days.value
  and call_count.tenant_id = (select id from tenant where name = :tenant_id)
order by call_count.type, call_count.day
"""

# Type 0 is userinfo.
SELECT_CALLS_BY_TENANT = """
select tenant_id, sum(count >> 32), sum(count & 0xffffffff)
from call_count
where type = 0 and day between :first and :last
  and (:tenants is null or tenant_id in (select value from json_each(:tenants)))
group by tenant_id
order by tenant_id
"""


def get_aggregated_metrics(
    database: Database,
    *,
    metrics_type: str,
    start_date: int,
    end_date: int,
    tenant_ids: list[str] | None = None,
) -> dict[str, Any]:
    """Return how many creations there were by day (contract B.5). Shape: `AggregatedMetrics`."""
    if metrics_type == "create_saas_user":
        tenant_ids = None
    metrics = []
    for day, details in _daily_counts(database, metrics_type, start_date, end_date, tenant_ids):
        metric: dict[str, Any] = {"date": format_day(day), "count": sum(details.values())}
        if metrics_type == "create_tenant_user":
            metric["details"] = details
        metrics.append(metric)
    return {"metrics": metrics}


def get_aggregated_user_info(
    database: Database, *, start_date: int, end_date: int, tenant_ids: list[str] | None = None
) -> dict[str, Any]:
    """Return the calls of GetUserInfo by day and tenant (contract B.5).

    Shape: `AggregatedUserInfoMetrics`.
    """
    counts = _daily_counts(database, "userinfo", start_date, end_date, tenant_ids)
    return {"metrics": [{"date": format_day(day), "details": details} for day, details in counts]}


def count_calls(
    database: Database, first: int, last: int, tenant_id: str | None = None
) -> dict[str, dict[int, int]]:
    """Return how many calls there were by type and day, from one day to another.

    With a tenant, `create_saas_user` is left out, since it has no tenant.
    """
    counts: dict[str, dict[int, int]] = {type_: {} for type_ in TYPES}
    select = SELECT_CALLS
    if tenant_id is not None:
        del counts["create_saas_user"]
        select = SELECT_CALLS_OF_TENANT
    parameters = {
        "types": json.dumps([TYPE_NUMBERS[type_] for type_ in counts]),
        "first": first,
        "last": last,
        "days": json.dumps(list(range(first, last + 1))),
        "tenant_id": tenant_id,
    }
    with database.reading() as connection:
        for type_, day, high, low in connection.execute(select, parameters):
            counts[TYPES[type_]][day] = (high << 32) + low
    return counts


def count_calls_by_tenant(
    connection: sqlite3.Connection, first: int, last: int, tenants: Iterable[int] | None = None
) -> dict[int, int]:
    """Return how many calls of GetUserInfo there were by tenant, from one day to another.

    If `tenants` are given, only these are counted.
    """
    wanted = None if tenants is None else json.dumps(list(tenants))
    parameters = {"first": first, "last": last, "tenants": wanted}
    rows = connection.execute(SELECT_CALLS_BY_TENANT, parameters)
    return {tenant: (high << 32) + low for tenant, high, low in rows}


def _daily_counts(
    database: Database, type_: str, start_date: int, end_date: int, tenant_ids: list[str] | None
) -> list[tuple[int, dict[str, int]]]:
    """Return the days that have calls of a type, each with its counts by tenant."""
    parameters = {
        "type": TYPE_NUMBERS[type_],
        "start_date": start_date,
        "end_date": end_date,
        "tenant_ids": None if tenant_ids is None else json.dumps(tenant_ids),
    }
    with database.reading() as connection:
        rows = connection.execute(SELECT_COUNTS, parameters).fetchall()
    return [
        (day, {tenant: count for _, tenant, count in counts})
        for day, counts in groupby(rows, key=itemgetter(0))
    ]


def calls_by_day(
    database: Database, days: Days, tenant_id: str | None = None
) -> dict[str, dict[int, int]]:
    """Return by type how many calls there were on each day; days without any are left out.

    With a tenant, `create_saas_user` is left out, since it has no tenant.
    """
    return count_calls(database, *days, tenant_id)
