"""The threads: one of them runs the event loop, and answers small requests itself.

Handing a request to another thread and back takes longer than a small answer, and threads that each
have an answer to make take the interpreter from each other at every read and write. So the thread
that runs the loop, the leader, answers what is ready. Where a request takes longer than
`PATIENCE_SECONDS`, another thread becomes the leader, and the first only ends its request.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from threading import Condition, Event, Lock, Thread

from ..security import OPEN
from .answer import Failure, Refusal
from .connection import Connection
from .event_loop import EventLoop

logger = logging.getLogger("saasus_analysis.server")

PATIENCE_SECONDS = 0.002
"""How long a request takes until others are answered beside it; a small one takes a fifth."""

AWAKE_SECONDS = 0.1
"""How long the leader is watched after a request, in which the next one need not call for that."""

POLL_SECONDS = 0.5
"""How long the loop waits at most; then it says that it is alive."""

SPARE = 2
"""Threads beside those at requests: one leads, and one leads while that makes a health check."""


class Workers:
    """Threads that answer the requests of an event loop: `threads` at once, while `queue` wait.

    Requests that come beyond it are refused. Health checks are answered beside all others.
    """

    def __init__(
        self, loop: EventLoop, threads: int, queue: int, on_turn: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._limit = threads
        self._queue = queue
        self._on_turn = on_turn
        self._lock = Lock()
        self._idle = Condition(self._lock)
        self._watching = Condition(self._lock)
        self._waiting: deque[Connection] = deque()
        self._threads = 0
        self._busy = 0
        """Threads at a request that do not lead."""
        self._leader: object | None = None
        self._answering_since: float | None = None
        """When the leader began with a request; None: it runs the loop."""
        self._answered = 0.0
        self._has_watcher = False
        self._is_watcher_asleep = False
        self._is_over = Event()

    def start(self) -> None:
        """Start the threads."""
        with self._lock:
            self._start_missing()

    def wait(self) -> None:
        """Wait until the loop is over; a signal handler may run meanwhile.

        A signal that comes just before a wait does not end it, so no wait is without end.
        """
        while not self._is_over.wait(POLL_SECONDS):
            pass

    def wait_for_answers(self, seconds: float) -> None:
        """Wait until no answer is being made, so many seconds at most."""
        until = time.monotonic() + seconds
        while self._busy and time.monotonic() < until:
            time.sleep(0.01)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let a request wait in its thread while another thread takes its place."""
        with self._lock:
            self._limit += 1
            self._start_missing()
        try:
            yield
        finally:
            with self._lock:
                self._limit -= 1

    def _start_missing(self) -> None:
        while self._threads < self._limit + SPARE and not self._is_over.is_set():
            self._threads += 1
            Thread(target=self._work, name="answers", daemon=True).start()

    def _work(self) -> None:
        me = object()
        while True:
            with self._lock:
                has_work = self._find_work(me)
                if not self._has_watcher:
                    self._idle.notify()
                if not has_work:
                    self._threads -= 1
                    return
                connection = None if self._leader is me else self._waiting.popleft()
            if connection is None:
                self._lead(me)
            else:
                _answer(connection)
                self._finish(connection)

    def _find_work(self, me: object) -> bool:
        """Wait for something to do: to lead, or to answer what waits; False where there is none."""
        while not self._is_over.is_set() and self._threads <= self._limit + SPARE:
            if self._waiting and self._busy < self._limit:
                self._busy += 1
                return True
            if self._leader is None or self._takes_long():
                if self._leader is not None:
                    self._busy += 1  # who has led until now goes on with its request
                    self._answering_since = None
                self._leader = me
                return True
            if self._has_watcher:
                self._idle.wait()
            else:
                self._watch()
        return False

    def _watch(self) -> None:
        """Wait as long as the leader may take, or while it has nothing to do, until it calls."""
        self._has_watcher = self._is_watcher_asleep = True
        is_active = time.monotonic() - self._answered < AWAKE_SECONDS
        if is_active or self._answering_since is not None:
            self._is_watcher_asleep = False
        self._watching.wait(None if self._is_watcher_asleep else PATIENCE_SECONDS)
        self._has_watcher = self._is_watcher_asleep = False

    def _takes_long(self) -> bool:
        since = self._answering_since
        return since is not None and time.monotonic() - since > PATIENCE_SECONDS

    def _lead(self, me: object) -> None:
        """Run the loop and answer what is ready, until another thread leads or all is over."""
        ready = self._loop.ready
        while True:
            try:
                self._loop.poll(POLL_SECONDS)
                self._on_turn()
            except Exception:
                logger.exception("the event loop goes on")
                time.sleep(PATIENCE_SECONDS)
            while ready:
                connection = ready.popleft()
                if self._may_answer(connection):
                    if not self._answer_leading(me, connection):
                        return
                elif len(self._waiting) < self._queue or _is_begun(connection):
                    self._waiting.append(connection)  # for whoever ends with a request next
                else:
                    _refuse(connection)
                    self._loop.take_back(connection)
            if self._loop.is_over:
                with self._lock:
                    self._leader = None
                    self._is_over.set()
                    self._idle.notify_all()
                    self._watching.notify()
                return

    def _may_answer(self, connection: Connection) -> bool:
        """Return whether another thread is left to lead while the leader answers."""
        if connection.request and connection.request.path.endswith(OPEN):
            return self._busy < self._limit + SPARE - 1
        return self._busy < self._limit and not self._waiting

    def _answer_leading(self, me: object, connection: Connection) -> bool:
        """Answer as the leader; return whether this thread still leads."""
        self._answering_since = time.monotonic()
        if self._is_watcher_asleep:
            with self._lock:
                self._watching.notify()
        _answer(connection)
        with self._lock:
            is_leading = self._leader is me
            if is_leading:
                self._answered = time.monotonic()
                self._answering_since = None
        if is_leading:
            self._loop.take_back(connection)
        else:
            self._finish(connection)
        return is_leading

    def _finish(self, connection: Connection) -> None:
        """End a request that was answered beside the leader."""
        self._loop.hand_back(connection)
        with self._lock:
            self._busy -= 1


def _answer(connection: Connection) -> None:
    try:
        connection.make_answer()
    except Exception:
        logger.exception("a request was not answered")
        connection.is_broken = True


def _is_begun(connection: Connection) -> bool:
    """Return whether some of the answer was sent, so that no other can be given."""
    return bool(connection.answer and connection.answer.wrote_header)


def _refuse(connection: Connection) -> None:
    if connection.request:
        failure = Failure(HTTPStatus.SERVICE_UNAVAILABLE)
        connection.answer = Refusal(connection, connection.request, failure)
        connection.make_answer()
