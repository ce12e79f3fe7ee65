"""Checks of every request's address, host and origin, and security headers of every response."""

import ipaddress
import re
import socket
from collections.abc import Mapping

from flask import Flask, Response, current_app, request
from werkzeug.datastructures import Headers

from ..addresses import Address, parse_address
from ..config import Settings
from ..errors import IpRestricted, PermissionDenied
from .client_address import client_address
from .context import current_settings

SECURITY_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}
"""Headers for browsers and search engines, unless a response sets them itself."""

OPEN = ("/healthz", "/readyz")
"""The paths that clients at any address, and pages of any origin, may request."""

PREFLIGHT_SECONDS = 600
METHODS = "GET, POST, PUT, DELETE"
REQUEST_HEADERS = (
    "Authorization, Content-Encoding, Content-Type, X-Double-Namespace, X-Saasus-Trace-Id"
)
"""Headers that pages of allowed origins may send, also to the test double's control API."""

IN_PROCESS = "saasus_analysis.in_process"
"""Key of the WSGI environment: a call in this process made the request, not a browser."""

OWN_SITES = (None, "same-origin", "none")
"""Values of `Sec-Fetch-Site` in requests that no other origin makes; None: older browsers."""

_host = re.compile(r"(\[[^][]*\]|[\w.-]+)(?::[0-9]*)?", re.ASCII)


def init_app(app: Flask, settings: Settings) -> None:
    """Check each request of an application before its key, and add headers to each response."""

    def check() -> Response | None:
        if settings.allow_from and request.path not in OPEN:
            _check_address(settings)
        if is_preflight():
            return _answer_preflight()
        return None

    def add_headers(response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        if settings.cors_origins:
            response.headers.add("Vary", "Origin")
            if request.headers.get("Origin") in settings.cors_origins:
                _allow(response.headers, request.headers["Origin"])
        return response

    app.before_request(check)
    app.after_request(add_headers)


def require_loopback(refusal: str) -> None:
    """Refuse a request that does not come from this machine, or that another site caused.

    The address alone is not enough, because pages of other sites can make a browser on this machine
    send requests. Raises PermissionDenied; `refusal` is the message if the address is the reason.
    """
    address = client_address()
    if address is None or not address.is_loopback:
        raise PermissionDenied(refusal)
    refuse_other_sites()


def refuse_other_sites() -> None:
    """Refuse a request that a page of another site made a browser send, to a server without keys.

    Such a page can reach this server by a host name of its own that resolves to this machine (DNS
    rebinding), so `Host` must be a name that only this server has. Or it can use the right name;
    then the browser sends the page's origin, or says that it differs. Raises PermissionDenied.
    """
    settings = current_settings()
    if request.path in OPEN or IN_PROCESS in request.environ:
        return
    if not _is_own_host(settings):
        raise PermissionDenied(
            "Host: must be localhost, a loopback address, or a name in ANALYSIS_HOSTS"
        )
    origin = request.headers.get("Origin")
    if origin is not None and origin in (settings.cors_origins or ()):
        return
    is_own = (origin is None or _is_own_origin(origin)) and is_from_here()
    if not is_own and not _is_visit(settings):
        raise PermissionDenied(
            "pages of other origins are not answered, except those that --cors-origin or "
            "ANALYSIS_CORS_ORIGINS names"
        )


def is_from_here() -> bool:
    """Return whether no header says that a page of another origin sent the request."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in OWN_SITES
    origin = request.headers.get("Origin")
    return origin is None or _is_own_origin(origin)


def _is_own_origin(origin: str) -> bool:
    # The scheme is not compared, because this server may not know whether a proxy uses TLS.
    scheme, _, host = origin.partition("://")
    return scheme in ("http", "https") and host == request.environ.get("HTTP_HOST", "").lower()


def _is_own_host(settings: Settings) -> bool:
    """Return whether `Host` can only mean this machine, or is a configured name."""
    found = _host.fullmatch(request.environ.get("HTTP_HOST", ""))
    if not found:
        return False
    name = found[1].lower().removesuffix(".")
    hosts = (settings.host.lower(), *(settings.hosts or ()))
    address = parse_address(name) or _parse_short(name)
    if address is None:
        return name == "localhost" or name.endswith(".localhost") or name in hosts
    # An address is not resolved by DNS, so a page of another site cannot have this one.
    return address.is_loopback or settings.double_remote or str(address) in hosts


def _parse_short(name: str) -> Address | None:
    """Return the address that a short form such as `127.1` or `0x7f000001` means, or None."""
    try:
        return ipaddress.IPv4Address(socket.inet_aton(name))
    except OSError:
        return None


def _is_visit(settings: Settings) -> bool:
    """Return whether a user followed a link to a page: the user sees it, the linking site cannot.

    Browsers show a page in a frame only on sites in `frame_origins`.
    """
    destinations = ["document"] + (["iframe", "frame"] if settings.frame_origins else [])
    return (
        request.method == "GET"
        and "Origin" not in request.headers
        and request.headers.get("Sec-Fetch-Mode") == "navigate"
        and request.headers.get("Sec-Fetch-Dest") in destinations
        and hasattr(current_app.view_functions.get(request.endpoint or ""), "is_page")
    )


def _check_address(settings: Settings) -> None:
    address = client_address()
    networks = settings.allow_from or ()
    if address is None or not any(address in network for network in networks):
        raise IpRestricted("clients at this address are not answered")


def is_preflight() -> bool:
    """Return whether the request is a CORS preflight, and CORS is configured."""
    settings = current_settings()
    return (
        settings.cors_origins is not None
        and request.method == "OPTIONS"
        and "Access-Control-Request-Method" in request.headers
    )


def _answer_preflight() -> Response:
    """Answer a preflight with the allowed methods and headers; `add_headers` checks the origin."""
    answer = Response(status=204)
    del answer.headers["Content-Type"]
    answer.headers["Access-Control-Allow-Methods"] = METHODS
    answer.headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
    answer.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return answer


def _allow(headers: Headers, origin: str) -> None:
    headers["Access-Control-Allow-Origin"] = origin
    headers["Access-Control-Expose-Headers"] = "X-Saasus-Trace-Id, Retry-After"
