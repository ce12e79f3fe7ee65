"""The shapes of the tag `retention`."""

from typing import Any

import marshmallow as ma
from marshmallow import ValidationError, fields, validates_schema

from ..validation.fields import Day, Integer, Referer, Uuid
from ..validation.schema import Schema


class DeleteParam(Schema):
    """What is deleted is what all that is given says of it.

    A field that is not known is refused: without it, more would be deleted than is meant.
    """

    error_messages = Schema.error_messages | {"unknown": "is not known here"}

    class Meta:
        unknown = ma.RAISE

    user_id = Uuid(metadata={"description": "What one user did"})
    tenant_id = Uuid(metadata={"description": "What is counted for a tenant; not with page_url"})
    page_url = Referer(metadata={"description": "Views of a page, as page statistics show it"})
    date_from = Day(metadata={"description": "First day, inclusive"})
    date_to = Day(metadata={"description": "Last day, inclusive"})
    dry_run = fields.Boolean(
        truthy={True},
        falsy={False},
        load_default=False,
        error_messages={"invalid": "must be true or false", "null": "must not be null"},
        metadata={"description": "Change nothing, and tell what would be deleted"},
    )

    @validates_schema(skip_on_field_errors=False)
    def order(self, data: dict[str, Any], **_: object) -> None:
        if data.get("date_from", 0) > data.get("date_to", data.get("date_from", 0)):
            raise ValidationError("must not be after date_to", "date_from")


class Deletion(Schema):
    histories = Integer(required=True, metadata={"description": "Entries of histories"})
    calls = Integer(required=True, metadata={"description": "Calls and creations"})
    active_users = Integer(
        required=True,
        metadata={"description": "Users by day or month, tenant and environment"},
    )
    numbers = Integer(
        required=True, metadata={"description": "Numbers of active users that were put"}
    )
    event_ids = Integer(required=True)
    stays = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "What is not deleted, since the data do not tell it apart"},
    )
