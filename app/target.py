"""The target of a request: its path and query as they were sent, and as they may be told."""

import re
from urllib.parse import quote, unquote, unquote_to_bytes

from flask import Flask, request

from .errors import InvalidRequest

SHARED_PATH = "/dashboard/shared"
"""The path of the dashboard for those who have a link; behind it stands the link's token."""

TOLD_PARAMETERS = {
    *("type", "metrics_type", "env_id", "env", "limit", "strict", "lang", "refresh", "csv", "sort"),
    *("date_from", "date_to", "start_date", "end_date", "start_timestamp", "end_timestamp"),
    *("period", "from", "to", "compare", "start"),
}
"""The parameters whose values a log may hold."""

NAMING_PARAMETERS = {
    "tenant_id",
    "tenant_ids",
    "tenant_ids[]",
    "tenant",
    "id",
    "q",
    "before",
    "next",
}
"""The parameters that name users, tenants and pages."""

_user_in_path = re.compile("(/analysis/+users/+).+?(/behavior-histories/?)?$", re.DOTALL)
_user_in_text = re.compile(r"""(/analysis/+users/+)[^/?#\s"'\\]+""")

_token_in_path = re.compile("(/dashboard/+shared/+)[^/]+")
_token_in_text = re.compile(r"""(/dashboard/+shared/+)[^/?#\s"'\\]+""")


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
        target = _encode(path.encode("latin-1"))
        if environ["QUERY_STRING"]:
            target += f"?{environ['QUERY_STRING']}"
    return target


def told_target() -> str:
    """Return the request's path and query for a log.

    In ASCII, without the token of a link, and without what can name a user, tenant or page.
    """
    path, mark, query = request_target().partition("?")
    # However a token was encoded, what it decodes to opens pages.
    decoded, tokens = _token_in_path.subn(r"\1***", unquote(path))
    if tokens:
        path = _encode(decoded.encode())
    decoded, users = _user_in_path.subn(r"\1***\2", unquote(path))
    if users:
        path = _encode(decoded.encode())
    query = "&".join(map(_told_parameter, query.split("&"))) if query else ""
    # Raw targets hold no spaces, but some servers let other bytes through.
    return ascii(f"{path}{mark}{query}")[1:-1]


def _told_parameter(parameter: str) -> str:
    name, mark, _ = parameter.partition("=")
    name = unquote(name)
    if name in TOLD_PARAMETERS:
        return parameter
    return f"{name}{mark}***" if name in NAMING_PARAMETERS else "***"


def without_tokens(text: str) -> str:
    """Return a text with `***` for each token in the path of a link, and for each user in one."""
    return _user_in_text.sub(r"\1***", _token_in_text.sub(r"\1***", text))


def _encode(path: bytes) -> str:
    return quote(path, safe="/!$&'()*+,;=:@")


def _check() -> None:
    try:
        target = request_target().encode("latin-1")
        target.decode()  # a character must not be half encoded, half not
        unquote_to_bytes(target).decode()
    except UnicodeError:
        raise InvalidRequest("the path and query must be UTF-8, percent-encoded") from None
