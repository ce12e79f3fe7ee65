"""Refusing requests by their headers, before their bodies are received.

For a large or announced body, the server first calls the application when only the headers have
arrived, with `BODY_PENDING` in the environment and an empty body. If the response does not depend
on the body, the application answers then. Otherwise it answers `100 Continue`, and is called again
with the body. In that case, the first call changes no count and writes no log.
"""

from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, g, request

from ..errors import PayloadTooLarge
from .argument_parser import Parser
from .request_body import check_encoding, check_type

OBJECT_BODY = 2**20
"""The most bytes of a body that holds one object."""

FORM_BODY = 2**16
"""The most bytes of a body that is a form, which clients without a key may send as well."""

BODILESS = ("GET", "HEAD")
"""Methods for which no view reads a body."""


def init_app(app: Flask) -> None:
    """Limit the size of each request body by what its view needs."""
    app.before_request(_limit)


def answer() -> Response | None:
    """Return the response to a request whose body is pending, or None if its view reads no body.

    Raises ApiError if the request is refused whatever its body is, with the checks in the same
    order as in views.
    """
    view = _view()
    if request.method in BODILESS:
        # A signature covers the body even if the view does not read it.
        return await_body() if "is_unverified" in g else None
    if schema := getattr(view, "query_schema", None):
        Parser().parse(schema, request, location="query")
    if types := getattr(view, "content_types", None):
        check_type(*types)
    check_encoding()
    return await_body()


def await_body() -> Response:
    """Return the response that asks for the body. Raises PayloadTooLarge if it is too long."""
    limit = request.max_content_length or 0
    if (request.content_length or 0) > limit:
        raise PayloadTooLarge(too_large(limit))
    return Response(status=HTTPStatus.CONTINUE)


def too_large(limit: int) -> str:
    """Return the message for a body over a limit."""
    return f"the body must not be over {limit} bytes"


def _limit() -> None:
    """Limit the body to the `max_body` of its view.

    The setting `max_body` is the limit if the view's is None, or if there is no view.
    """
    view = _view()
    if view is None or not current_app.config["LIMIT_BY_VIEW"]:
        return
    of_view = getattr(view, "max_body", FORM_BODY)
    if of_view is not None:
        request.max_content_length = min(of_view, current_app.config["MAX_CONTENT_LENGTH"])


def _view() -> Any:
    return current_app.view_functions.get(request.endpoint or "")
