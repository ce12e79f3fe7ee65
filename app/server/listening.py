"""The listening sockets, and the limit of connections."""

import socket

from ..errors import StartError
from ..web.client_address import is_loopback

BACKLOG = 1024

CONNECTIONS = 10_000
"""The most connections at once, if there are enough file descriptors."""

RESERVED = 100
"""File descriptors reserved for everything but connections: the database, logs, libraries."""


def listen(host: str, port: int, loopback_for: str | None = None) -> list[socket.socket]:
    """Return listening sockets: always one, which for `::` also takes IPv4 where possible.

    Raises StartError if listening on the address fails, or if there is a reason to listen only on
    loopback (`loopback_for`) and it is another address.
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
    """Return how many connections there can be, after raising the limit of file descriptors.

    Each connection may need two: one for its socket, and one for a file that its response opens.
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
            pass  # the limit of macOS is lower than the one it reports
    if soft == resource.RLIM_INFINITY:
        return CONNECTIONS
    return max(1, min(CONNECTIONS, (soft - RESERVED) // 2))
