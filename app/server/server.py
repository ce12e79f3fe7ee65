"""The server: listening sockets, the application behind them, and the drain at shutdown."""

import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ..config import Settings
from .answer import Limits
from .event_loop import EventLoop
from .listening import connection_limit
from .workers import POLL_SECONDS, GroupCommit, Workers

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

TURN_SECONDS = 0.5
"""How often `is_over` is called."""


class Server:
    """Serves an application on listening sockets. `run` answers requests; `url` is the address.

    `group_commit` returns a context in which the application's writes are committed together.

    The application is called early, with `BODY_PENDING`, for a request whose body is large, or
    whose client waits for `100 Continue`.
    """

    def __init__(
        self,
        app: WSGIApplication,
        listeners: list[socket.socket],
        settings: Settings,
        group_commit: GroupCommit | None = None,
    ) -> None:
        self.application = app
        self.adj = Limits(
            # waitress refuses a size that equals its limit; our limits are inclusive.
            max_request_body_size=settings.max_body + 1,
            max_request_header_size=settings.max_header + 1,
            inbuf_overflow=settings.max_body + 1,  # bodies stay in memory
        )
        address, port = listeners[0].getsockname()[:2]
        self.url = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
        self.server_name, self.effective_port = address, port
        self.drain_seconds: float = settings.drain_seconds
        self._is_stopping = False
        self._turned = 0.0
        self._loop = EventLoop(self, listeners, settings, connection_limit())
        self._workers = Workers(
            self._loop, settings.threads, settings.queue, self._turn, group_commit
        )
        self.waiting = self._workers.waiting

    def run(
        self,
        is_over: Callable[[], bool] = lambda: False,
        on_stop: Callable[[], object] = lambda: None,
    ) -> None:
        """Answer requests until `stop` is called, then finish those in progress.

        The event loop calls `is_over` every `TURN_SECONDS`, and stops if it returns True. It calls
        `on_stop` once it accepts no more connections.
        """
        self._is_over, self._on_stop = is_over, on_stop
        self._workers.start()
        self._workers.wait()
        self._workers.wait_for_answers(POLL_SECONDS)
        self._loop.close()

    def stop(self) -> None:
        """Make `run` end; a second call makes it end without waiting for requests in progress.

        May be called from a signal handler or another thread.
        """
        if self._is_stopping:
            self.drain_seconds = 0
        self._is_stopping = True
        self._loop.wake()

    def _turn(self) -> None:
        """Check after each turn of the event loop whether to stop."""
        now = time.monotonic()
        if now - self._turned >= TURN_SECONDS:
            self._turned = now
            if self._is_over():  # never set False here: a signal may have set True meanwhile
                self._is_stopping = True
        if self._is_stopping and not self._loop.is_stopped:
            self._loop.stop()
            self._on_stop()

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Make SIGTERM and SIGINT stop the server, even before it runs."""

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
