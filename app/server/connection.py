"""A connection: one client's socket, with the data received and the data to be sent."""

import socket
from collections import deque
from typing import TYPE_CHECKING, Any

from ..web.browser_security import OPEN
from .answer import Answer, Failure, Refusal, Request

if TYPE_CHECKING:
    from .server import Server

RECEIVED_OF_BODY = 2**16
"""Bytes per read of a body whose length is known."""

RECEIVED = 2**12
"""Bytes per read of everything else. It is less because parsing each chunk of a body takes time."""

SENT = 2**18
"""Bytes passed to a socket at once."""

ENOUGH = 2**16
"""How many bytes of a response may wait to be sent before making more of it is put off."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection:
    """A client's non-blocking socket and its state.

    It belongs to one thread at a time: the one that makes its response while `is_answering` is
    true, otherwise the one that runs the event loop.
    """

    def __init__(self, server: "Server", client: socket.socket, address: Any, now: float) -> None:
        self.server = server
        self.adj = server.adj
        self.socket = client
        self.addr = address
        self.events = 0
        """The selector events that the event loop waits for."""
        self.request: Request | None = None
        """The request that is arriving or being answered."""
        self.answer: Answer | Refusal | None = None
        self.since = now
        """When its request began to arrive, or its last response ended."""
        self.moved = now
        """When data were last received or sent."""
        self.unsent = 0
        self.is_answering = False
        """Whether it belongs to the thread that makes its response."""
        self.has_ended = False
        """Whether the client has ended its sending direction."""
        self.is_broken = False
        """Whether nothing more can be sent to the client."""
        self.is_aborted = False
        """Whether the application wants it closed at once, without reading what still arrives."""
        self.is_leaving = False
        """Whether the last response was sent, and data that still arrive are discarded."""
        self.noted = 0
        """Bytes that the event loop last counted for it."""
        self.marked: int | None = None
        """Bytes of the request at the last check for slow clients; None before the first check."""
        self._received = b""
        self._output: deque[memoryview] = deque()

    @property
    def held(self) -> int:
        """How many bytes of requests and responses are in memory for it."""
        request = self.request.size if self.request else 0
        return request + len(self._received) + self.unsent

    @property
    def is_in_chunks(self) -> bool:
        """Whether the client is sending a body in chunks, each of which takes time to parse."""
        return self.request is not None and self.request.chunked

    @property
    def is_beginning(self) -> bool:
        """Whether the headers of a request are arriving."""
        return self.request is not None and not self.request.headers_finished

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being received, answered or sent."""
        return not (self.request or self.answer or self.unsent or self._received)

    @property
    def still_since(self) -> float:
        """Since when its client has done nothing that counts: of a head, only its end does."""
        return self.since if self.is_idle or self.is_beginning or self.is_leaving else self.moved

    @property
    def is_check(self) -> bool:
        """Whether its request is a health check."""
        return self.request is not None and self.request.path.endswith(OPEN)

    def receive(self, now: float) -> bool:
        """Read once from the socket; return whether anything came."""
        is_simple = self.is_leaving or (self.request is not None and self.request.content_length)
        try:
            data = self.socket.recv(RECEIVED_OF_BODY if is_simple else RECEIVED)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            self.is_broken = True
            return False
        self.has_ended = not data
        if self.is_leaving:
            return bool(data)
        self.moved = now
        self._received += data
        return bool(data)

    def count_waiting(self, most: int) -> int:
        """Return how many bytes can be read from the socket, up to `most`."""
        try:
            return len(self.socket.recv(most, socket.MSG_PEEK))
        except OSError:
            return 0

    def find_answer(self, now: float) -> bool:
        """Parse a request from the received data; return whether there is one to answer.

        That is the case when it is complete. If its body is large, or the client waits for
        `100 Continue`, it is also answered early, since the application may refuse it by its
        headers.
        """
        while self._received:
            if self.request is None:
                # Empty lines before a request count for nothing (RFC 9112, 2.2).
                self._received = self._received.lstrip(b"\r\n")
                if not self._received:
                    break
                self.request = Request(self.adj)
                self.since, self.marked = now, None
            used = self.request.received(self._received)
            self._received = self._received[used:]
            if self.request.error:
                self.answer = Refusal(self, self.request, self.request.error)
                return True
            if self.request.completed or (not self._received and self.request.is_undecided):
                is_early = not self.request.completed
                self.answer = Answer(self, self.request, is_early=is_early)
                return True
        return False

    def make_answer(self) -> None:
        """Make the response and send it, until it is complete or the socket accepts no more."""
        self.begin_answer()
        while self.answer and not self.is_broken:
            self.flush()
            if self.answer.is_done or self.unsent:
                return
            self.begin_answer()

    def begin_answer(self) -> None:
        """Make the response until it is complete or `ENOUGH` of it waits to be sent."""
        while self.answer and not (self.answer.is_done or self.is_broken or self.unsent > ENOUGH):
            self.answer.advance()

    def refuse(self, failure: Failure) -> None:
        """Replace a response that was made but not sent by one for a failure of the server."""
        if self.answer:
            self.answer.close()
        self._output.clear()
        self.unsent = 0
        if self.request:
            self.answer = Refusal(self, self.request, failure)

    def end_answer(self, now: float) -> None:
        """Finish a response that was sent, or whose client has gone."""
        answer, self.answer = self.answer, None
        request = self.request
        if not answer or not request:
            return
        self.since = self.moved = now
        if self.is_broken or not answer.is_done:
            answer.close()
        if answer.is_early and answer.takes_body:
            request.is_decided = True
            if request.expect_continue:
                self.write_soon(CONTINUE)
                self.flush()
            return
        self.is_leaving = answer.close_on_finish
        if self.is_leaving:
            self._received = b""
        request.close()
        self.request = None

    def write_soon(self, data: bytes) -> None:
        """Queue a piece of a response."""
        self._output.append(memoryview(data))
        self.unsent += len(data)

    def flush(self) -> int:
        """Send what the socket accepts; return how many bytes left the queue."""
        before = self.unsent
        try:
            while self._output:
                if len(self._output) > 1 and self.unsent <= SENT:
                    whole = memoryview(b"".join(self._output))
                    self._output.clear()
                    self._output.append(whole)
                piece = self._output[0]
                sent = self.socket.send(piece[:SENT])
                self.unsent -= sent
                if sent < len(piece):
                    self._output[0] = piece[sent:]
                else:
                    self._output.popleft()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._drop_output()
        return before - self.unsent

    def check_client_disconnected(self) -> bool:
        """Return whether the client is known to have gone; waitress's tasks call this."""
        return self.is_broken

    def close(self) -> None:
        """Close the socket and release everything; not allowed while a response is being made."""
        self._drop_output()
        if self.answer:
            self.answer.close()
            self.answer = None
        if self.request:
            self.request.close()
            self.request = None
        self._received = b""
        self.socket.close()

    def _drop_output(self) -> None:
        self.is_broken = True
        self._output.clear()
        self.unsent = 0
