"""The shapes of the tag `userAnalysis`, named as in the API description."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from marshmallow import ValidationError, fields, post_load

from ..api import Schema
from ..fields import (
    Choice,
    Id,
    Integer,
    PeriodDate,
    Referer,
    Timestamp,
    Uuid,
    period_number,
)
from ..records import RecordList


class UserBehaviorHistory(Schema):
    timestamp = Timestamp(required=True)
    referer = Referer(required=True)


class UpdateUserBehaviorHistoriesByDayParam(Schema):
    timestamp = Timestamp(required=True, metadata={"description": "A time in the day to replace"})
    user_id = Uuid(required=True)
    histories = RecordList(UserBehaviorHistory, required=True)


class DailyBehaviorHistory(Schema):
    behaved_at = Timestamp(required=True, metadata={"description": "The second the day begins"})
    histories = fields.List(fields.Nested(UserBehaviorHistory), required=True)


class UserBehaviorHistories(Schema):
    histories = fields.List(fields.Nested(DailyBehaviorHistory), required=True)


class GetActiveUsersQuery(Schema):
    """Loads `date_from` and `date_to` as numbers of days or months."""

    type = Choice(("monthly", "daily"), required=True)
    date_from = PeriodDate(required=True, metadata={"description": "First date, inclusive"})
    date_to = PeriodDate(metadata={"description": "Last date, inclusive; without it, no end"})
    tenant_id = Uuid()
    env_id = Id(in_query=True)

    @post_load
    def number_dates(self, data: dict[str, Any], **_: object) -> dict[str, Any]:
        for name in ("date_from", "date_to"):
            if name in data:
                data[name] = period_number(data["type"], name, data[name])
        if data["date_from"] > data.get("date_to", data["date_from"]):
            raise ValidationError("must not be after date_to", "date_from")
        if "env_id" in data and "tenant_id" not in data:
            raise ValidationError("needs tenant_id beside it", "env_id")
        return data


class ActiveUserData(Schema):
    date = PeriodDate(required=True)
    tenant_id = Uuid(required=True)
    env_id = Id(required=True)
    active_users = Integer(required=True)


class ActiveUsers(Schema):
    data = fields.List(fields.Nested(ActiveUserData), required=True)


def active_users_rows(text: str, _: object) -> Iterator[Sequence[object]]:
    """Yield the rows of the CSV of `ActiveUsers`, which comes as JSON text."""
    yield tuple(ActiveUserData().fields)
    yield from (tuple(row.values()) for row in json.loads(text)["data"])


class UpdateActiveUsersParam(Schema):
    """Loads `date` as the number of a day or month."""

    type = Choice(("daily", "monthly"), required=True)
    date = PeriodDate(required=True)
    tenant_id = Uuid(required=True)
    env_id = Id(required=True)
    active_users = Integer(required=True)

    @post_load
    def number_date(self, data: dict[str, Any], **_: object) -> dict[str, Any]:
        return data | {"date": period_number(data["type"], "date", data["date"])}
