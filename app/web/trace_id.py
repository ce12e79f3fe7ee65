"""The trace id of each request and its response: the client's own if it is usable, or a new one."""

import re
from uuid import uuid4

from flask import Flask, Response, g, request

TRACE_HEADER = "X-Saasus-Trace-Id"


def init_app(app: Flask) -> None:
    """Give each request and response of an application a trace id."""
    app.before_request(_begin)
    app.after_request(_trace)


def make_trace_id(given: str | None) -> str:
    """Return the given trace id if it is safe in a header and a log, else a new one."""
    if given and re.fullmatch(r"[!-~]{1,128}", given):
        return given
    return str(uuid4())


def _begin() -> None:
    g.trace_id = make_trace_id(request.headers.get(TRACE_HEADER))


def _trace(response: Response) -> Response:
    response.headers[TRACE_HEADER] = g.get("trace_id") or make_trace_id(None)
    return response
