"""The base of all schemas."""

import marshmallow as ma


class Schema(ma.Schema):
    """Base of the schemas: unknown fields are ignored (contract B.9)."""

    error_messages = {"type": "must be an object"}

    class Meta:
        unknown = ma.EXCLUDE
