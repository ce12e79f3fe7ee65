"""What the headers of a request decide, before its body is taken.

The server calls the application once when the headers of a request are there and its body is not,
with `BODY_PENDING` in the environment and an empty body. What the answer would be for any body is
the answer then, and all else gets `100 Continue`: the application is called again with the body.
Of a request that goes on, the first call leaves no trace, in no count and no log.
"""

from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, g, request

from ..errors import PayloadTooLarge
from .argument_parser import Parser
from .request_body import check_encoding, check_type

OBJECT_BODY = 2**20
"""The most bytes of a body that is one object."""

FORM_BODY = 2**16
"""The most bytes of a body that is a form: whoever has no key may send that, too."""

BODILESS = ("GET", "HEAD")
"""The methods whose bodies no view reads."""


def init_app(app: Flask) -> None:
    """Limit the bodies of an application, each by what it is for."""
    app.before_request(_limit)


def answer() -> Response | None:
    """Return the answer to a request whose body is pending, or None if its view does not need it.

    Raises ApiError for what is refused whatever the body, in the order in which views do.
    """
    view = _view()
    if request.method in BODILESS:
        # A signature is over the body, also over one that is not read.
        return await_body() if "is_unverified" in g else None
    if schema := getattr(view, "query_schema", None):
        Parser().parse(schema, request, location="query")
    if types := getattr(view, "content_types", None):
        check_type(*types)
    check_encoding()
    return await_body()


def await_body() -> Response:
    """Return the answer that asks for the body. Raises PayloadTooLarge if it is over the limit."""
    limit = request.max_content_length or 0
    if (request.content_length or 0) > limit:
        raise PayloadTooLarge(too_large(limit))
    return Response(status=HTTPStatus.CONTINUE)


def too_large(limit: int) -> str:
    """Return the message for a body over a limit."""
    return f"the body must not be over {limit} bytes"


def _limit() -> None:
    """Limit the body to what its view is for; what goes to no view stays as the settings have it.

    A view's `max_body` is None where the settings say how large its body may be.
    """
    view = _view()
    if view is None or not current_app.config["LIMIT_BY_VIEW"]:
        return
    of_view = getattr(view, "max_body", FORM_BODY)
    if of_view is not None:
        request.max_content_length = min(of_view, current_app.config["MAX_CONTENT_LENGTH"])


def _view() -> Any:
    return current_app.view_functions.get(request.endpoint or "")
