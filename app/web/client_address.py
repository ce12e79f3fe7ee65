"""The address of a client, and whether it came by TLS."""

import ipaddress

from flask import request

from ..addresses import Address, parse_address
from .context import current_settings


def client_address() -> Address | None:
    """Return the address of the client, which trusted proxies tell if there are some.

    None if what tells it is no IP address: `unknown`, or the path of a socket. The address of a
    proxy does not take its place, since that could be one that more is allowed to.
    """
    settings = current_settings()
    address = request.remote_addr or ""
    told = ",".join(request.headers.getlist("X-Forwarded-For"))
    if settings.proxies and told.strip():
        # An empty one counts: a proxy that tells nothing must not make that count which a client
        # has written before it.
        addresses = told.split(",")
        if len(addresses) >= settings.proxies:
            address = addresses[-settings.proxies]
    return parse_address(address)


def is_tls() -> bool:
    """Return whether the client came by TLS, as `proxies` has it."""
    return request.is_secure


def client_network() -> str | None:
    """Return what a client is counted by: its address, or of an IPv6 address the first 64 bits.

    So much of it belongs to one client, which can take any address in it. None if the address is
    not known: such a client is not counted, since it would be counted together with strangers.
    """
    address = client_address()
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Address(int(address) >> 64 << 64))
    return str(address) if address else None


def is_loopback(address: str) -> bool:
    """Return whether an address is this machine's own; what is no IP address is not."""
    parsed = parse_address(address)
    return parsed is not None and parsed.is_loopback
