"""Reading events in our own format: each is checked and becomes an `Event` to record."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from marshmallow import ValidationError

from ..storage.dictionary import NO_TENANT
from ..validation.fields import Choice, Id, Referer, Text, Timestamp, Uuid
from ..validation.records import record_loader
from ..validation.schema import Schema
from . import events
from .events import Place

NEEDS: Mapping[str, Sequence[str]] = {
    "userinfo": ("user_id",),
    "create_tenant": ("tenant_id",),
    "create_saas_user": ("user_id",),
    "create_tenant_user": ("user_id", "tenant_id"),
}


class Event(Schema):
    type = Choice(events.TYPES, required=True)
    timestamp = Timestamp(metadata={"description": "Default: now"})
    user_id = Uuid(metadata={"description": "Required for all types except create_tenant"})
    tenant_id = Uuid(metadata={"description": "Required for create_tenant and create_tenant_user"})
    env_id = Id()
    referer = Referer()
    id = Text(metadata={"description": "A second event with the same id changes nothing"})


def event_reader(
    now: Callable[[], int], needs: Mapping[str, Sequence[str]] = NEEDS
) -> Callable[[Any], events.Event]:
    """Return a reader of events in our own format.

    `now` returns the timestamp for an event without one; `needs` names the fields that are required
    for each type.
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
