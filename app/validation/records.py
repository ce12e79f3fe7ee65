"""Lists of records, checked by the fields of a schema without an object for each value."""

from collections.abc import Callable
from typing import Any

import marshmallow as ma
from marshmallow import ValidationError

from .fields import Field
from .messages import Messages

REMEMBERED = 10_000
"""How many good texts of a field are remembered: ids of events, say, come only once."""


TOLD = 10_000
"""How many bad records of a list are told of; those behind them are not looked at."""


def record_loader(schema: type[ma.Schema]) -> Callable[[Any], dict[str, Any]]:
    """Return a function that checks one object by a schema's fields and drops unknown fields.

    It raises ValidationError with the messages by field. Made for the records of one call or file:
    it remembers texts that it has found good, since names come again and again.
    """
    checks = [
        (name, field.check, field.required, set[str]())
        for name, field in schema().fields.items()
        if isinstance(field, Field)
    ]

    def load(item: Any) -> dict[str, Any]:
        if type(item) is not dict:
            raise ValidationError("must be an object")
        record: dict[str, Any] = {}
        errors: Messages = {}
        for name, check, required, good in checks:
            if name in item:
                value = item[name]
                if type(value) is not str or value not in good:
                    try:
                        value = check(value)
                    except ValidationError as error:
                        errors[name] = error.messages
                        continue
                    if type(value) is str and len(good) < REMEMBERED:
                        good.add(value)
                record[name] = value
            elif required:
                errors[name] = ["is required"]
        if errors:
            raise ValidationError(errors)
        return record

    return load
