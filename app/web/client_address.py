"""The address of a client, and whether it uses TLS."""

import ipaddress

from flask import request

from ..addresses import Address, parse_address
from .context import current_settings


def client_address() -> Address | None:
    """Return the address of the client, which comes from the trusted proxies if there are any.

    Returns None if it is not an IP address, such as `unknown` or the path of a socket. The proxy's
    address is not used instead, because it may be allowed to do more than the client.
    """
    settings = current_settings()
    address = request.remote_addr or ""
    told = ",".join(request.headers.getlist("X-Forwarded-For"))
    if settings.proxies and told.strip():
        # Empty entries count too. Otherwise a proxy that adds an empty one would make an entry
        # count that the client wrote.
        addresses = told.split(",")
        if len(addresses) >= settings.proxies:
            address = addresses[-settings.proxies]
    return parse_address(address)


def is_tls() -> bool:
    """Return whether the client uses TLS, to this server or to a trusted proxy."""
    return request.is_secure


def client_network() -> str | None:
    """Return the network that a client is counted by: its IPv4 address, or its IPv6 /64 network.

    One client usually has a whole /64 network, and can use any address in it. Returns None if the
    address is not known: such a client is not counted, because it would be counted together with
    others.
    """
    address = client_address()
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Address(int(address) >> 64 << 64))
    return str(address) if address else None


def is_loopback(address: str) -> bool:
    """Return whether a text is a loopback IP address."""
    parsed = parse_address(address)
    return parsed is not None and parsed.is_loopback
