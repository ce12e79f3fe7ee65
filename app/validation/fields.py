"""Kinds of value: how each is checked, and how the API description shows it.

A field's `check` takes a value from JSON (or with `in_query` the text of a query parameter). It
returns the loaded value, or raises ValidationError with what was expected. marshmallow calls it for
single values; `RecordList` and `record_loader` call it for long lists.
"""

import re
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import marshmallow as ma
from marshmallow import ValidationError

from ..days import MAX_TIMESTAMP, MONTH_PATTERN, PERIODS, parse_day

MAX_ID_LENGTH = 128
MAX_REFERER_LENGTH = 8192
MAX_INTEGER = 2**63 - 1

# Control characters, line and paragraph separators.
UNPRINTABLE = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
# Also halves of surrogate pairs, which the patterns in the API description cannot express.
_unprintable = re.compile(f"[{UNPRINTABLE}\\ud800-\\udfff]").search

DAY_SCHEMA = {"type": "string", "format": "date"}


class Field(ma.fields.Field[Any]):
    """Base of the fields: deserializes with `check`."""

    default_error_messages = {"required": "is required", "null": "must not be null"}

    component: str | None = None
    """The schema component for this kind of value in the API description, if it has one."""

    def __init__(self, schema: dict[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.schema = schema

    @abstractmethod
    def check(self, value: Any) -> Any:
        """Return the loaded value, or raise ValidationError."""

    def check_all(self, values: list[Any]) -> list[Any]:
        """Return the loaded values of many records, or raise ValidationError or TypeError."""
        return [self.check(value) for value in values]

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> Any:
        return self.check(value)


class Text(Field):
    """Text of printable characters."""

    def __init__(self, *, least: int = 1, most: int = MAX_ID_LENGTH, **options: Any) -> None:
        self._least, self._most = least, most
        schema: dict[str, Any] = {
            "type": "string",
            "minLength": least,
            "maxLength": most,
            "pattern": f"^[^{UNPRINTABLE}]*$",
        }
        super().__init__(schema, **options)

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("must be text")
        if not self._least <= len(value) <= self._most:
            raise ValidationError(f"must be {self._least} to {self._most} characters long")
        if _unprintable(value):
            raise ValidationError("must hold printable characters only")
        return value

    def check_all(self, values: list[Any]) -> list[Any]:
        for value in set(values):
            self.check(value)
        return values


class Uuid(Text):
    """An id of a user or tenant: any text of 1 to 128 printable characters (contract B.7)."""

    component = "Uuid"


class Referer(Text):
    """The page that a user was on: a URL or a path."""

    def __init__(self, **options: Any) -> None:
        super().__init__(least=0, most=MAX_REFERER_LENGTH, **options)


class Integer(Field):
    """A whole number in a range, not given as a bool, a float or (except in a query) a text."""

    def __init__(
        self, *, least: int = 0, most: int = MAX_INTEGER, in_query: bool = False, **options: Any
    ) -> None:
        self._least, self._most, self._in_query = least, most, in_query
        schema: dict[str, Any] = {
            "type": "integer",
            "format": "int64",
            "minimum": least,
            "maximum": most,
        }
        super().__init__(schema, **options)

    def check(self, value: Any) -> int:
        if self._in_query and re.fullmatch(r"-?[0-9]{1,20}", value):
            value = int(value)
        if type(value) is int and self._least <= value <= self._most:
            return value
        raise ValidationError(self._expected(value))

    def check_all(self, values: list[Any]) -> list[Any]:
        if set(map(type, values)) == {int}:
            self.check(min(values))
            self.check(max(values))
            return values
        return super().check_all(values)

    def _expected(self, value: Any) -> str:
        if type(value) is not int:
            return "must be a whole number"
        return f"must be from {self._least} to {self._most}"


class Id(Integer):
    """The id of an environment."""

    component = "Id"


class Timestamp(Integer):
    """A time in UNIX seconds."""

    def __init__(self, **options: Any) -> None:
        super().__init__(most=MAX_TIMESTAMP, **options)

    def _expected(self, value: Any) -> str:
        if type(value) is int and 10**12 <= value < 10**13:
            return "must be in seconds: 13 digits look like milliseconds"
        return super()._expected(value)


class Choice(Field):
    """One of a few words."""

    def __init__(self, choices: tuple[str, ...], **options: Any) -> None:
        self._choices = choices
        super().__init__({"type": "string", "enum": list(choices)}, **options)

    def check(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self._choices:
            raise ValidationError(f"must be one of {', '.join(self._choices)}")
        return value


class Digest(Field):
    """Bytes written as hexadecimal digits; loads as bytes."""

    def __init__(self, size: int, **options: Any) -> None:
        self._digits = 2 * size
        super().__init__({"type": "string", "pattern": f"^[0-9a-f]{{{self._digits}}}$"}, **options)

    def check(self, value: Any) -> bytes:
        if not isinstance(value, str) or not re.fullmatch(self.schema["pattern"], value):
            raise ValidationError(f"must be {self._digits} hexadecimal digits, 0 to 9 and a to f")
        return bytes.fromhex(value)


class Flag(Field):
    """`true` or `false` in a query; loads as a bool."""

    def __init__(self, **options: Any) -> None:
        super().__init__({"type": "boolean"}, **options)

    def check(self, value: Any) -> bool:
        if value not in ("true", "false"):
            raise ValidationError("must be true or false")
        return bool(value == "true")


class Day(Field):
    """A date as YYYY-MM-DD; loads as the number of the day."""

    def __init__(self, **options: Any) -> None:
        super().__init__(DAY_SCHEMA, **options)

    def check(self, value: Any) -> int:
        return _checked(parse_day, value)


class PeriodDate(Field):
    """A date as YYYY-MM-DD or YYYY-MM, depending on the `type` next to it; loads as the text."""

    def __init__(self, **options: Any) -> None:
        month = {"type": "string", "pattern": MONTH_PATTERN}
        super().__init__({"type": "string", "anyOf": [month, DAY_SCHEMA]}, **options)

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("must be text")
        return value


def period_number(type_: str | None, name: str, text: str) -> int:
    """Return the number of the day or month in a text; if the type is None, of either.

    Raises ValidationError for the field `name`.
    """
    if type_ is None:
        for period in PERIODS.values():
            with suppress(ValueError):
                return period.parse(text)
        raise ValidationError("must be a date as YYYY-MM-DD, or a month as YYYY-MM", name)
    try:
        return PERIODS[type_].parse(text)
    except ValueError as error:
        raise ValidationError(f"{error}, since type is {type_}", name) from None


def _checked(parse: Callable[[str], int], value: Any) -> int:
    if not isinstance(value, str):
        raise ValidationError("must be text")
    try:
        return parse(value)
    except ValueError as error:
        raise ValidationError(str(error)) from None
