"""The sockets that are listened on, and how many connections there can be."""

import socket

from ..errors import StartError
from ..web.client_address import is_loopback

BACKLOG = 1024

CONNECTIONS = 10_000
"""Connections at once, where there are descriptors for so many."""

RESERVED = 100
"""Descriptors for everything but connections: the database, logs, libraries."""


def listen(host: str, port: int, loopback_for: str | None = None) -> list[socket.socket]:
    """Return sockets that listen: one, or for `::` one for each family.

    Raises StartError if the address cannot be listened on, or is not on loopback where there is a
    reason, `loopback_for`, to listen on loopback only.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        if loopback_for and not is_loopback(str(address[0])):
            raise StartError(f"host: {loopback_for}, it must be a loopback address, not {host}")
        is_dual = address[0] == "::" and socket.has_dualstack_ipv6()
        listener = socket.create_server(
            address, family=family, backlog=BACKLOG, dualstack_ipv6=is_dual
        )
    except (OSError, UnicodeError) as error:
        raise StartError(f"cannot listen on {host} port {port}: {error}") from None
    listener.setblocking(False)
    return [listener]


def connection_limit() -> int:
    """Return how many connections there can be, after raising the limit of descriptors.

    An answer may hold a file open beside its socket.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            pass  # macOS has a limit below the one that it tells
    if soft == resource.RLIM_INFINITY:
        return CONNECTIONS
    return max(1, min(CONNECTIONS, (soft - RESERVED) // 2))
