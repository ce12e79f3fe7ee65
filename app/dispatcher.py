"""Who answers a request: the thread of the loop, or another one, and when one more."""

import logging
import time
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from threading import Event, Lock

from waitress.channel import HTTPChannel
from waitress.task import ThreadedTaskDispatcher
from waitress.utilities import Error

logger = logging.getLogger("saasus_analysis.server")

PATIENCE_SECONDS = 0.002
"""How long a request takes until others are answered beside it; a small one takes a quarter."""


class _TooMany(Error):
    """What is wrong with a request that would have to wait behind too many others."""

    code = HTTPStatus.SERVICE_UNAVAILABLE
    reason = HTTPStatus.SERVICE_UNAVAILABLE.phrase


class Dispatcher(ThreadedTaskDispatcher):
    """Gives requests to threads if they may wait, else to the thread of the loop.

    One thread answers what waits, one request after the other, and another takes over when one
    takes long: threads that each have an answer to make take the interpreter from each other at
    every read and write, which costs more than the answers. A request that finds as many waiting as
    may wait, with all threads at work, is refused. `wake` wakes up the loop.
    """

    def __init__(self, queue: int, may_wait: Callable[[], bool], wake: Callable[[], None]) -> None:
        super().__init__()
        self._most = queue
        self._may_wait = may_wait
        self._wake = wake
        self._ready: deque[HTTPChannel] = deque()
        self._guard = Lock()
        self._waiting: deque[HTTPChannel] = deque()
        self._under_way = 0
        self._turn: _Turn | None = None
        self._is_idle = Event()

    def add_task(self, task: HTTPChannel) -> None:
        if self._under_way >= len(self.threads) - self.stop_count + self._most:
            task.requests[0].error = _TooMany("")
            self._ready.append(task)
        elif self._may_wait():
            self._add_waiting(task)
        else:
            self._ready.append(task)

    def run_ready(self) -> None:
        """Answer the requests that were not given to threads; the loop calls it when it is free."""
        while self._ready:
            task = self._ready.popleft()
            # What may wait, for a client to read or for a fault since then, is not for the loop.
            may_wait = self._may_wait() or len(task.requests) > 1 or task.total_outbufs_len
            if may_wait and not task.requests[0].error:
                self._add_waiting(task)
            else:
                _answer(task)

    def settle(self) -> bool:
        """Give the thread at work a moment to itself; where its request takes long, begin a turn.

        The loop calls it before it looks at its sockets. Returns whether it must come back after a
        look, and not wait there.
        """
        if self._under_way <= 1:
            return False
        turn = self._turn
        if turn and not turn.takes_long:
            self._is_idle.wait(PATIENCE_SECONDS)
        with self._guard:
            if self._turn and self._turn.takes_long:
                if not self._waiting:
                    return False
                self._begin_turn()
            return self._turn is not None

    def answer_waiting(self, turn: "_Turn") -> None:
        """Answer what waits until nothing does, or another turn began; in a thread."""
        while task := self._take(turn):
            turn.since = time.monotonic()
            try:
                _answer(task)
            finally:
                with self._guard:
                    self._under_way -= 1
            if self._ready or task.requests:  # its next request is waiting by now
                self._wake()

    def _add_waiting(self, task: HTTPChannel) -> None:
        with self._guard:
            self._under_way += 1
            self._waiting.append(task)
            if self._turn is None or self._turn.takes_long:
                self._begin_turn()

    def _begin_turn(self) -> None:
        self._is_idle.clear()
        self._turn = _Turn(self)
        super().add_task(self._turn)

    def _take(self, turn: "_Turn") -> HTTPChannel | None:
        """Return the next request of a turn, or None where the turn is over."""
        with self._guard:
            if turn is not self._turn:
                return None
            if self._waiting:
                return self._waiting.popleft()
            self._turn = None
            self._is_idle.set()
            return None


class _Turn:
    """The time in which one thread answers what waits; a task for a thread of waitress."""

    since: float | None = None
    """When it began with its request; by the monotonic clock."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    @property
    def takes_long(self) -> bool:
        """Whether its request takes long."""
        return self.since is not None and time.monotonic() - self.since > PATIENCE_SECONDS

    def service(self) -> None:
        self._dispatcher.answer_waiting(self)

    def cancel(self) -> None:
        """Do nothing: the connections of what waits are closed at the end anyway."""


def _answer(task: HTTPChannel) -> None:
    try:
        task.service()
    except Exception:
        logger.exception("a request was not answered")
