"""How a connection is read, dispatched and answered: waitress's parts, fitted to the contract."""

import json
import logging
import socket
import struct
import time
from http import HTTPStatus
from typing import Any

from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, WSGITask

from .errors import error_body, known_status
from .security import SECURITY_HEADERS
from .trace import TRACE_HEADER, make_trace_id

logger = logging.getLogger("saasus_analysis.server")
# It warns of every request that waits for a thread, which is what a queue is for.
logging.getLogger("waitress.queue").setLevel(logging.ERROR)

WAITING = "saasus_analysis.waiting"
"""Key of the WSGI environment: makes a context in which a request waits and holds up no other."""

MESSAGES = {
    400: "the request is not valid HTTP",
    413: "the body must not be over {max_body} bytes",
    431: "the request line and headers must not be over {max_header} bytes",
    500: "the server failed to answer; its log tells more",
    501: "Transfer-Encoding must be chunked or left out",
    503: "there are too many requests at once; ask again later",
}
"""What is said where waitress refuses a request before the application sees it."""


class _ErrorTask(ErrorTask):
    """Answers with `Error` what waitress would answer as plain text."""

    def execute(self) -> None:
        adjustments = self.channel.adj
        code = self.request.error.code
        status = known_status(code)
        message = MESSAGES.get(code, MESSAGES[status]).format(
            max_body=adjustments.max_request_body_size - 1,
            max_header=adjustments.max_request_header_size - 1,
        )
        trace_id = make_trace_id(None)
        body = json.dumps(error_body(status, message)).encode()
        self.status = f"{status} {self.request.error.reason}"
        self.response_headers += [("Content-Type", "application/json"), (TRACE_HEADER, trace_id)]
        self.response_headers += SECURITY_HEADERS.items()
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.response_headers.append(("Retry-After", "1"))
        self.set_close_on_finish()
        self.content_length = len(body)
        logger.info("%s refused: %s (%s)", self.channel.addr[0], self.status, trace_id)
        self.write(body)


class _Parser(HTTPRequestParser):
    """Refuses a Content-Length of thousands of digits, which `int` does not read."""

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError:
            raise ParsingError("Content-Length is invalid") from None


class _Task(WSGITask):
    """Runs the application, which may wait, and end the connection by raising ConnectionError.

    It is closed then, and reset for a ConnectionResetError.
    """

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[WAITING] = self.channel.server.waiting
        return environ

    def execute(self) -> None:
        try:
            super().execute()
        except ConnectionError as error:
            if isinstance(error, ConnectionResetError):
                # Closing such a socket sends a reset.
                linger = struct.pack("ii", 1, 0)
                self.channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            raise ClientDisconnected from None


class Channel(HTTPChannel):
    """A connection; it tells the loop itself when there is something to look at."""

    parser_class = _Parser
    task_class = _Task
    error_task_class = _ErrorTask

    receiving_since: float | None = None
    """When the first byte came of a request that is not whole yet; by the monotonic clock."""
    is_full = False
    """Whether the socket did not take all that was written to it."""

    @property
    def busy(self) -> bool:
        """Whether a request is being received, worked on or answered."""
        return bool(self.requests or self.request or self.total_outbufs_len)

    def received(self, data: bytes) -> bool:
        taken: bool = super().received(data)
        if self.request is None:
            self.receiving_since = None
        elif self.receiving_since is None:
            self.receiving_since = time.monotonic()
        return taken

    def service(self) -> None:
        super().service()
        self._map.look_at(self)

    def writable(self) -> bool:
        # What a thread is about to write is not for the loop, which would come in between.
        return self.is_full or self.will_close or self.close_when_flushed

    def _flush_some(self, do_close: bool = True) -> bool:
        try:
            flushed: bool = super()._flush_some(do_close)
        finally:
            self.is_full = self.total_outbufs_len > 0
            if self.is_full:
                self._map.look_at(self)
        return flushed


class Listener(TcpWSGIServer):
    """Takes up connections: all that wait, and not one for each round of the loop."""

    channel_class = Channel

    def handle_accept(self) -> None:
        before = -1
        while before < len(self._map) and self.readable():
            before = len(self._map)
            super().handle_accept()

    def end(self) -> None:
        """Take up no more connections."""
        self.del_channel()
        self.socket.close()
        self.accepting = False

    def pull_trigger(self) -> None:
        """Wake the loop after every answer at the end, when it waits for them."""
        if not self.accepting:
            super().pull_trigger()
