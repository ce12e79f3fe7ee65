"""The shapes of the tag `userAnalysis`, named as in the API description."""

from typing import Any

from marshmallow import ValidationError, fields, post_load, validates_schema

from ..validation.fields import (
    Choice,
    Id,
    Integer,
    PeriodDate,
    Referer,
    Timestamp,
    Uuid,
    period_number,
)
from ..validation.schema import Schema
from ..web.record_list import RecordList


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


def date_messages(data: dict[str, Any], *names: str) -> dict[str, list[str]]:
    """Return the errors of dates by field name; each must fit `type`, if that is valid."""
    messages = {}
    for name in names:
        if name in data:
            try:
                period_number(data.get("type"), name, data[name])
            except ValidationError as error:
                messages[name] = [str(message) for message in error.messages]
    return messages


class GetActiveUsersQuery(Schema):
    """Loads `date_from` and `date_to` as numbers of days or months."""

    type = Choice(("monthly", "daily"), required=True)
    date_from = PeriodDate(required=True, metadata={"description": "First date, inclusive"})
    date_to = PeriodDate(metadata={"description": "Last date, inclusive; without it, no end"})
    tenant_id = Uuid()
    env_id = Id(in_query=True)

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def fit(self, data: dict[str, Any], original: dict[str, Any], **_: object) -> None:
        messages = date_messages(data, "date_from", "date_to")
        # Dates in the same format can be compared as texts.
        is_range = not messages and data.keys() >= {"type", "date_from", "date_to"}
        if is_range and data["date_from"] > data["date_to"]:
            messages["date_from"] = ["must not be after date_to"]
        if "env_id" in data and "tenant_id" not in original:
            messages["env_id"] = ["needs tenant_id as well"]
        if messages:
            raise ValidationError(messages)

    @post_load
    def number_dates(self, data: dict[str, Any], **_: object) -> dict[str, Any]:
        return data | {
            name: period_number(data["type"], name, data[name])
            for name in ("date_from", "date_to")
            if name in data
        }


class ActiveUserData(Schema):
    date = PeriodDate(required=True)
    tenant_id = Uuid(required=True)
    env_id = Id(required=True)
    active_users = Integer(required=True)


class ActiveUsers(Schema):
    data = fields.List(fields.Nested(ActiveUserData), required=True)


class UpdateActiveUsersParam(Schema):
    """Loads `date` as the number of a day or month."""

    type = Choice(("daily", "monthly"), required=True)
    date = PeriodDate(required=True)
    tenant_id = Uuid(required=True)
    env_id = Id(required=True)
    active_users = Integer(required=True)

    @validates_schema(skip_on_field_errors=False)
    def fit(self, data: dict[str, Any], **_: object) -> None:
        messages = date_messages(data, "date")
        if messages:
            raise ValidationError(messages)

    @post_load
    def number_date(self, data: dict[str, Any], **_: object) -> dict[str, Any]:
        return data | {"date": period_number(data["type"], "date", data["date"])}
