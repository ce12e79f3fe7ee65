"""The shapes of the tag `ingest`, and the reader of our own events."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from marshmallow import ValidationError, fields

from ..storage.dictionary import NO_TENANT
from ..validation.fields import Choice, Flag, Id, Integer, Referer, Text, Timestamp, Uuid
from ..validation.records import record_loader
from ..validation.schema import Schema
from . import events
from .events import LISTED, Place

NEEDS: Mapping[str, Sequence[str]] = {
    "userinfo": ("user_id",),
    "create_tenant": ("tenant_id",),
    "create_saas_user": ("user_id",),
    "create_tenant_user": ("user_id", "tenant_id"),
}


class Event(Schema):
    type = Choice(events.TYPES, required=True)
    timestamp = Timestamp(metadata={"description": "Without it: now"})
    user_id = Uuid(metadata={"description": "Needed by all but create_tenant"})
    tenant_id = Uuid(metadata={"description": "Needed by create_tenant and create_tenant_user"})
    env_id = Id()
    referer = Referer()
    id = Text(metadata={"description": "The second event of an id changes nothing"})


class EventBridgeDetail(Schema):
    """What is looked at only where the type is counted has no type here."""

    event_type = fields.String(required=True)
    event = fields.Raw(metadata={"description": "The log of the call, as JSON text"})
    trace_id = fields.Raw()


class EventBridgeEvent(Schema):
    id = fields.Raw(metadata={"description": "Delivered again, it changes nothing"})
    time = fields.Raw(metadata={"description": "As 2026-05-19T02:22:58Z"})
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
    duplicates = Integer(required=True, metadata={"description": "Records that were known"})
    ignored = Integer(required=True, metadata={"description": "Records that are not counted"})
    refused = fields.List(fields.Nested(Refusal), required=True)
    unlisted = Integer(
        metadata={"description": f"Records that were refused beside these {LISTED}, if there are"}
    )


def event_schema() -> dict[str, Any]:
    """Return the description of an event, with what each type needs."""
    variants = [
        {"properties": {"type": {"enum": [type_]}}, "required": ["type", *needed]}
        for type_, needed in NEEDS.items()
    ]
    return {"allOf": [Event, {"oneOf": variants}]}


def one_or_many(schema: object) -> dict[str, Any]:
    """Return the description of a body that is an object or a list of such objects."""
    return {"oneOf": [schema, {"type": "array", "items": schema}]}


def event_reader(
    now: Callable[[], int], needs: Mapping[str, Sequence[str]] = NEEDS
) -> Callable[[Any], events.Event]:
    """Return the reader of our own events.

    `now` gives the timestamp of one that has none, `needs` what each type must have.
    """
    load = record_loader(Event)

    def read(record: Any) -> events.Event:
        event = load(record)
        type_ = event["type"]
        for name in needs[type_]:
            if name not in event:
                raise ValidationError(f"is required where type is {type_}", name)
        timestamp = event["timestamp"] if "timestamp" in event else now()
        tenant = event.get("tenant_id", NO_TENANT)
        id_ = ("client", event["id"]) if "id" in event else None
        if type_ == "userinfo":
            env_ids = (event["env_id"],) if "env_id" in event else ()
            places = (Place(tenant, env_ids),)
            return events.Event(
                type_, timestamp, event["user_id"], places, event.get("referer"), id_
            )
        place = Place() if type_ == "create_saas_user" else Place(tenant)
        user = event.get("user_id") if type_ != "create_tenant" else None
        return events.Event(type_, timestamp, user, (place,), id=id_)

    return read
