"""The shapes of the tag `ingest`."""

from typing import Any

from marshmallow import fields

from ..analytics.event_reader import NEEDS, Event
from ..analytics.events import LISTED
from ..validation.fields import Flag, Integer
from ..validation.schema import Schema


class EventBridgeDetail(Schema):
    """Only events of a counted type are read further, so the other fields may hold any value."""

    event_type = fields.String(required=True)
    event = fields.Raw(metadata={"description": "The log of the call, as JSON text"})
    trace_id = fields.Raw()


class EventBridgeEvent(Schema):
    id = fields.Raw(metadata={"description": "A second event with this id is a duplicate"})
    time = fields.Raw(metadata={"description": "A time such as 2026-05-19T02:22:58Z"})
    detail = fields.Nested(EventBridgeDetail, required=True)


class ApilogPage(Schema):
    api_logs = fields.List(fields.Dict(), required=True)
    cursor = fields.Raw()


class IngestQuery(Schema):
    all_or_nothing = Flag(
        load_default=False, metadata={"description": "Store nothing if anything is refused"}
    )


class Refusal(Schema):
    index = Integer(required=True, metadata={"description": "Position of the record, from 0"})
    message = fields.String(required=True)


class IngestReport(Schema):
    accepted = Integer(required=True, metadata={"description": "Records that were stored"})
    duplicates = Integer(required=True, metadata={"description": "Records that were stored before"})
    ignored = Integer(required=True, metadata={"description": "Records that are not counted"})
    refused = fields.List(fields.Nested(Refusal), required=True)
    unlisted = Integer(
        metadata={"description": f"Refused records beyond the {LISTED} listed, if there are any"}
    )


def event_schema() -> dict[str, Any]:
    """Return the JSON schema of an event, with the fields that each type requires."""
    variants = [
        {"properties": {"type": {"enum": [type_]}}, "required": ["type", *needed]}
        for type_, needed in NEEDS.items()
    ]
    return {"allOf": [Event, {"oneOf": variants}]}


def one_or_many(schema: object) -> dict[str, Any]:
    """Return the JSON schema of a body that is an object or a list of such objects."""
    return {"oneOf": [schema, {"type": "array", "items": schema}]}
