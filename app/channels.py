"""How a connection is read, dispatched and answered: waitress's parts, fitted to the contract."""

import json
import logging
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask
from waitress.utilities import Error

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
    parser_class = _Parser
    task_class = _Task
    error_task_class = _ErrorTask

    receiving_since: float | None = None
    """When the first byte came of a request that is not whole yet; by the monotonic clock."""

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


class _TooMany(Error):
    """What is wrong with a request that would have to wait behind too many others."""

    code = HTTPStatus.SERVICE_UNAVAILABLE
    reason = HTTPStatus.SERVICE_UNAVAILABLE.phrase


class Dispatcher(ThreadedTaskDispatcher):
    """Gives requests to threads if they may wait, else to the thread of the loop.

    Handing a small request to another thread and back takes as long as answering it. A request that
    finds as many waiting as may wait is refused.
    """

    def __init__(self, queue: int, may_wait: Callable[[], bool]) -> None:
        super().__init__()
        self._most = queue
        self._may_wait = may_wait
        self._ready: deque[HTTPChannel] = deque()

    def add_task(self, task: HTTPChannel) -> None:
        if len(self.queue) >= self._most:
            task.requests[0].error = _TooMany("")
            self._ready.append(task)
        elif self._may_wait():
            super().add_task(task)
        else:
            self._ready.append(task)

    def run_ready(self) -> None:
        """Answer the requests that were not given to threads; the loop calls it when it is free."""
        while self._ready:
            task = self._ready.popleft()
            # What may wait, for a client to read or for a fault since then, is not for the loop.
            may_wait = self._may_wait() or len(task.requests) > 1 or task.total_outbufs_len
            if may_wait and not task.requests[0].error:
                super().add_task(task)
            else:
                try:
                    task.service()
                except Exception:
                    logger.exception("a request was not answered")
