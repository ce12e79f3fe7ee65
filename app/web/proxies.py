"""Restoring the scheme, host and prefix that a client sent from the headers of trusted proxies.

They are set in the WSGI environment, so that all URLs and cookies made from it are right. If the
setting `proxies` is 0, these headers are ignored.
"""

import re
from typing import Any

from .. import config_values
from ..config import Settings

SENT_HOST = "saasus_analysis.sent_host"
SENT_PREFIX = "saasus_analysis.sent_prefix"
"""Keys of the WSGI environment: the `Host` as received, and the prefix that a proxy removed."""

HOST = r"([A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?"


def restore_request(environ: dict[str, Any], settings: Settings) -> None:
    """Set the environment of a request to what it would be without proxies.

    SCRIPT_NAME then begins with the prefix, whether or not a proxy removed it from the path.
    """
    schemes = _told(environ, "HTTP_X_FORWARDED_PROTO", settings)
    if schemes:
        # Only the first value is used: most proxies replace the header and do not append to it.
        environ["wsgi.url_scheme"] = "https" if schemes[0].lower() == "https" else "http"
    hosts = _told(environ, "HTTP_X_FORWARDED_HOST", settings)
    environ[SENT_HOST] = environ.get("HTTP_HOST", "")
    if hosts and re.fullmatch(HOST, hosts[0]):
        environ["HTTP_HOST"] = hosts[0]
    prefix = settings.prefix or _told_prefix(environ, settings)
    script = environ.get("SCRIPT_NAME", "")
    if not prefix or f"{script}/".startswith(f"{prefix}/"):
        return
    path = environ.get("PATH_INFO", "")
    if path == prefix or path.startswith(f"{prefix}/"):
        environ["PATH_INFO"] = path.removeprefix(prefix) or "/"
    else:
        environ[SENT_PREFIX] = prefix
    environ["SCRIPT_NAME"] = prefix + script


def _told(environ: dict[str, Any], name: str, settings: Settings) -> list[str]:
    """Return the values that the trusted proxies wrote in a header, outermost proxy first."""
    if not settings.proxies:
        return []
    parts = [part.strip() for part in environ.get(name, "").split(",")]
    return [part for part in parts if part][-settings.proxies :]


def _told_prefix(environ: dict[str, Any], settings: Settings) -> str | None:
    """Return the prefix that proxies removed, or None; each of several removed a part of it."""
    try:
        parts = map(config_values.prefix, _told(environ, "HTTP_X_FORWARDED_PREFIX", settings))
        return config_values.prefix("".join(part or "" for part in parts))
    except ValueError:
        return None
