"""How the API description shows our paths and fields."""

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

Beside `Authorization: Bearer TOKEN`, requests signed as `SAASUSSIGV1` are taken, as the official
clients send them.
"""


class Paths(FlaskPlugin):
    """Shows paths below a base path, as the official description does."""

    def __init__(self, base_path: str) -> None:
        super().__init__()
        self._base_path = base_path

    def flaskpath2openapi(self, path: str) -> str:
        shown: str = FlaskPlugin.flaskpath2openapi(path)
        return shown.removeprefix(self._base_path)


class _Converter(OpenAPIConverter):
    """Shows a field by its own schema, or by a reference to its component."""

    def field2property(self, field: ma.fields.Field[Any]) -> dict[str, Any]:
        if not isinstance(field, Field):
            described: dict[str, Any] = super().field2property(field)
            return described
        if field.component:
            return {"$ref": f"#/components/schemas/{field.component}"}
        return {**field.schema, **field.metadata}


class Fields(MarshmallowPlugin):
    Converter = _Converter
