"""How the API description presents our paths and fields."""

from typing import Any

import marshmallow as ma
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask_smorest.spec.plugins import FlaskPlugin

from ..validation.fields import Field

BASE_PATH = "/v1/analysis"

TITLE = "SaaSus Analysis API, self-hosted"

DESCRIPTION = """\
Usage analytics of a B2B SaaS, self-hosted: the operations of the SaaSus Analysis API, and `ingest`,
which feeds them. An independent implementation, not affiliated with the makers of SaaSus Platform.

Requests with `Authorization: Bearer TOKEN` are accepted, and requests signed with `SAASUSSIGV1` as
the official clients send them.
"""


class Paths(FlaskPlugin):
    """Shows paths relative to a base path, as the official description does."""

    def __init__(self, base_path: str) -> None:
        super().__init__()
        self._base_path = base_path

    def flaskpath2openapi(self, path: str) -> str:
        shown: str = FlaskPlugin.flaskpath2openapi(path)
        return shown.removeprefix(self._base_path)


class _Converter(OpenAPIConverter):
    """Describes a field by its own schema, or by a reference to its component."""

    def field2property(self, field: ma.fields.Field[Any]) -> dict[str, Any]:
        if not isinstance(field, Field):
            described: dict[str, Any] = super().field2property(field)
            return described
        if field.component:
            return {"$ref": f"#/components/schemas/{field.component}"}
        return {**field.schema, **field.metadata}


class Fields(MarshmallowPlugin):
    Converter = _Converter
