"""Reading the parameters and body of a request with the schemas of its operation."""

from collections.abc import Mapping
from typing import Any, NoReturn

import marshmallow as ma
from flask import Request
from webargs.flaskparser import FlaskParser

from ..errors import InvalidRequest
from ..validation.messages import describe_messages, shown
from .query_names import named
from .request_body import read_json


class Parser(FlaskParser):
    """Reads the arguments of a request; raises one InvalidRequest with all their errors."""

    DEFAULT_VALIDATION_STATUS = 400

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        return read_json()

    def load_querystring(self, req: Request, schema: ma.Schema) -> Mapping[str, Any]:
        """Return the query parameters that are in the schema.

        A list may be given as repeated parameters, with or without brackets (see `query_names`), as
        values separated by commas, or as a mixture; any other parameter must be given once. An
        optional parameter that is empty counts as not given (contract B.10). Raises InvalidRequest.
        """
        lists = {name for name, field in schema.fields.items() if isinstance(field, ma.fields.List)}
        query = dict(req.args.lists())
        given, wrong = named(query, schema.fields, lists)
        values: dict[str, Any] = {}
        for name, found in given.items():
            # The schemas that raise for unknown names are our own, and strict.
            is_strict = schema.fields[name].required or schema.unknown == ma.RAISE
            texts = found if is_strict else [text for text in found if text]
            if not texts:
                continue
            if name in lists:
                values[name] = [part for text in texts for part in text.split(",")]
            else:
                values[name] = texts[0]
                if len(texts) > 1:
                    wrong.append(f"{name}: must be given once")
        if schema.unknown == ma.RAISE:
            wrong += (
                f"{shown(name)}: is not known here"
                for name in req.args
                if name not in schema.fields
            )
        if wrong:
            # Also report the errors that the schema finds.
            raise InvalidRequest(*wrong, *describe_messages(schema.validate(values)))
        return values

    def handle_error(self, error: ma.ValidationError, *args: Any, **options: Any) -> NoReturn:
        # webargs nests the messages under the name of the location.
        messages: dict[str, Any] = error.messages_dict
        (messages,) = messages.values()
        raise InvalidRequest(*describe_messages(messages))
