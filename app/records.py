"""Lists of records, checked by the fields of a schema without an object for each value."""

from collections.abc import Callable
from typing import Any

import marshmallow as ma
from marshmallow import ValidationError

from .body import check_count
from .fields import Field, Messages

REMEMBERED = 10_000
"""How many good texts of a field are remembered: ids of events, say, come only once."""


TOLD = 10_000
"""How many bad records of a list are told of; those behind them are not looked at."""


class RecordList(ma.fields.List[Any]):
    """A list of objects of one schema, checked without an object for each field.

    Takes schemas of required fields only: no hooks, no nested schemas.
    """

    default_error_messages = Field.default_error_messages | {"invalid": "must be a list"}

    def __init__(self, schema: type[ma.Schema], **options: Any) -> None:
        super().__init__(ma.fields.Nested(schema), **options)
        self._schema = schema
        self._fields: dict[str, Any] = schema().fields

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        check_count(value, f"{self.name}")
        try:
            return self._load_columns(value)
        except (KeyError, TypeError, ValidationError):
            return self._load_records(value)

    def _load_columns(self, value: list[Any]) -> list[Any]:
        """Return what is right in every record; what raises is told apart by `_load_records`."""
        columns = [
            field.check_all([record[name] for record in value])
            for name, field in self._fields.items()
        ]
        if set(map(len, value)) <= {len(columns)}:
            return value
        return [dict(zip(self._fields, row, strict=True)) for row in zip(*columns, strict=True)]

    def _load_records(self, value: list[Any]) -> list[Any]:
        load = record_loader(self._schema)
        records, errors = [], {}
        for index, item in enumerate(value):
            try:
                records.append(load(item))
            except ValidationError as error:
                errors[index] = error.messages
                if len(errors) == TOLD:
                    break
        if errors:
            raise ValidationError(errors)
        return records


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
