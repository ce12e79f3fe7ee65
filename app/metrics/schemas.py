"""The shapes of the tag `metrics`, named as in the API description."""

from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length

from ..validation.fields import Choice, Day, Integer, Referer, Text, Timestamp
from ..validation.schema import Schema

KEPT_HEADERS = {
    "Analysis-Exact-Since": {
        "description": "Histories before this timestamp were pruned: there, only whole hours are "
        "counted, each in the range that contains its first second",
        "schema": {"type": "integer"},
    },
    "Analysis-Kept-Since": {
        "description": "Page statistics before this timestamp were pruned and are not counted",
        "schema": {"type": "integer"},
    },
}
"""Headers of a response that lacks pruned data, by name; a complete response has none of them."""

MAX_TENANT_IDS = 10_000
"""How many tenants a query may name; with UUIDs, a URL has no room for so many."""

CREATIONS = ("create_tenant", "create_saas_user", "create_tenant_user")


def check_order(data: dict[str, Any], first: str, last: str) -> None:
    """Raise ValidationError if both values are present and the first is after the last."""
    if first in data and last in data and data[first] > data[last]:
        raise ValidationError(f"must not be after {last}", first)


class RangeQuery(Schema):
    start_date = Day(required=True, metadata={"description": "First day, inclusive"})
    end_date = Day(required=True, metadata={"description": "Last day, inclusive"})
    tenant_ids = fields.List(
        Text(),
        validate=Length(max=MAX_TENANT_IDS, error="must be at most {max} values"),
        metadata={"description": "Count these tenants only"},
    )

    @validates_schema(skip_on_field_errors=False)
    def order(self, data: dict[str, Any], **_: object) -> None:
        check_order(data, "start_date", "end_date")


class GetAggregatedMetricsQuery(RangeQuery):
    metrics_type = Choice(CREATIONS, required=True)


class DailyMetric(Schema):
    date = Day(required=True)
    count = Integer(required=True)
    details = fields.Dict(keys=fields.String(), values=Integer())


class AggregatedMetrics(Schema):
    metrics = fields.List(fields.Nested(DailyMetric), required=True)


class DailyUserInfoMetric(Schema):
    date = Day(required=True)
    details = fields.Dict(keys=fields.String(), values=Integer(), required=True)


class AggregatedUserInfoMetrics(Schema):
    metrics = fields.List(fields.Nested(DailyUserInfoMetric), required=True)


class GetPageStatisticsQuery(Schema):
    start_timestamp = Timestamp(
        in_query=True, required=True, metadata={"description": "First second, inclusive"}
    )
    end_timestamp = Timestamp(
        in_query=True, required=True, metadata={"description": "Last second, inclusive"}
    )
    limit = Integer(
        least=1, in_query=True, metadata={"description": "Show the most viewed pages only"}
    )

    @validates_schema(skip_on_field_errors=False)
    def order(self, data: dict[str, Any], **_: object) -> None:
        check_order(data, "start_timestamp", "end_timestamp")


class PageStatistic(Schema):
    page_url = Referer(required=True)
    total_views = Integer(required=True)
    unique_users = Integer(required=True)


class PageStatistics(Schema):
    start_date = Timestamp(required=True)
    end_date = Timestamp(required=True)
    total_page_views = Integer(required=True)
    total_unique_users = Integer(required=True)
    page_statistics = fields.List(fields.Nested(PageStatistic), required=True)
