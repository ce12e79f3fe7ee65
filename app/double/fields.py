"""Fields of the control API and of states."""

from datetime import datetime
from typing import Any

from marshmallow import ValidationError

from ..analytics.events import Place
from ..days import MAX_TIMESTAMP, Calendar
from ..errors import TYPES
from ..storage.fixed_settings import FIXED
from ..validation.fields import Choice, Field, Id, Integer, Text, Timestamp, Uuid
from ..validation.messages import shown
from ..web import api
from .clock import ClockSetting

MAX_LATENCY = 60_000
STATUSES = (200, *sorted(TYPES.keys() - {409}))
"""The statuses of faults. 200 lets the true response pass; only the control API uses 409."""


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
                    "must be UNIX seconds, or a time with its zone such as 2026-05-19T02:22:58Z"
                )
            value = int(time.timestamp())
        return Timestamp().check(value)


class OneOrRange(Field):
    """A number of milliseconds, or a range of them as a list of minimum and maximum."""

    def __init__(self, **options: Any) -> None:
        self._number = Integer(most=MAX_LATENCY)
        one = self._number.schema
        some = {"type": "array", "items": one, "minItems": 2, "maxItems": 2}
        super().__init__({"anyOf": [one, some]}, **options)

    def check(self, value: Any) -> int | list[int]:
        if not isinstance(value, list):
            return self._number.check(value)
        if len(value) != 2:
            raise ValidationError("must be a number of milliseconds, or a list [minimum, maximum]")
        least, most = self._number.check_all(value)
        if least > most:
            raise ValidationError("must have the minimum first")
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
    """A status of the API; 200 lets the true response pass."""

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
    """A number of times, or a range of it as an object with `at_least` and `at_most`."""

    def __init__(self, **options: Any) -> None:
        self._number = Integer()
        limit = self._number.schema
        limits = {"type": "object", "properties": {"at_least": limit, "at_most": limit}}
        super().__init__({"anyOf": [limit, limits]}, **options)

    def check(self, value: Any) -> int | dict[str, int]:
        if not isinstance(value, dict):
            return self._number.check(value)
        if not value or not value.keys() <= {"at_least", "at_most"}:
            raise ValidationError("must be a number, or an object with at_least or at_most or both")
        self._number.check_all(list(value.values()))
        if value.get("at_least", 0) > value.get("at_most", MAX_TIMESTAMP):
            raise ValidationError("at_least must not be greater than at_most")
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
    """The setting of a clock, as `ClockSetting.document` returns it; loads as ClockSetting."""

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
    """Return a field for seconds to move a clock; negative ones move it back."""
    return Integer(least=-MAX_TIMESTAMP, most=MAX_TIMESTAMP, **options)


class FixedSettings(Field):
    """The settings that are fixed when a database is made; see `fixed_settings.FIXED`."""

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
                raise ValidationError(f"{shown(name)} is not known; known are {', '.join(FIXED)}")
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
