"""A schema field for long lists of records."""

from typing import Any

import marshmallow as ma
from marshmallow import ValidationError

from ..validation.fields import Field
from ..validation.records import TOLD, record_loader
from .request_body import check_count


class RecordList(ma.fields.List[Any]):
    """A list of objects of one schema, checked by columns, which is faster than marshmallow.

    The schema may only have required fields of `validation.fields`: no hooks, no nested schemas.
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
        """Return the records if all are valid; if this raises, `_load_records` finds the errors."""
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
