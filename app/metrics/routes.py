"""The operations of the tag `metrics`."""

from typing import Any

from flask import Response, after_this_request

from ..analytics import calls, page_statistics
from ..storage.cutoffs import cutoffs_of
from ..web.api import Blueprint
from ..web.context import current_database
from . import csv_rows, schemas

blueprint = Blueprint("metrics", __name__, description="Metrics Analysis")


@blueprint.operation("GET", "/metrics/aggregated", "GetAggregatedMetrics", scope="read")
@blueprint.arguments(schemas.GetAggregatedMetricsQuery, location="query")
@blueprint.response(200, schemas.AggregatedMetrics, rows=csv_rows.metrics_rows)
def get_aggregated_metrics(query: dict[str, Any]) -> dict[str, Any]:
    """Get the tenants, SaaS users or tenant users created by day"""
    return calls.get_aggregated_metrics(current_database(), **query)


@blueprint.operation("GET", "/metrics/page-statistics", "GetPageStatistics", scope="read")
@blueprint.arguments(schemas.GetPageStatisticsQuery, location="query")
@blueprint.response(
    200, schemas.PageStatistics, rows=csv_rows.page_statistics_rows, headers=schemas.KEPT_HEADERS
)
def get_page_statistics(query: dict[str, Any]) -> dict[str, Any]:
    """Get views and unique users by page"""
    _tell_what_is_kept(query["start_timestamp"])
    return page_statistics.get_page_statistics(current_database(), **query)


@blueprint.operation("GET", "/userinfo/aggregated", "GetAggregatedUserInfo", scope="read")
@blueprint.arguments(schemas.RangeQuery, location="query")
@blueprint.response(200, schemas.AggregatedUserInfoMetrics, rows=csv_rows.user_info_rows)
def get_aggregated_user_info(query: dict[str, Any]) -> dict[str, Any]:
    """Get the calls of GetUserInfo by day and tenant"""
    return calls.get_aggregated_user_info(current_database(), **query)


def _tell_what_is_kept(start: int) -> None:
    """Add the `KEPT_HEADERS` to the response if data since `start` (UNIX seconds) were pruned."""
    kept = cutoffs_of(current_database())

    @after_this_request
    def tell(response: Response) -> Response:
        for name, since in zip(
            schemas.KEPT_HEADERS, (kept.histories, kept.page_statistics), strict=True
        ):
            if start < since:
                response.headers[name] = str(since)
        return response
