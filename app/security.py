"""What holds for every request and answer, whatever the operation: addresses, origins, headers."""

import ipaddress
from collections.abc import Mapping

from flask import Flask, Response, current_app, request
from werkzeug.datastructures import Headers

from .config import Settings
from .errors import IpRestricted

SECURITY_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""What browsers are told with every answer that does not say otherwise itself."""

OPEN = ("/healthz", "/readyz")
"""The paths that clients at any address may ask for."""

PREFLIGHT_SECONDS = 600


def init_app(app: Flask, settings: Settings) -> None:
    """Look at each request of an application before its key, and give each answer its headers."""

    def check() -> Response | None:
        if settings.allow_from and request.path not in OPEN:
            _check_address(settings)
        if _is_preflight(settings):
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


def client_address() -> str:
    """Return the address of the client, which trusted proxies tell if there are some."""
    settings: Settings = current_app.extensions["settings"]
    address = request.remote_addr or ""
    if settings.proxies:
        told = ",".join(request.headers.getlist("X-Forwarded-For")).split(",")
        addresses = [part.strip() for part in told if part.strip()]
        if len(addresses) >= settings.proxies:
            return addresses[-settings.proxies]
    return address


def is_tls() -> bool:
    """Tell whether the client came by TLS, as `proxies` has it."""
    return request.is_secure


def client_network() -> str:
    """Return what a client is counted by: its address, or of an IPv6 address the first 64 bits.

    So much of it belongs to one client, which can take any address in it. What is no IP address
    counts as one.
    """
    try:
        address = ipaddress.ip_address(client_address())
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.IPv6Address(int(address) >> 64 << 64))
        address = address.ipv4_mapped
    return str(address)


def is_loopback(address: str) -> bool:
    """Tell whether an address is this machine's own; what is no IP address is not."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _check_address(settings: Settings) -> None:
    address = client_address()
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        parsed = None
    networks = settings.allow_from or ()
    if parsed is None or not any(parsed in network for network in networks):
        raise IpRestricted("clients at this address are not answered")


def _is_preflight(settings: Settings) -> bool:
    return (
        settings.cors_origins is not None
        and request.method == "OPTIONS"
        and "Access-Control-Request-Method" in request.headers
    )


def _answer_preflight() -> Response:
    """Tell a browser what a page of another origin may do; whether it may is in the origin."""
    answer = Response(status=204)
    del answer.headers["Content-Type"]
    answer.headers["Access-Control-Allow-Methods"] = "GET, POST, PUT"
    answer.headers["Access-Control-Allow-Headers"] = (
        "Authorization, Content-Type, X-Saasus-Trace-Id"
    )
    answer.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return answer


def _allow(headers: Headers, origin: str) -> None:
    headers["Access-Control-Allow-Origin"] = origin
    headers["Access-Control-Expose-Headers"] = "X-Saasus-Trace-Id, Retry-After"
