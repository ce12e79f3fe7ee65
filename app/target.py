"""The target of a request: its path and query as they were sent, and as they may be told."""

import re
from urllib.parse import quote, unquote, unquote_to_bytes

from flask import Flask, request

from .errors import InvalidRequest
from .proxies import SENT_HOST, SENT_PREFIX

SHARED_PATH = "/dashboard/shared"
"""The path of the dashboard for those who have a link; behind it stands the link's token."""

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


def signed_targets() -> list[str]:
    """Return what a signature may cover: the target as it came, and with the prefix it had."""
    target = request_target()
    prefix = request.environ.get(SENT_PREFIX)
    return [target, f"{prefix}{target}"] if prefix else [target]


def signed_hosts() -> list[str]:
    """Return the hosts that a signature may cover: as it came, and as the client sent it.

    Either with or without its port (contract B.11), which some clients leave out.
    """
    environ = request.environ
    sent = (environ[SENT_HOST], environ.get("HTTP_HOST", ""))
    return list(dict.fromkeys(sent + tuple(re.sub(":[0-9]*$", "", host) for host in sent)))


def told_target() -> str:
    """Return the request's path and query for a log: in ASCII, and without the token of a link."""
    path, mark, query = request_target().partition("?")
    # However a token was encoded, what it decodes to opens pages.
    decoded, tokens = _token_in_path.subn(r"\1***", unquote(path))
    if tokens:
        path = _encode(decoded.encode())
    # Raw targets hold no spaces, but some servers let other bytes through.
    return ascii(f"{path}{mark}{query}")[1:-1]


def without_tokens(text: str) -> str:
    """Return a text with `***` for each token in the path of a link."""
    return _token_in_text.sub(r"\1***", text)


def _encode(path: bytes) -> str:
    return quote(path, safe="/!$&'()*+,;=:@")


def _check() -> None:
    try:
        target = request_target().encode("latin-1")
        target.decode()  # a character must not be half encoded, half not
        unquote_to_bytes(target).decode()
    except UnicodeError:
        raise InvalidRequest("the path and query must be UTF-8, percent-encoded") from None
