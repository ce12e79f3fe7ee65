"""The one place that adapts flask-smorest to the contract.

Subclasses of `Api`, `Blueprint` and `Schema`: a validation error is a 400, every error is an
`Error`, each operation names its id and scope, and a response without content has no content type.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from http import HTTPStatus
from threading import Lock
from typing import Any

import flask_smorest
import marshmallow as ma
from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from ..errors import ApiError, InvalidRequest, error_body, known_status
from ..validation.fields import Id, Uuid
from ..validation.schema import Schema
from . import request_target, trace_id
from .argument_parser import Parser
from .csv_format import CONTENT_TYPE, CSV, csv_text, wants_csv
from .early_refusal import OBJECT_BODY, too_large
from .openapi import BASE_PATH, DESCRIPTION, TITLE, Fields, Paths
from .request_body import JSON

View = Callable[..., Any]

Rows = Callable[..., Iterable[Sequence[object]]]
"""Returns the CSV rows of a response, header first, for the view's result and its arguments."""


class Error(Schema):
    """The body of every response with a status of 400 or above."""

    type = ma.fields.String(required=True, metadata={"example": "permission_denied"})
    message = ma.fields.String(required=True, metadata={"example": "the key lacks the scope write"})


class Blueprint(flask_smorest.Blueprint):
    """A group of operations under one tag."""

    ARGUMENTS_PARSER = Parser()

    reasons: Mapping[int, str] = {
        400: "A parameter or the body is invalid",
        401: "The request has no valid key",
        403: "The key lacks the scope that the operation needs",
        413: "The body is over the limit, or holds too many records",
        415: "The body's type or encoding is not supported",
        429: "Too many requests came with the key, or wrong keys from the address; retry after "
        "Retry-After seconds",
        500: "Internal Server Error",
        503: "The server cannot do this now; retry after Retry-After seconds",
    }
    """Why an operation is refused, by status."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._prepare_doc_cbks.append(self._describe_refusals)

    def operation(
        self,
        method: str,
        path: str,
        operation_id: str,
        *,
        scope: str | None,
        bulk: bool = False,
    ) -> Callable[[View], View]:
        """Register a view as an operation that needs a key with a scope; None: it needs no key.

        The body of a `bulk` operation may be as large as the setting `max_body` allows.
        """

        def decorate(view: View) -> View:
            _without_layers(view, self.doc(operationId=operation_id)(view))
            view.scope = scope  # type: ignore[attr-defined]
            view.operation_id = operation_id  # type: ignore[attr-defined]
            view.max_body = None if bulk else OBJECT_BODY  # type: ignore[attr-defined]
            self.route(path, methods=[method])(view)
            return view

        return decorate

    def _describe_refusals(
        self, doc: dict[str, Any], _: object, *, method: str, **__: object
    ) -> dict[str, Any]:
        content = {"application/json": {"schema": Error}}
        responses = doc.setdefault("responses", {})
        for status, reason in self.reasons.items():
            if status not in _BODY_STATUSES or method in ("post", "put"):
                responses[str(status)] = {"description": reason, "content": content}
        return doc

    def arguments(self, schema: type[Schema], **options: Any) -> Callable[[View], View]:
        """Pass the arguments that the schema loads to the view; all requests share one instance."""
        loading = schema()
        parse: Callable[[View], View] = super().arguments(loading, **options)

        def decorate(view: View) -> View:
            parsing = parse(view)
            if options.get("location") == "query":
                parsing.query_schema = loading  # type: ignore[attr-defined]
            else:
                parsing.content_types = (JSON,)  # type: ignore[attr-defined]
            return parsing

        return decorate

    def body(self, schemas: Mapping[str, object]) -> Callable[[View], View]:
        """Document a body that the view reads itself, with its schemas by content type."""
        content = {content_type: {"schema": schema} for content_type, schema in schemas.items()}
        document: Callable[[View], View] = self.doc(
            requestBody={"required": True, "content": content}
        )

        def decorate(view: View) -> View:
            documented = document(view)
            documented.content_types = tuple(schemas)  # type: ignore[attr-defined]
            return documented

        return decorate

    def response(
        self,
        status_code: int,
        schema: type[Schema] | None = None,
        *,
        rows: Rows | None = None,
        **options: Any,
    ) -> Callable[[View], View]:
        """Answer with what the view returns, which must already have the schema's shape.

        None becomes an empty body without a content type (contract A). With `rows`, a client that
        prefers CSV receives CSV.
        """
        described = {"description": HTTPStatus(status_code).phrase, "content_type": None, **options}
        kinds = [described]
        if rows:
            text = {"type": "string", "description": "RFC 4180, with a header"}
            kinds = [described | {"schema": text, "content_type": CSV}, described]
        if schema:
            described["schema"] = schema

        def decorate(view: View) -> View:
            @wraps(view)
            def answer(*args: Any, **parameters: Any) -> Response:
                content = view(*args, **parameters)
                if rows is None:
                    return make_answer(content, status_code)
                if wants_csv(request.environ.get("HTTP_ACCEPT")):
                    text = csv_text(rows(content, *args))
                    made = Response(text, status=status_code, content_type=CONTENT_TYPE)
                else:
                    made = make_answer(content, status_code)
                made.headers["Vary"] = "Accept"
                return made

            # flask-smorest's own decorator would store this too, but also dump through the schema.
            noted = {"response": {"responses": {status_code: kinds}}}
            answer._apidoc = getattr(view, "_apidoc", {}) | noted  # type: ignore[attr-defined]
            return answer

        return decorate


def _without_layers(view: View, documented: View) -> View:
    """Copy to a view what decorators stored for the API description, and drop their wrappers.

    Each wrapper only passes the call on, and takes a noticeable part of the time of a small
    response.
    """
    view._apidoc = documented._apidoc  # type: ignore[attr-defined]
    return view


class Api(flask_smorest.Api):
    """The API description, and the error responses, of all operations.

    The description is built on its first request, so that it does not slow the start.
    """

    ERROR_SCHEMA = Error
    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(
        self, app: Flask, base_path: str, *, config_prefix: str = "", **described: Any
    ) -> None:
        self._blueprints: list[Blueprint] = []
        self._describing = Lock()
        self._base_path = base_path
        about = {
            "version": "1.0.0",
            "openapi_version": "3.0.3",
            "flask_plugin": Paths(base_path),
            "marshmallow_plugin": Fields(),
        }
        super().__init__(app, config_prefix=config_prefix, spec_kwargs=about | described)

    def register_blueprint(self, blueprint: Blueprint, **options: Any) -> None:
        self._app.register_blueprint(blueprint, **options)
        self._blueprints.append(blueprint)

    def describe(self) -> dict[str, Any]:
        """Return the description of all operations, with a server URL for the current request."""
        with self._describing:
            if self.spec is None:
                super()._init_spec(**self._spec_options)
                self._describe_all(self.spec)
            description: dict[str, Any] = self.spec.to_dict()
        return description | {"servers": [{"url": request.script_root + self._base_path}]}

    def _describe_all(self, spec: Any) -> None:
        self.register_converter(UserIdConverter, lambda _: Uuid().schema)
        for field in (Uuid(), Id()):
            spec.components.schema(str(field.component), field.schema)
        for blueprint in self._blueprints:
            name = blueprint.name
            blueprint.register_views_in_doc(self, self._app, spec, name=name, parameters=None)
            spec.tag({"name": name, "description": blueprint.description})

    def _init_spec(self, **options: Any) -> None:
        self._spec_options = options

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Answer any exception with `Error`; those that Flask raises get a message of ours."""
        status = known_status(error.code or 500)
        message = error.description or ""
        headers: dict[str, str] = {}
        if isinstance(error, ApiError):
            headers = error.headers
        elif status == 404:
            message = "there is nothing at this path"
        elif status == 405:
            allowed = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
            message = f"{request.method} is not allowed here; allowed: {allowed}"
            headers["Allow"] = allowed
        elif status == 413:
            message = too_large(request.max_content_length or 0)
        elif status == 500:
            message = "the server failed to answer; its log has details under this trace id"
        g.message, g.violations = message, getattr(error, "violations", [])
        answer = make_answer(error_body(status, message, getattr(error, "type", None)), status)
        answer.headers.update(headers)
        return answer

    def _register_pagination_header(self) -> None:
        """Describe no pagination header, because no operation here has pagination."""


class UserIdConverter(BaseConverter):
    """A user id in a path. It may contain slashes (sent as %2F); a bad id is a 400, not a 404."""

    regex = r"[\s\S]*?"
    part_isolating = False

    def to_python(self, value: str) -> str:
        try:
            return Uuid().check(value)
        except ma.ValidationError as error:
            raise InvalidRequest(f"user_id: {error.messages[0]}") from None


_BODY_STATUSES = (413, 415)


def init_app(app: Flask) -> Api:
    """Set up the framework on an application and return its Api."""
    app.config.update(
        PROVIDE_AUTOMATIC_OPTIONS=False,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.merge_slashes = False
    app.url_map.converters["user_id"] = UserIdConverter
    trace_id.init_app(app)
    request_target.init_app(app)
    return Api(
        app,
        BASE_PATH,
        title=TITLE,
        info={"description": DESCRIPTION},
        components={"securitySchemes": {"Bearer": {"type": "http", "scheme": "bearer"}}},
        security=[{"Bearer": []}],
    )


def operation_ids() -> list[str]:
    """Return the ids of this application's operations that need a key."""
    views = current_app.view_functions.values()
    ids = (getattr(view, "operation_id", None) for view in views if getattr(view, "scope", None))
    return list(dict.fromkeys(id_ for id_ in ids if id_))


def make_answer(content: object, status: int = 200) -> Response:
    """Return a response with content as compact JSON.

    A text must already be JSON. None becomes an empty body without a content type.
    """
    if content is None:
        empty = Response(status=status)
        del empty.headers["Content-Type"]
        return empty
    text = content if isinstance(content, str) else _compact(content)
    return Response(text, status=status, mimetype="application/json")


def _compact(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
