"""A connection: one client's socket, with what came from it and what is to go to it."""

import socket
from collections import deque
from typing import TYPE_CHECKING, Any

from ..web.browser_security import OPEN
from .answer import Answer, Failure, Refusal, Request

if TYPE_CHECKING:
    from .server import Server

RECEIVED_OF_BODY = 2**16
"""Bytes that are read at once of a body whose length is known."""

RECEIVED = 2**12
"""Bytes that are read at once of all else: of a body in chunks, each chunk costs time."""

SENT = 2**18
"""Bytes that are given to a socket at once."""

ENOUGH = 2**16
"""Bytes of an answer that wait to be sent; more of it is made when they are gone."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection:
    """A client's socket; it never waits for the client.

    Belongs to one thread at a time: that of the event loop, or while it `is_answering`, the one
    that makes its answer.
    """

    def __init__(self, server: "Server", client: socket.socket, address: Any, now: float) -> None:
        self.server = server
        self.adj = server.adj
        self.socket = client
        self.addr = address
        self.events = 0
        """What the event loop watches it for."""
        self.request: Request | None = None
        """The request that is coming in or is being answered."""
        self.answer: Answer | Refusal | None = None
        self.since = now
        """When its request began to come in, or its last answer ended."""
        self.moved = now
        """When something came or went last."""
        self.unsent = 0
        self.is_answering = False
        """Whether it belongs to the thread that makes its answer."""
        self.has_ended = False
        """Whether the client sends no more."""
        self.is_broken = False
        """Whether the client takes no more."""
        self.is_aborted = False
        """Whether the application wants it closed without any courtesy."""
        self.is_leaving = False
        """Whether all is answered, and what the client still sends is thrown away."""
        self.noted = 0
        """Bytes that the event loop has counted as held."""
        self.marked: int | None = None
        """Bytes of the request when it was last looked for slow ones; None: not since it began."""
        self._received = b""
        self._output: deque[memoryview] = deque()

    @property
    def held(self) -> int:
        """How many bytes are held for it in memory."""
        request = self.request.size if self.request else 0
        return request + len(self._received) + self.unsent

    @property
    def is_in_chunks(self) -> bool:
        """Whether it is sending a body in chunks, of which each costs time."""
        return self.request is not None and self.request.chunked

    @property
    def is_beginning(self) -> bool:
        """Whether the head of a request is coming in."""
        return self.request is not None and not self.request.headers_finished

    @property
    def is_idle(self) -> bool:
        """Whether nothing is coming in, being answered or going out."""
        return not (self.request or self.answer or self.unsent or self._received)

    @property
    def still_since(self) -> float:
        """Since when its client has done nothing that counts: of a head, only its end does."""
        return self.since if self.is_idle or self.is_beginning or self.is_leaving else self.moved

    @property
    def is_check(self) -> bool:
        """Whether its request asks for the server's health."""
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
        """Return how many bytes wait in the socket, up to so many."""
        try:
            return len(self.socket.recv(most, socket.MSG_PEEK))
        except OSError:
            return 0

    def find_answer(self, now: float) -> bool:
        """Read a request from what came; return whether there is one to answer.

        It is answered when it is whole. One with a large body, or that waits to be told to go on,
        is answered early as well: the application may refuse it by its headers.
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
        """Make the answer and send it, until it is whole or the socket takes no more."""
        self.begin_answer()
        while self.answer and not self.is_broken:
            self.flush()
            if self.answer.is_done or self.unsent:
                return
            self.begin_answer()

    def begin_answer(self) -> None:
        """Make the answer until it is whole or enough of it waits to be sent."""
        while self.answer and not (self.answer.is_done or self.is_broken or self.unsent > ENOUGH):
            self.answer.advance()

    def refuse(self, failure: Failure) -> None:
        """Answer that the server itself fails, in the place of what was made and not sent."""
        if self.answer:
            self.answer.close()
        self._output.clear()
        self.unsent = 0
        if self.request:
            self.answer = Refusal(self, self.request, failure)

    def end_answer(self, now: float) -> None:
        """Let go of an answer that is made and sent, or whose client is gone."""
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
        """Take a piece of an answer."""
        self._output.append(memoryview(data))
        self.unsent += len(data)

    def flush(self) -> int:
        """Send what the socket takes; return how many bytes that was."""
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
        """Return whether it is known that the client is gone; waitress's tasks offer it."""
        return self.is_broken

    def close(self) -> None:
        """Close the socket and let go of everything; to be called where no answer is being made."""
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
