"""The data of the tag `metrics`."""

import json
from itertools import groupby
from operator import itemgetter
from typing import Any

from ..database import Database
from ..days import format_day

SELECT_COUNTS = """
select call_count.day, tenant.name, call_count.count
from call_count
join tenant on tenant.id = call_count.tenant_id
where call_count.type = :type
  and call_count.day between :start_date and :end_date
  and (:tenant_ids is null or tenant.name in (select value from json_each(:tenant_ids)))
order by call_count.day, tenant.name
"""

SELECT_TOTALS = """
select count(*), count(distinct user_id)
from behavior
where day between :start_day and :end_day
  and timestamp between :start and :end
"""

SELECT_PAGES = """
select case when :keep_query then referer.url else page.url end as url,
       count(*) as views,
       count(distinct behavior.user_id)
from behavior
join referer on referer.id = behavior.referer_id
join page on page.id = referer.page_id
where behavior.day between :start_day and :end_day
  and behavior.timestamp between :start and :end
group by case when :keep_query then referer.id else page.id end
order by views desc, url
"""


def get_aggregated_metrics(
    database: Database,
    *,
    metrics_type: str,
    start_date: int,
    end_date: int,
    tenant_ids: list[str] | None = None,
) -> dict[str, Any]:
    """Return how much was created by day (contract B.5). Shape: `AggregatedMetrics`."""
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


def get_page_statistics(
    database: Database, *, start_timestamp: int, end_timestamp: int, keep_query: bool
) -> dict[str, Any]:
    """Return views and distinct users by page from one second to another (contract B.6).

    Shape: `PageStatistics`. Both ends are inclusive; the users are counted exactly.
    """
    calendar = database.calendar
    parameters = {
        "start": start_timestamp,
        "end": end_timestamp,
        "start_day": calendar.day_of(start_timestamp),
        "end_day": calendar.day_of(end_timestamp),
        "keep_query": keep_query,
    }
    with database.reading() as connection:
        views, users = connection.execute(SELECT_TOTALS, parameters).fetchone()
        pages = connection.execute(SELECT_PAGES, parameters).fetchall()
    return {
        "start_date": start_timestamp,
        "end_date": end_timestamp,
        "total_page_views": views,
        "total_unique_users": users,
        "page_statistics": [
            {"page_url": url, "total_views": views, "unique_users": users}
            for url, views, users in pages
        ],
    }


def _daily_counts(
    database: Database, type_: str, start_date: int, end_date: int, tenant_ids: list[str] | None
) -> list[tuple[int, dict[str, int]]]:
    """Return the days that have calls of a type, each with its counts by tenant."""
    parameters = {
        "type": type_,
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
