"""The responses of the tag `metrics` as rows of CSV, the names of the columns first."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .schemas import PageStatistic


def metrics_rows(answer: Mapping[str, Any], query: Mapping[str, Any]) -> Iterator[Sequence[object]]:
    """Yield the CSV rows of `AggregatedMetrics`; for tenant users, they are by tenant."""
    if query["metrics_type"] == "create_tenant_user":
        yield from user_info_rows(answer, query)
    else:
        yield "date", "count"
        yield from ((metric["date"], metric["count"]) for metric in answer["metrics"])


def user_info_rows(answer: Mapping[str, Any], _: object) -> Iterator[Sequence[object]]:
    """Yield the CSV rows of `AggregatedUserInfoMetrics`."""
    yield "date", "tenant_id", "count"
    for metric in answer["metrics"]:
        yield from ((metric["date"], *counted) for counted in metric["details"].items())


def page_statistics_rows(answer: Mapping[str, Any], _: object) -> Iterator[Sequence[object]]:
    """Yield the CSV rows of `PageStatistics`: the pages, without the totals."""
    yield tuple(PageStatistic().fields)
    yield from (tuple(page.values()) for page in answer["page_statistics"])
