"""When a connection has taken too long, in sending a request or in reading its response."""

from ..config import Settings
from .connection import Connection

LOOK_SECONDS = 1
"""How often deadlines are checked."""

IDLE_SECONDS = 120
"""How long a connection without a request is kept open."""

EVICT_SECONDS = 5
"""How long a connection without progress is kept when no more can be accepted."""

LEAVE_SECONDS = 10
"""How long a client may continue to send after its last response before its connection closes."""

STALLED_SECONDS = 5
"""How long shutdown waits for a connection on which no data move."""

SLOW_BYTES = 2**14
"""Bytes per second that a body must send while others wait for its memory, or during shutdown."""

HEAD_SECONDS = 2
"""How long a large head may take while there is no memory for more."""

READ_SECONDS = 2
"""How long a client may read nothing of a response while there is no memory for more."""

SLOW = "is too slow to send a request"


def reason_to_close(
    connection: Connection,
    now: float,
    settings: Settings,
    *,
    stopped: float | None,
    is_large: bool,
    is_paused: bool,
    others_wait: bool,
    is_short: bool,
) -> str | None:
    """Return why a connection is to be closed, or None to keep it.

    The reason is empty if closing is normal and need not be logged. `stopped` is when shutdown
    began; `is_large`: its request is large; `is_paused`: it waits for memory; `others_wait`: some
    connection does; `is_short`: there is no memory for more.
    """
    if connection.is_answering:
        return None  # the application may take as long as it needs
    request, still = connection.request, now - connection.moved
    taken = now - connection.since
    is_hurried = stopped is not None and now - stopped > STALLED_SECONDS
    if connection.unsent:
        is_slow = still > (STALLED_SECONDS if is_hurried else settings.send_seconds)
        return "reads nothing of its response" if is_slow else None
    if connection.is_leaving:
        return "" if taken > LEAVE_SECONDS else None
    if request is None:
        return "" if taken > IDLE_SECONDS else None
    if connection.is_beginning and is_large and is_short:
        return SLOW if taken > HEAD_SECONDS else None
    enough = SLOW_BYTES
    if is_paused:
        connection.since += LOOK_SECONDS  # the server makes it wait
        enough = min(SLOW_BYTES, request.missing or SLOW_BYTES)
        came = connection.count_waiting(enough)
    else:
        came = request.size - (connection.marked or 0)
    is_new, connection.marked = connection.marked is None, request.size
    is_pressed = is_hurried or (others_wait and is_large)
    is_slow = is_pressed and came < enough and not is_new
    return SLOW if is_slow or taken > settings.receive_seconds else None
