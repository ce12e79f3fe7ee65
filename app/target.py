"""The target of a request: its path and query as they were sent."""

from urllib.parse import quote, unquote_to_bytes

from flask import Flask, request

from .errors import InvalidRequest


def init_app(app: Flask) -> None:
    """Refuse targets that are no UTF-8."""
    app.before_request(_check)


def request_target() -> str:
    """Return the request's path and query exactly as sent, one character a byte.

    Where the WSGI server tells the decoded path only, it is encoded as RFC 3986 has it.
    """
    environ = request.environ
    target: str | None = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    if target is None:
        path = environ.get("SCRIPT_NAME", "") + environ["PATH_INFO"]
        target = quote(path.encode("latin-1"), safe="/!$&'()*+,;=:@")
        if environ["QUERY_STRING"]:
            target += f"?{environ['QUERY_STRING']}"
    return target


def _check() -> None:
    try:
        target = request_target().encode("latin-1")
        target.decode()  # a character must not be half encoded, half not
        unquote_to_bytes(target).decode()
    except UnicodeError:
        raise InvalidRequest("the path and query must be UTF-8, percent-encoded") from None
