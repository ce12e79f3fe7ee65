"""Serving on a socket: waitress, which is listened with, looped, and drained at the end."""

import logging
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from types import FrameType
from typing import Any

from .channels import Listener
from .config import Settings
from .dispatcher import Dispatcher
from .errors import StartError
from .loop import Loop
from .security import is_loopback

logger = logging.getLogger("saasus_analysis.server")
WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

POLL_SECONDS = 0.5
SLOW_SECONDS = 1
CONNECTIONS = 1000
RECEIVED, KEPT_IN_MEMORY = 2**16, 2**22


class Server:
    """A socket that listens, and the application behind it.

    Listens from its making on, so that `url` is true; `run` answers. Raises StartError if the
    address cannot be listened on, or is not on loopback where there is a reason, `loopback_for`,
    to listen on loopback only. `may_wait` tells whether a request may take long now, so that others
    must not wait for it.
    """

    def __init__(
        self,
        app: WSGIApplication,
        settings: Settings,
        *,
        loopback_for: str | None,
        may_wait: Callable[[], bool] = lambda: True,
    ) -> None:
        self._drain_seconds = settings.drain_seconds
        self._looked = time.monotonic()
        self._stopping = False
        self._is_ending = False
        self._socket = _listen(settings.host, settings.port, loopback_for)
        self._loop = Loop()
        self._receive_seconds = settings.receive_seconds
        self._dispatcher = Dispatcher(settings.queue, may_wait, self._loop.wake)
        self._listener = Listener(
            app,
            map=self._loop,
            _sock=self._socket,
            bind_socket=False,
            sockinfo=(self._socket.family, self._socket.type, 0, self._socket.getsockname()),
            dispatcher=self._dispatcher,
            sockets=[self._socket],
            connection_limit=CONNECTIONS,
            ident=None,
            # A large body is read in few pieces, and does not go through a file.
            recv_bytes=RECEIVED,
            inbuf_overflow=KEPT_IN_MEMORY,
            # waitress refuses what is as long as its limit; ours may be reached.
            max_request_body_size=settings.max_body + 1,
            max_request_header_size=settings.max_header + 1,
            clear_untrusted_proxy_headers=not settings.proxies,
        )
        self._listener.waiting = self._waiting
        self._counting = Lock()
        self._threads = 0
        self._add_threads(settings.threads)
        address, port = self._socket.getsockname()[:2]
        self.url = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"

    def run(self, is_over: Callable[[], bool] = lambda: False) -> None:
        """Answer requests until `stop` is called, then finish those that are under way.

        `is_over` is asked every now and then; where it says so, it is a stop, too.
        """
        try:
            while not self._stopping and not is_over():
                self._poll()
            self._listener.end()
            since = time.monotonic()
            while self._close_idle() and time.monotonic() - since < self._drain_seconds:
                self._poll()
            with self._counting:
                self._is_ending = True
            self._dispatcher.shutdown(timeout=POLL_SECONDS)
        finally:
            for channel in list(self._listener.active_channels.values()):
                channel.handle_close()
            self._listener.close()
            self._loop.close()

    def stop(self) -> None:
        """Let `run` come to its end; asked twice, without waiting for requests under way.

        May be called from a signal handler or another thread.
        """
        if self._stopping:
            self._drain_seconds = 0
        self._stopping = True
        self._loop.wake()

    def _poll(self) -> None:
        self._loop.look_at(self._listener)
        self._loop.poll(0 if self._dispatcher.settle() else POLL_SECONDS)
        self._dispatcher.run_ready()
        self._close_slow()

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Let a request wait in its thread while another thread takes its place."""
        self._add_threads(1)
        try:
            yield
        finally:
            self._add_threads(-1)

    def _add_threads(self, count: int) -> None:
        with self._counting:
            if not self._is_ending:
                self._threads += count
                self._dispatcher.set_thread_count(self._threads)

    def _close_slow(self) -> None:
        """Close the connections that are over, or whose request takes too long to come.

        Looks about once a second.
        """
        now = time.monotonic()
        if now - self._looked < SLOW_SECONDS:
            return
        self._looked = now
        for channel in list(self._listener.active_channels.values()):
            since = channel.receiving_since
            if channel.will_close:  # waitress has found it idle for long
                channel.handle_close()
            elif since is not None and now - since > self._receive_seconds:
                logger.info("%s is too slow to send a request; closed", channel.addr[0])
                channel.handle_close()

    def _close_idle(self) -> bool:
        """Close the connections that wait for nothing, and tell whether any are left."""
        for channel in list(self._listener.active_channels.values()):
            if not channel.busy:
                channel.handle_close()
        return bool(self._listener.active_channels)

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Let SIGTERM and SIGINT stop it, also before it runs."""

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


def _listen(host: str, port: int, loopback_for: str | None) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        if loopback_for and not is_loopback(str(address[0])):
            raise StartError(f"host: {loopback_for}, it must be a loopback address, not {host}")
        return socket.create_server(address, family=family)
    except (OSError, UnicodeError) as error:
        raise StartError(f"cannot listen on {host} port {port}: {error}") from None
