"""The schemas of the tag `retention`."""

from typing import Any

import marshmallow as ma
from marshmallow import ValidationError, fields, validates_schema

from ..validation.fields import Day, Integer, Referer, Uuid
from ..validation.schema import Schema


class DeleteParam(Schema):
    """Selects the data to delete: those that match all given fields.

    Unknown fields are refused: to ignore a misspelled field would delete more than was intended.
    """

    error_messages = Schema.error_messages | {"unknown": "is not known here"}

    class Meta:
        unknown = ma.RAISE

    user_id = Uuid(metadata={"description": "Only the data of this user"})
    tenant_id = Uuid(
        metadata={"description": "Only the counts of this tenant; not together with page_url"}
    )
    page_url = Referer(
        metadata={"description": "Only views of this page, with the URL that page statistics show"}
    )
    date_from = Day(metadata={"description": "First day, inclusive"})
    date_to = Day(metadata={"description": "Last day, inclusive"})
    dry_run = fields.Boolean(
        truthy={True},
        falsy={False},
        load_default=False,
        error_messages={"invalid": "must be true or false", "null": "must not be null"},
        metadata={"description": "Change nothing; only count what would be deleted"},
    )

    @validates_schema(skip_on_field_errors=False)
    def order(self, data: dict[str, Any], **_: object) -> None:
        if "date_from" in data and data["date_from"] > data.get("date_to", data["date_from"]):
            raise ValidationError("must not be after date_to", "date_from")


class Deletion(Schema):
    histories = Integer(required=True, metadata={"description": "History entries"})
    calls = Integer(required=True, metadata={"description": "Calls and creations"})
    active_users = Integer(
        required=True,
        metadata={"description": "Active users, by day or month, tenant and environment"},
    )
    numbers = Integer(
        required=True,
        metadata={"description": "Numbers of active users that were stored directly"},
    )
    event_ids = Integer(required=True)
    stays = fields.List(
        fields.String(),
        required=True,
        metadata={
            "description": "Descriptions of matching data that cannot be separated and were kept"
        },
    )
