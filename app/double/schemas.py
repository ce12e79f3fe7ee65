"""The shapes of the control API."""

import re
from datetime import datetime
from typing import Any

from marshmallow import RAISE, ValidationError, fields, post_load, validates_schema

from .. import api
from ..auth.keys import SCOPES
from ..days import MAX_TIMESTAMP, Calendar
from ..errors import TYPES, InvalidRequest
from ..fields import Choice, Field, Id, Integer, Text, Timestamp, Uuid, describe_messages
from ..ingest.events import Place
from ..migrations import FIXED
from .clock import ClockSetting
from .faults import CUT, RESET, RESET_AFTER

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""What namespaces and snapshots can be called."""

MAX_LATENCY = 60_000
STATUSES = (200, *sorted(TYPES.keys() - {409}))
"""What faults answer with; 409 is the control API's own, and 200 the true answer."""


class Schema(api.Schema):
    """Base of the control API's schemas: a field that is not known is a slip, and is refused."""

    error_messages = {"unknown": "is not known here"}

    class Meta:
        unknown = RAISE


class Instant(Field):
    """A time, in UNIX seconds or as text such as 2026-05-19T02:22:58Z; loads as UNIX seconds."""

    def __init__(self, **options: Any) -> None:
        text = {"type": "string", "format": "date-time"}
        super().__init__({"anyOf": [Timestamp().schema, text]}, **options)

    def check(self, value: Any) -> int:
        if isinstance(value, str):
            try:
                time = datetime.fromisoformat(value)
            except ValueError:
                time = None
            if time is None or time.tzinfo is None:
                raise ValidationError(
                    "must be UNIX seconds, or a time with its zone as 2026-05-19T02:22:58Z"
                )
            value = int(time.timestamp())
        return Timestamp().check(value)


class OneOrRange(Field):
    """A number of milliseconds, or the least and the most of them."""

    def __init__(self, **options: Any) -> None:
        self._number = Integer(most=MAX_LATENCY)
        one = self._number.schema
        some = {"type": "array", "items": one, "minItems": 2, "maxItems": 2}
        super().__init__({"anyOf": [one, some]}, **options)

    def check(self, value: Any) -> int | list[int]:
        if not isinstance(value, list):
            return self._number.check(value)
        if len(value) != 2:
            raise ValidationError("must be a number of milliseconds, or the least and the most")
        least, most = self._number.check_all(value)
        if least > most:
            raise ValidationError("must have the least number first")
        return [least, most]


class Statuses(Field):
    """A list of statuses."""

    def __init__(self, **options: Any) -> None:
        one = {"type": "integer", "enum": list(STATUSES)}
        super().__init__({"type": "array", "items": one, "minItems": 1}, **options)

    def check(self, value: Any) -> list[int]:
        if not isinstance(value, list) or not value:
            raise ValidationError("must be a list of statuses such as [429, 429, 200]")
        return [Status().check(status) for status in value]


class Status(Field):
    """A status that the API can answer with; 200 is the true answer."""

    def __init__(self, **options: Any) -> None:
        super().__init__({"type": "integer", "enum": list(STATUSES)}, **options)

    def check(self, value: Any) -> int:
        if type(value) is not int or value not in STATUSES:
            raise ValidationError(f"must be one of {', '.join(map(str, STATUSES))}")
        return value


class Probability(Field):
    """A number from 0 to 1."""

    def __init__(self, **options: Any) -> None:
        super().__init__({"type": "number", "minimum": 0, "maximum": 1}, **options)

    def check(self, value: Any) -> float:
        if type(value) not in (int, float) or not 0 <= value <= 1:
            raise ValidationError("must be a number from 0 to 1")
        return float(value)


class Operation(Field):
    """The id of an operation of the API."""

    def __init__(self, **options: Any) -> None:
        super().__init__({"type": "string"}, **options)

    def check(self, value: Any) -> str:
        known = api.operation_ids()
        if value not in known:
            raise ValidationError(f"must be one of {', '.join(known)}")
        return str(value)


class Times(Field):
    """A number of times, or the least and the most of it as `at_least` and `at_most`."""

    def __init__(self, **options: Any) -> None:
        self._number = Integer()
        limit = self._number.schema
        limits = {"type": "object", "properties": {"at_least": limit, "at_most": limit}}
        super().__init__({"anyOf": [limit, limits]}, **options)

    def check(self, value: Any) -> int | dict[str, int]:
        if not isinstance(value, dict):
            return self._number.check(value)
        if not value or not value.keys() <= {"at_least", "at_most"}:
            raise ValidationError("must be a number, or an object of at_least and at_most")
        self._number.check_all(list(value.values()))
        if value.get("at_least", 0) > value.get("at_most", MAX_TIMESTAMP):
            raise ValidationError("at_least must not be over at_most")
        return value


class Places(Field):
    """The tenants of an event, each with its environments."""

    def __init__(self, **options: Any) -> None:
        super().__init__({"type": "array", "items": {"type": "object"}}, **options)

    def check(self, value: Any) -> tuple[Place, ...]:
        if not isinstance(value, list) or not value:
            raise ValidationError("must be a list of objects with tenant_id and env_ids")
        return tuple(self._place(place) for place in value)

    def _place(self, place: Any) -> Place:
        if not isinstance(place, dict) or place.keys() != {"tenant_id", "env_ids"}:
            raise ValidationError("must be a list of objects with tenant_id and env_ids")
        if not isinstance(place["env_ids"], list):
            raise ValidationError("env_ids must be a list")
        env_ids = tuple(Id().check(env_id) for env_id in place["env_ids"])
        return Place(Uuid().check(place["tenant_id"]), env_ids)


class ClockField(Field):
    """Where a clock stands, as `ClockSetting.document` shows it; loads as ClockSetting."""

    MODES = {"real": None, "frozen": "at", "offset": "offset"}

    def __init__(self, **options: Any) -> None:
        schema = {
            "type": "object",
            "properties": {
                "mode": {"type": "string", "enum": list(self.MODES)},
                "at": Instant().schema,
                "offset": {"type": "integer"},
            },
            "required": ["mode"],
        }
        super().__init__(schema, **options)

    def check(self, value: Any) -> ClockSetting:
        expected = ", or ".join(
            f'{{"mode": "{mode}"' + (f', "{name}": …}}' if name else "}")
            for mode, name in self.MODES.items()
        )
        mode = value.get("mode") if isinstance(value, dict) else None
        if not isinstance(mode, str) or mode not in self.MODES:
            raise ValidationError(f"must be {expected}")
        name = self.MODES[mode]
        if value.keys() != {"mode", name} - {None}:
            raise ValidationError(f"must be {expected}")
        if name == "at":
            return ClockSetting(at=Instant().check(value["at"]))
        if name == "offset":
            return ClockSetting(offset=seconds_field().check(value["offset"]))
        return ClockSetting()


def seconds_field(**options: Any) -> Integer:
    """Return a field of seconds that a clock is moved by, either way."""
    return Integer(least=-MAX_TIMESTAMP, most=MAX_TIMESTAMP, **options)


class FixedSettings(Field):
    """The settings that are fixed when a database is made; see `migrations.FIXED`."""

    def __init__(self, **options: Any) -> None:
        switch = Choice(("on", "off"))
        self._fields = {name: Zone() if name == "time_zone" else switch for name in FIXED}
        properties = {name: field.schema for name, field in self._fields.items()}
        super().__init__({"type": "object", "properties": properties}, **options)

    def check(self, value: Any) -> dict[str, str]:
        if not isinstance(value, dict):
            raise ValidationError("must be an object")
        for name, given in value.items():
            if name not in self._fields:
                raise ValidationError(f"{name} is not known; known are {', '.join(FIXED)}")
            try:
                self._fields[name].check(given)
            except ValidationError as error:
                raise ValidationError(f"{name}: {error.messages[0]}") from None
        return value


class Zone(Text):
    """A time zone by its IANA name."""

    def check(self, value: Any) -> str:
        try:
            return Calendar(super().check(value)).zone
        except ValueError as error:
            raise ValidationError(str(error)) from None


class KeptEvent(api.Schema):
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


def load(schema: type[api.Schema], document: Any, place: str = "") -> dict[str, Any]:
    """Return what a schema makes of a document. Raises InvalidRequest that names the place."""
    try:
        loaded: dict[str, Any] = schema().load(document)
    except ValidationError as error:
        raise InvalidRequest(*describe_messages(error.messages, place)) from None
    return loaded


def is_name(text: str) -> bool:
    """Tell whether a namespace or a snapshot can have this name."""
    return re.fullmatch(NAME, text) is not None
