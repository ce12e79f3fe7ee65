"""The event loop: it waits for sockets, and reads from and writes to those that are ready.

It puts connections with a request to answer into `ready`. It runs in one thread at a time, but
`hand_back` and `wake` may be called from any thread.
"""

import logging
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from errno import EAGAIN, ECONNABORTED, EINTR
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from typing import TYPE_CHECKING

from ..config import Settings
from .answer import SMALL_BODY
from .connection import Connection
from .deadlines import EVICT_SECONDS, LOOK_SECONDS, READ_SECONDS, reason_to_close

if TYPE_CHECKING:
    from .server import Server

logger = logging.getLogger("saasus_analysis.server")

CHUNKS_SECONDS = 0.02
"""How long a turn handles bodies in chunks, which can take more time than all other data."""

ACCEPTED = 64
"""How many connections are accepted before the existing ones are handled again."""


class EventLoop:
    """Reads requests from sockets, writes responses to them, and closes those that take too long.

    `limit` is the most connections at once. While all connections together hold more than
    `max_buffered` bytes, those with large requests are not read. Only the oldest of them is read,
    so that it can complete.
    """

    def __init__(
        self, server: "Server", listeners: list[socket.socket], settings: Settings, limit: int
    ) -> None:
        self.ready: deque[Connection] = deque()
        """Connections with a request to answer, health checks first."""
        self.connections: set[Connection] = set()
        self._server = server
        self._settings = settings
        self._limit = limit
        self._selector = DefaultSelector()
        self._listeners = listeners
        self._is_accepting = False
        self._accept_again = 0.0
        self._told_of_accept = False
        self._handed_back: deque[Connection] = deque()
        self._turn = 0
        self._held = 0
        self._large: dict[Connection, None] = {}
        self._answering: set[Connection] = set()
        self._paused: set[Connection] = set()
        self._looked = time.monotonic()
        self._stopped: float | None = None
        self._waker, self._woken = socket.socketpair()
        for end in (self._waker, self._woken):
            end.setblocking(False)
        self._selector.register(self._woken, EVENT_READ, self._wake_up)
        self._accept(True)

    @property
    def is_stopped(self) -> bool:
        """Whether it was stopped, and so accepts no more connections."""
        return self._stopped is not None

    @property
    def is_over(self) -> bool:
        """Whether it was stopped, and all requests are answered or have taken too long."""
        if self._stopped is None:
            return False
        waited = time.monotonic() - self._stopped
        return not self.connections or waited >= self._server.drain_seconds

    def poll(self, timeout: float) -> None:
        """Wait for events, at most `timeout` seconds, and handle them."""
        in_chunks = []
        for key, events in self._selector.select(0 if self.ready or self._handed_back else timeout):
            if not isinstance(key.data, Connection):
                handle: Callable[[], None] = key.data
                handle()
            elif key.data not in self.connections:
                continue  # handling an earlier event closed it
            elif key.data.is_in_chunks:
                in_chunks.append((key.data, events))
            else:
                self._guarded(self._handle, key.data, events)
        self._handle_chunks(in_chunks)
        while self._handed_back:
            self.take_back(self._handed_back.popleft())
        self._resume()
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._look()

    def take_back(self, connection: Connection) -> None:
        """Continue with a connection whose response is complete or waits for the socket."""
        connection.is_answering = False
        connection.moved = time.monotonic()
        self._guarded(self._go_on, connection)

    def hand_back(self, connections: Iterable[Connection]) -> None:
        """Call `take_back` for connections at the next turn; from any thread."""
        self._handed_back.extend(connections)
        self.wake()

    def wake(self) -> None:
        """Let `poll` return; from any thread, and from a signal handler."""
        with suppress(OSError):  # the socket is full of earlier calls, or closed
            self._waker.send(b"\0")

    def stop(self) -> None:
        """Accept no more connections, and close those without a request."""
        self._stopped = time.monotonic()
        self._accept(False)
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            if connection.is_idle or connection.is_leaving:
                self._close(connection)

    def close(self) -> None:
        """Close everything, even the sockets of responses that are still being made."""
        for connection in list(self.connections):
            if connection.is_answering:
                connection.socket.close()
            else:
                self._close(connection)
        self._selector.close()
        for end in (self._waker, self._woken, *self._listeners):
            end.close()

    def _handle_chunks(self, waiting: list[tuple[Connection, int]]) -> None:
        """Handle some of the connections that send chunks; the next turn starts with others."""
        until = time.monotonic() + CHUNKS_SECONDS
        for _ in range(len(waiting)):
            self._turn += 1
            connection, events = waiting[self._turn % len(waiting)]
            if connection in self.connections:
                self._guarded(self._handle, connection, events)
            if time.monotonic() > until:
                break

    def _guarded(
        self, handle: Callable[..., None], connection: Connection, *arguments: object
    ) -> None:
        """Handle a connection; an exception closes this connection and does not affect others."""
        try:
            handle(connection, *arguments)
        except Exception:
            logger.exception("a connection was closed")
            self._close(connection)

    # One connection ------------------------------------------------------------------------

    def _handle(self, connection: Connection, events: int) -> None:
        if connection.is_answering:
            # Its response is being made; until then, new data stay in the socket.
            self._watch(connection, 0)
        elif events & EVENT_WRITE:
            if connection.flush():
                connection.moved = time.monotonic()
            self._go_on(connection)
        elif self._must_wait(connection):
            self._paused.add(connection)
            self._watch(connection, 0)
        elif connection.receive(time.monotonic()):
            self._go_on(connection)
        elif connection.has_ended or connection.is_broken:
            self._close(connection)

    def _go_on(self, connection: Connection) -> None:
        """Do what can be done with a connection now, and watch it for the next event."""
        while not connection.is_broken:
            if connection.unsent:
                self._watch(connection, EVENT_WRITE)
            elif connection.answer and not connection.answer.is_done:
                connection.is_answering = True
                if connection.is_check:
                    self.ready.appendleft(connection)
                else:
                    self.ready.append(connection)
            elif connection.answer:
                connection.end_answer(time.monotonic())
                if connection.is_leaving and not self._leave(connection):
                    return
                continue
            elif connection.is_leaving:
                self._watch(connection, EVENT_READ)
            elif connection.find_answer(time.monotonic()):
                continue
            elif connection.has_ended or (self._stopped is not None and connection.is_idle):
                break
            else:
                self._watch(connection, EVENT_READ)
            self._note(connection)
            return
        self._close(connection)

    def _leave(self, connection: Connection) -> bool:
        """End the sending direction; return whether to keep the socket until the client closes it.

        Closing a socket that holds unread data resets the connection, and the client may lose a
        response that it has not read yet.
        """
        if connection.is_aborted or connection.has_ended:
            self._close(connection)
            return False
        with suppress(OSError):
            connection.socket.shutdown(socket.SHUT_WR)
        return True

    def _close(self, connection: Connection) -> None:
        self._watch(connection, 0)
        connection.close()
        self.connections.discard(connection)
        self._paused.discard(connection)
        self._note(connection)
        if not self._is_accepting and self._stopped is None and not self._accept_again:
            self._accept(True)

    def _watch(self, connection: Connection, events: int) -> None:
        before, connection.events = connection.events, events
        if before == events:
            return
        if before and events:
            self._selector.modify(connection.socket, events, connection)
        elif before:
            self._selector.unregister(connection.socket)
        else:
            self._selector.register(connection.socket, events, connection)

    def _note(self, connection: Connection) -> None:
        """Update the count of held bytes, and the sets of large bodies, for a connection."""
        held = connection.held
        self._held += held - connection.noted
        connection.noted = held
        request = connection.request
        is_large = request is not None and request.size > SMALL_BODY
        if is_large and not connection.answer:
            self._large.setdefault(connection)
        else:
            self._large.pop(connection, None)
        if is_large and connection.is_answering:
            self._answering.add(connection)
        else:
            self._answering.discard(connection)

    # All connections -----------------------------------------------------------------------

    def _must_wait(self, connection: Connection) -> bool:
        """Return whether a connection has a large request and there is no memory for more of it."""
        return (
            self._is_short and connection in self._large and connection is not self._first_large()
        )

    @property
    def _is_short(self) -> bool:
        """Whether there is no memory for more."""
        return self._held > self._settings.max_buffered

    def _first_large(self) -> Connection | None:
        """Return the connection whose large request is read even if memory is short.

        None while other large requests are being answered, since that will free memory.
        """
        return None if self._answering else next(iter(self._large), None)

    def _resume(self) -> None:
        """Watch the connections that waited for memory again, if there is memory now."""
        if not self._paused:
            return
        if not self._is_short:
            resumed = list(self._paused)
        else:
            first = self._first_large()
            resumed = [first] if first and first in self._paused else []
        for connection in resumed:
            self._paused.discard(connection)
            self._watch(connection, EVENT_READ)

    def _look(self) -> None:
        """Close connections that take too long, or hold memory that others need."""
        now = self._looked = time.monotonic()
        if self._accept_again and now >= self._accept_again:
            self._accept_again = 0
            self._accept(self._stopped is None)
        elif not self._is_accepting and self._stopped is None:
            self._evict()
        for connection in list(self.connections):
            reason = reason_to_close(
                connection,
                now,
                self._settings,
                stopped=self._stopped,
                is_large=connection in self._large,
                is_paused=connection in self._paused,
                others_wait=bool(self._paused),
                is_short=self._is_short,
            )
            if reason is not None:
                if reason:
                    logger.info("%s %s; closed", connection.addr[0], reason)
                self._close(connection)
        if self._is_short:
            waiting = [
                one for one in self.connections if one.unsent and now - one.moved > READ_SECONDS
            ]
            for connection in sorted(waiting, key=lambda one: one.moved):
                if not self._is_short:
                    break
                logger.info(
                    "%s reads too slowly for a response this large; closed", connection.addr[0]
                )
                self._close(connection)

    # Accepting connections -----------------------------------------------------------------

    def _accept(self, is_accepting: bool) -> None:
        if is_accepting == self._is_accepting:
            return
        self._is_accepting = is_accepting
        for listener in self._listeners:
            if is_accepting:
                self._selector.register(
                    listener, EVENT_READ, lambda one=listener: self._take_up(one)
                )
            else:
                self._selector.unregister(listener)

    def _take_up(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTED):
            if not self._is_accepting or (
                len(self.connections) >= self._limit and not self._evict()
            ):
                self._accept(False)
                return
            try:
                client, address = listener.accept()
            except Exception as error:  # no error may end the listener
                number = getattr(error, "errno", None)
                if number in (EAGAIN, EINTR):
                    return
                if number == ECONNABORTED:
                    continue
                # There are no descriptors or memory left, so another try would fail at once.
                self._evict()
                self._pause_accepting(error)
                return
            self._told_of_accept = False
            try:
                client.setblocking(False)
                if client.family != getattr(socket, "AF_UNIX", None):
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = Connection(self._server, client, address, time.monotonic())
                self.connections.add(connection)
                self._watch(connection, EVENT_READ)
            except OSError:  # the client has already gone
                client.close()

    def _pause_accepting(self, error: Exception) -> None:
        if not self._told_of_accept:
            logger.warning("no connection can be accepted now: %s", error)
            self._told_of_accept = True
        self._accept(False)
        self._accept_again = time.monotonic() + LOOK_SECONDS

    def _evict(self) -> bool:
        """Close the connection that has made no progress for longest.

        Return whether one was closed: it must have made none for `EVICT_SECONDS`.
        """
        waiting = [
            connection
            for connection in self.connections
            if not connection.is_answering
            and (connection.is_beginning or connection not in self._paused)
        ]
        longest = min(waiting, key=lambda connection: connection.still_since, default=None)
        if longest is None or time.monotonic() - longest.still_since < EVICT_SECONDS:
            return False
        self._close(longest)
        return True

    def _wake_up(self) -> None:
        with suppress(BlockingIOError):
            self._woken.recv(4096)
