"""The schemas of the control API."""

import re
from typing import Any

from marshmallow import RAISE, ValidationError, fields, post_load, validates_schema

from ..auth.keys import SCOPES
from ..errors import InvalidRequest
from ..validation.fields import Choice, Integer, Text, Timestamp, Uuid
from ..validation.messages import describe_messages
from ..validation.schema import Schema as BaseSchema
from .faults import CUT, RESET, RESET_AFTER
from .fields import (
    ClockField,
    FixedSettings,
    Instant,
    OneOrRange,
    Operation,
    Places,
    Probability,
    Status,
    Statuses,
    Times,
    seconds_field,
)

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""The pattern for names of namespaces and snapshots."""


class Schema(BaseSchema):
    """Base of the schemas of the control API: it refuses unknown fields, which are mistakes."""

    error_messages = {"unknown": "is not known here"}

    class Meta:
        unknown = RAISE


class KeptEvent(Schema):
    """Fields that an event of a state may have in addition to those of a fed event."""

    source = Choice(
        ("eventbridge", "apilog"), metadata={"description": "The source that assigned the id"}
    )
    log_id = Uuid(metadata={"description": "The id of the same call in the Apilog API"})
    places = Places(
        metadata={"description": "Instead of tenant_id and env_id, if there are several"}
    )


class State(Schema):
    version = Integer(least=1, most=1)
    settings = FixedSettings(
        metadata={"description": "Missing settings are those with which the double was started"}
    )
    clock = ClockField()
    events = fields.List(
        fields.Raw(), metadata={"description": "As POST /ingest/events takes them, oldest first"}
    )
    histories = fields.List(
        fields.Raw(), metadata={"description": "As PUT /user-behavior-day takes them"}
    )
    active_users = fields.List(
        fields.Raw(), metadata={"description": "As PUT /active-users takes them"}
    )


class Health(Schema):
    status = fields.String(required=True)
    version = fields.String(required=True)
    namespaces = Integer(required=True, metadata={"description": "The number of namespaces"})
    auth = fields.String(required=True, metadata={"description": "any, required or strict"})


class ClockParam(Schema):
    """Loads as `setting`: a function from the current to the new setting of the clock."""

    mode = Choice(tuple(ClockField.MODES))
    at = Instant(metadata={"description": "With mode frozen"})
    offset = seconds_field(metadata={"description": "With mode offset"})
    move = seconds_field(metadata={"description": "Instead of a mode: seconds to move the clock"})

    @post_load
    def choose(self, data: dict[str, Any], **_: object) -> dict[str, Any]:
        if data.keys() == {"move"}:
            return {"setting": lambda before: before.moved(data["move"])}
        setting = ClockField().check(data)
        return {"setting": lambda _: setting}


class Clock(Schema):
    mode = fields.String(required=True)
    at = Timestamp()
    offset = Integer()
    now = Timestamp(required=True)


class Fault(Schema):
    operation = Operation(metadata={"description": "The operation to match, instead of a path"})
    path = Text(most=1000, metadata={"description": "The path to match; * matches any text"})
    times = Integer(
        least=1, metadata={"description": "To how many requests it is applied; default: all"}
    )
    skip = Integer(metadata={"description": "How many matching requests are left alone first"})
    status = Status()
    statuses = Statuses(
        metadata={"description": "Instead of status: one status for each request, in turn"}
    )
    probability = Probability()
    seed = Integer(
        metadata={"description": "Makes probability and latency repeat: same seed, same results"}
    )
    latency_ms = OneOrRange(metadata={"description": "The delay before the request is processed"})
    type = Text(metadata={"description": "The type of the Error; default: that of the status"})
    message = Text(most=1000)
    retry_after = Integer(metadata={"description": "Seconds; default: 1 for 429 and 503"})
    connection = Choice(
        (CUT, RESET, RESET_AFTER),
        metadata={
            "description": "cut: send half of the body; reset: reset the connection without "
            "processing the request; reset_after: reset it after processing"
        },
    )

    @validates_schema
    def make_sense(self, data: dict[str, Any], **_: object) -> None:
        if ("operation" in data) == ("path" in data):
            raise ValidationError("either operation or path must be given")
        if not data.keys() & {"status", "statuses", "latency_ms", "connection"}:
            raise ValidationError(
                "at least one of status, statuses, latency_ms and connection must be given"
            )
        if "statuses" in data and data.keys() & {"status", "times"}:
            raise ValidationError("must not be given with status or times", "statuses")
        if data.get("connection") in (RESET, RESET_AFTER) and data.keys() & {"status", "statuses"}:
            raise ValidationError("a connection that is reset has no status", "connection")


class ShownFault(Fault):
    id = Integer(required=True)
    matched = Integer(required=True, metadata={"description": "The number of matching requests"})
    applied = Integer(required=True)


class Faults(Schema):
    faults = fields.List(fields.Nested(ShownFault), required=True)


class RequestsQuery(Schema):
    operation = Operation()
    user_id = Uuid()
    tenant_id = Uuid()
    status = Integer(in_query=True)
    since = Timestamp(
        in_query=True,
        metadata={"description": "The earliest time, inclusive, by the double's clock"},
    )
    after = Integer(
        in_query=True, metadata={"description": "Only requests with a number above this"}
    )


class Request(Schema):
    number = Integer(required=True)
    at = Timestamp(required=True, metadata={"description": "The time by the double's clock"})
    method = fields.String(required=True)
    path = fields.String(required=True)
    operation = fields.String(required=True, allow_none=True)
    parameters = fields.Dict(required=True)
    body = fields.Raw(required=True, allow_none=True)
    status = Integer(required=True, allow_none=True)
    error = fields.String(required=True, allow_none=True)
    violations = fields.List(fields.String(), required=True)
    fault = Integer(required=True, allow_none=True)


class Requests(Schema):
    requests = fields.List(fields.Nested(Request), required=True)
    dropped = Integer(
        required=True, metadata={"description": "How many older requests are no longer kept"}
    )


class Count(Schema):
    count = Integer(required=True)


class Expected(Schema):
    """A request matches if it has all given values; it may have more."""

    operation = Operation()
    method = Text()
    path = Text(most=8192)
    parameters = fields.Dict(metadata={"description": "The path and query parameters"})
    body = fields.Raw(allow_none=True)
    status = Integer(allow_none=True, metadata={"description": "null: the connection was reset"})
    times = Times(metadata={"description": "Default: at least once"})


class KeyParam(Schema):
    name = Text(required=True)
    kind = Choice(("bearer", "signature"), load_default="bearer")
    scopes = fields.List(Choice(SCOPES), load_default=SCOPES)


class Key(Schema):
    """The token, or the three values for signing, by the names of their environment variables."""

    token = fields.String()
    SAASUS_SAAS_ID = fields.String()
    SAASUS_API_KEY = fields.String()
    SAASUS_SECRET_KEY = fields.String()


class Namespaces(Schema):
    namespaces = fields.List(fields.String(), required=True)
    limit = Integer(required=True)


def load(schema: type[BaseSchema], document: Any, place: str = "") -> dict[str, Any]:
    """Load a document with a schema. Raises InvalidRequest, which names the place of each error."""
    try:
        loaded: dict[str, Any] = schema().load(document)
    except ValidationError as error:
        raise InvalidRequest(*describe_messages(error.messages, place)) from None
    return loaded


def is_name(text: str) -> bool:
    """Return whether a text is a valid name for a namespace or a snapshot."""
    return re.fullmatch(NAME, text) is not None
