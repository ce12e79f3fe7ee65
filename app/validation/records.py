"""Checking long lists of records with the fields of a schema, faster than marshmallow does."""

from collections.abc import Callable
from typing import Any

import marshmallow as ma
from marshmallow import ValidationError

from .fields import Field
from .messages import Messages

REMEMBERED = 10_000
"""How many valid texts of a field are remembered; some, such as event ids, are all different."""


TOLD = 10_000
"""How many invalid records of a list are reported; records after them are not checked."""


def record_loader(schema: type[ma.Schema]) -> Callable[[Any], dict[str, Any]]:
    """Return a function that checks one object with a schema's fields and drops unknown fields.

    It raises ValidationError with the messages by field. Use one function for the records of one
    request or file: it remembers texts that it has checked, because the same names occur often.
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
