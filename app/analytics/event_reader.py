"""Reading our own events: each is checked, and becomes an `Event` to record."""

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
    timestamp = Timestamp(metadata={"description": "Without it: now"})
    user_id = Uuid(metadata={"description": "Needed by all but create_tenant"})
    tenant_id = Uuid(metadata={"description": "Needed by create_tenant and create_tenant_user"})
    env_id = Id()
    referer = Referer()
    id = Text(metadata={"description": "The second event of an id changes nothing"})


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
