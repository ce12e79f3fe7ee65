"""The shapes of the control API."""

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
"""What namespaces and snapshots can be called."""


class Schema(BaseSchema):
    """Base of the control API's schemas: a field that is not known is a slip, and is refused."""

    error_messages = {"unknown": "is not known here"}

    class Meta:
        unknown = RAISE


class KeptEvent(Schema):
    """What an event of a state may have beside what events have that are fed."""

    source = Choice(("eventbridge", "apilog"), metadata={"description": "Where the id is from"})
    log_id = Uuid(metadata={"description": "The id of the same call in the Apilog API"})
    places = Places(metadata={"description": "Instead of tenant_id and env_id, where many"})


class State(Schema):
    version = Integer(least=1, most=1)
    settings = FixedSettings(metadata={"description": "Those that are not here: as started"})
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
    namespaces = Integer(required=True, metadata={"description": "How many there are"})
    auth = fields.String(required=True, metadata={"description": "any, required or strict"})


class ClockParam(Schema):
    """Loads `setting`: a function from where the clock stands to where it shall stand."""

    mode = Choice(tuple(ClockField.MODES))
    at = Instant(metadata={"description": "With mode frozen"})
    offset = seconds_field(metadata={"description": "With mode offset"})
    move = seconds_field(metadata={"description": "Instead of a mode: by how many seconds"})

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
    operation = Operation(metadata={"description": "Of which operation; or a path"})
    path = Text(most=1000, metadata={"description": "Of which path; * stands for anything"})
    times = Integer(least=1, metadata={"description": "How many requests; without it, all"})
    skip = Integer(metadata={"description": "How many requests before pass as they are"})
    status = Status()
    statuses = Statuses(metadata={"description": "One request each, in turn, instead of status"})
    probability = Probability()
    seed = Integer(metadata={"description": "Of probability and latency; the same, the same again"})
    latency_ms = OneOrRange(metadata={"description": "Before it is worked on"})
    type = Text(metadata={"description": "Of the Error, if not the usual one of the status"})
    message = Text(most=1000)
    retry_after = Integer(metadata={"description": "Seconds; 429 and 503 have 1 without it"})
    connection = Choice(
        (CUT, RESET, RESET_AFTER),
        metadata={"description": "Cut the body short; or reset it instead of, or after, the work"},
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
            raise ValidationError("stands alone: without status and times", "statuses")
        if data.get("connection") in (RESET, RESET_AFTER) and data.keys() & {"status", "statuses"}:
            raise ValidationError("a connection that is reset has no status", "connection")


class ShownFault(Fault):
    id = Integer(required=True)
    matched = Integer(required=True, metadata={"description": "Requests that it was asked about"})
    applied = Integer(required=True)


class Faults(Schema):
    faults = fields.List(fields.Nested(ShownFault), required=True)


class RequestsQuery(Schema):
    operation = Operation()
    user_id = Uuid()
    tenant_id = Uuid()
    status = Integer(in_query=True)
    since = Timestamp(in_query=True, metadata={"description": "By the double's clock, inclusive"})
    after = Integer(in_query=True, metadata={"description": "Those after this number only"})


class Request(Schema):
    number = Integer(required=True)
    at = Timestamp(required=True, metadata={"description": "By the double's clock"})
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
    dropped = Integer(required=True, metadata={"description": "Older ones that are not kept"})


class Count(Schema):
    count = Integer(required=True)


class Expected(Schema):
    """What is given must be in a request; a request may hold more."""

    operation = Operation()
    method = Text()
    path = Text(most=8192)
    parameters = fields.Dict(metadata={"description": "Of the path and query"})
    body = fields.Raw(allow_none=True)
    status = Integer(allow_none=True, metadata={"description": "null: the connection was reset"})
    times = Times(metadata={"description": "Without it: at least once"})


class KeyParam(Schema):
    name = Text(required=True)
    kind = Choice(("bearer", "signature"), load_default="bearer")
    scopes = fields.List(Choice(SCOPES), load_default=SCOPES)


class Key(Schema):
    """The token, or the three values that clients sign with, by the names of their variables."""

    token = fields.String()
    SAASUS_SAAS_ID = fields.String()
    SAASUS_API_KEY = fields.String()
    SAASUS_SECRET_KEY = fields.String()


class Namespaces(Schema):
    namespaces = fields.List(fields.String(), required=True)
    limit = Integer(required=True)


def load(schema: type[BaseSchema], document: Any, place: str = "") -> dict[str, Any]:
    """Return what a schema makes of a document. Raises InvalidRequest that names the place."""
    try:
        loaded: dict[str, Any] = schema().load(document)
    except ValidationError as error:
        raise InvalidRequest(*describe_messages(error.messages, place)) from None
    return loaded


def is_name(text: str) -> bool:
    """Return whether a namespace or a snapshot can have this name."""
    return re.fullmatch(NAME, text) is not None
