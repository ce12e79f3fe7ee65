"""The target of a request: its path and query as they were sent, and as they may be logged."""

import re
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes

from flask import Flask, request

from ..errors import InvalidRequest
from .proxies import SENT_HOST, SENT_PREFIX

SHARED_PATH = "/dashboard/shared"
"""The path of the dashboard for holders of a link; the link's token follows it."""

DECODINGS = 8
"""How often a word is percent-decoded in search of secrets; if more is needed, it is redacted."""

_authority = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#]*)", re.IGNORECASE | re.ASCII)

TOLD_PARAMETERS = {
    *("type", "metrics_type", "env_id", "env", "limit", "strict", "lang", "refresh", "csv", "sort"),
    *("date_from", "date_to", "start_date", "end_date", "start_timestamp", "end_timestamp"),
    *("period", "from", "to", "compare", "start"),
}
"""The query parameters whose values may be logged."""

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
"""The query parameters that name users, tenants and pages; their values are redacted."""

_user_in_path = re.compile(
    "(/analysis/+users/+).+?(/behavior-histories/?)?$", re.DOTALL | re.IGNORECASE
)
_user_in_text = re.compile(r"""(/analysis/+users/+)[^/?#\s"'\\]+""", re.IGNORECASE)

_word = re.compile(r"""[^\s"']+""")
_shared = r"(dashboard(?:\.{0,2}[/\\])+shared(?:\.{0,2}[/\\])+)"
_token = re.compile(rf"""{_shared}[^/?#\s"'\\]+""", re.IGNORECASE)
# Once decoded, any character may precede or follow a token; skip what is already redacted (`***`).
_decoded_token = re.compile(rf"{_shared}(?!\*\*\*(?:[/?#&]|$))[^/\\]+", re.IGNORECASE)
_secret = re.compile("[0-9a-f]{64,}", re.IGNORECASE)


def init_app(app: Flask) -> None:
    """Refuse request targets that are not UTF-8."""
    app.before_request(_check)


def request_target() -> str:
    """Return the request's path and query exactly as sent, with one character for each byte.

    If the WSGI server gives only the decoded path, it is encoded as in RFC 3986.
    """
    environ = request.environ
    target = _sent_target(environ)
    if target is not None:
        # In absolute form, a scheme and a host precede the path.
        return (_authority.sub("", target, count=1) or "/") if target[:1] != "/" else target
    path = environ.get("SCRIPT_NAME", "") + environ["PATH_INFO"]
    target = _encode(path.encode("latin-1"))
    if environ["QUERY_STRING"]:
        target += f"?{environ['QUERY_STRING']}"
    return target


def signed_targets() -> list[str]:
    """Return the targets that a signature may cover.

    They are the path and query, the same with the prefix that a proxy removed, and the raw target,
    which may be in absolute form.
    """
    target = request_target()
    prefix = request.environ.get(SENT_PREFIX) or ""
    sent = _sent_target(request.environ) or target
    return list(dict.fromkeys((target, f"{prefix}{target}", sent)))


def signed_hosts() -> list[str]:
    """Return the hosts that a signature may cover: as received, and as the client sent it.

    Each with and without its port (contract B.11), which some clients leave out.
    """
    environ = request.environ
    sent = (environ[SENT_HOST], environ.get("HTTP_HOST", ""))
    return list(dict.fromkeys(sent + tuple(re.sub(":[0-9]*$", "", host) for host in sent)))


def use_authority(environ: dict[str, Any]) -> None:
    """Replace `Host` by the host of a target in absolute form (RFC 9112, 3.2.2)."""
    found = _authority.match(_sent_target(environ) or "")
    if found:
        environ["HTTP_HOST"] = found[1]


def redacted_target() -> str:
    """Return the request's path and query for the log.

    It is ASCII, and does not contain tokens of links, or names of users, tenants or pages.
    """
    path, mark, query = request_target().partition("?")
    decoded, users = _user_in_path.subn(r"\1***\2", unquote(path))
    if users:
        path = _encode(decoded.encode())
    query = "&".join(map(_told_parameter, query.split("&"))) if query else ""
    # Raw targets hold no spaces, but some servers let other bytes through.
    return without_tokens(ascii(f"{path}{mark}{query}")[1:-1])


def _told_parameter(parameter: str) -> str:
    name, mark, _ = parameter.partition("=")
    name = unquote(name)
    if name in TOLD_PARAMETERS:
        return parameter
    return f"{name}{mark}***" if name in NAMING_PARAMETERS else "***"


def without_tokens(text: str) -> str:
    """Return a text with `***` for tokens of links and for users in paths, however encoded."""
    text = _user_in_text.sub(r"\1***", _token.sub(r"\1***", text))
    if "%" in text or _secret.search(text):
        text = _word.sub(_redact, text)
    return text


def _redact(word: re.Match[str]) -> str:
    """Return a word of a text without tokens; it is returned decoded only if it had one."""
    decoded = word[0]
    for _ in range(DECODINGS + 1):
        before, decoded = decoded, unquote(decoded)
        if decoded == before:
            break
    else:
        return "***"
    # A token that does not follow the path can still be recognized by its form.
    redacted = _secret.sub("***", _decoded_token.sub(r"\1***", decoded))
    return word[0] if redacted == decoded else _encode(redacted.encode(), "?#")


def _sent_target(environ: dict[str, Any]) -> str | None:
    target: str | None = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    return target


def _encode(path: bytes, more: str = "") -> str:
    return quote(path, safe="/!$&'()*+,;=:@" + more)


def _check() -> None:
    try:
        target = request_target().encode("latin-1")
        target.decode()  # no character may be percent-encoded only in part
        unquote_to_bytes(target).decode()
    except UnicodeError:
        raise InvalidRequest("the path and query must be UTF-8, percent-encoded") from None
