"""Serving on a socket: waitress, with `Error` for what it refuses, and a drain at the end."""

import json
import logging
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import FrameType
from typing import Any

from flask import Flask
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import create_server
from waitress.task import ErrorTask

from .api import TRACE_HEADER, make_trace_id
from .auth.guard import is_loopback
from .config import Settings
from .errors import StartError, error_body, known_status

logger = logging.getLogger("saasus_analysis.server")
# It warns of every request that waits for a thread, which is what a queue is for.
logging.getLogger("waitress.queue").setLevel(logging.ERROR)

MESSAGES = {
    400: "the request is not valid HTTP",
    413: "the body must not be over {max_body} bytes",
    431: "the request line and headers must be shorter than {max_header} bytes",
    500: "the server failed to answer; its log tells more",
    501: "Transfer-Encoding must be chunked or left out",
}
"""What is said where waitress refuses a request before the application sees it."""

POLL_SECONDS = 0.5
RECEIVED, KEPT_IN_MEMORY = 2**16, 2**22


class _ErrorTask(ErrorTask):
    """Answers with `Error` what waitress would answer as plain text."""

    def execute(self) -> None:
        adjustments = self.channel.adj
        code = self.request.error.code
        status = known_status(code)
        message = MESSAGES.get(code, MESSAGES[status]).format(
            max_body=adjustments.max_request_body_size - 1,
            max_header=adjustments.max_request_header_size,
        )
        trace_id = make_trace_id(None)
        body = json.dumps(error_body(status, message)).encode()
        self.status = f"{status} {self.request.error.reason}"
        self.response_headers += [("Content-Type", "application/json"), (TRACE_HEADER, trace_id)]
        self.set_close_on_finish()
        self.content_length = len(body)
        logger.info("%s refused: %s trace=%s", self.channel.addr[0], self.status, trace_id)
        self.write(body)


class _Parser(HTTPRequestParser):
    """Refuses a Content-Length of thousands of digits, which `int` does not read."""

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError:
            raise ParsingError("Content-Length is invalid") from None


class _Channel(HTTPChannel):
    parser_class = _Parser
    error_task_class = _ErrorTask

    @property
    def busy(self) -> bool:
        """Whether a request is being received, worked on or answered."""
        return bool(self.requests or self.request or self.total_outbufs_len)


class Server:
    """A socket that listens, and the application behind it.

    Listens from its making on, so that `url` is true; `run` answers. Raises StartError if the
    address cannot be listened on, or is not on loopback while the application asks for no keys.
    """

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._drain_seconds = settings.drain_seconds
        self._stopping = False
        self._sockets: dict[int, Any] = {}
        self._socket = _listen(settings.host, settings.port, loopback_only=not settings.auth)
        self._server = create_server(
            app,
            map=self._sockets,
            sockets=[self._socket],
            threads=settings.threads,
            ident=None,
            # A large body is read in few pieces, and does not go through a file.
            recv_bytes=RECEIVED,
            inbuf_overflow=KEPT_IN_MEMORY,
            # waitress refuses what is as long as its limit; ours may be reached.
            max_request_body_size=settings.max_body + 1,
            clear_untrusted_proxy_headers=True,
        )
        self._server.channel_class = _Channel
        address, port = self._socket.getsockname()[:2]
        self.url = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"

    def run(self) -> None:
        """Answer requests until SIGTERM or SIGINT, then finish those that are under way."""
        with closing(self._server), self._signals():
            while not self._stopping:
                self._poll()
            self._server.del_channel()
            self._socket.close()
            since = time.monotonic()
            while self._close_idle() and time.monotonic() - since < self._drain_seconds:
                self._poll()
            self._server.task_dispatcher.shutdown(timeout=POLL_SECONDS)

    def stop(self) -> None:
        """Let `run` come to its end; asked twice, without waiting for requests under way.

        May be called from a signal handler or another thread.
        """
        if self._stopping:
            self._drain_seconds = 0
        self._stopping = True
        self._server.pull_trigger()

    def _poll(self) -> None:
        wasyncore.loop(timeout=POLL_SECONDS, map=self._sockets, count=1)

    def _close_idle(self) -> bool:
        """Close the connections that wait for nothing, and tell whether any are left."""
        for channel in list(self._server.active_channels.values()):
            if not channel.busy:
                channel.handle_close()
        return bool(self._server.active_channels)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(_number: int, _frame: FrameType | None) -> None:
            self.stop()

        before: dict[int, Any] = {
            number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _listen(host: str, port: int, *, loopback_only: bool) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        if loopback_only and not is_loopback(str(address[0])):
            raise StartError(f"host: without keys, it must be a loopback address, not {host}")
        return socket.create_server(address, family=family)
    except OSError as error:
        raise StartError(f"cannot listen on {host} port {port}: {error}") from None
