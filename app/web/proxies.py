"""A request as its client sent it: what proxies in front tell of scheme, host and prefix.

The environment of WSGI is changed accordingly, so that whatever makes URLs or cookies of it is
right. Without `proxies`, nothing of what a request tells of proxies is believed.
"""

import re
from typing import Any

from .. import config_values
from ..config import Settings

SENT_HOST = "saasus_analysis.sent_host"
SENT_PREFIX = "saasus_analysis.sent_prefix"
"""Keys of the WSGI environment: the `Host` that came, and the prefix that a proxy took away."""

HOST = r"([A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?"


def restore_request(environ: dict[str, Any], settings: Settings) -> None:
    """Make the environment of a request what it would be without proxies.

    The prefix begins the SCRIPT_NAME, whether or not a proxy has taken it away from the path.
    """
    schemes = _told(environ, "HTTP_X_FORWARDED_PROTO", settings)
    if schemes:
        # Most proxies do not add to what another has told, but put their own in its place.
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
    """Return what the trusted proxies have told in a header, the first of them first."""
    if not settings.proxies:
        return []
    parts = [part.strip() for part in environ.get(name, "").split(",")]
    return [part for part in parts if part][-settings.proxies :]


def _told_prefix(environ: dict[str, Any], settings: Settings) -> str | None:
    """Return the prefix that proxies tell of; several have each taken away a part of it."""
    try:
        parts = map(config_values.prefix, _told(environ, "HTTP_X_FORWARDED_PREFIX", settings))
        return config_values.prefix("".join(part or "" for part in parts))
    except ValueError:
        return None
