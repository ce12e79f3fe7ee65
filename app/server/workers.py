"""The threads: one of them runs the event loop, and answers small requests itself.

Handing a request to another thread and back takes longer than a small response, and threads that
make responses at the same time contend for the interpreter lock at every read and write. So the
thread that runs the loop, the leader, answers the requests that are ready. If a request takes
longer than `PATIENCE_SECONDS`, another thread becomes the leader, and the first only finishes its
request.

Small writes that wait at the same time are answered by one thread with one commit for all of them,
because otherwise each would wait for the disk. While a thread that is not the leader makes such
writes, new ones wait for it.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http import HTTPStatus
from itertools import islice
from threading import Condition, Event, Lock, Thread, get_ident

from ..errors import ServiceUnavailable
from .answer import Failure
from .connection import Connection
from .event_loop import EventLoop

logger = logging.getLogger("saasus_analysis.server")

PATIENCE_SECONDS = 0.002
"""How long a request takes before another thread answers others; a small one takes a fifth."""

TURN_SECONDS = 0.01
"""How long the leader answers before it polls the sockets again, however many are ready."""

WRITE_SECONDS = 0.05
"""How long a thread may make writes before other writes stop waiting for it."""

FEEDS = ("/active-users", "/user-behavior-day", "/ingest/events")
"""Path suffixes of operations whose small writes are committed together."""

SMALL_WRITE = 2**16
"""Bytes of the body of a small write."""

TOGETHER = 32
"""The most writes in one commit; each response waits for all of them."""

AWAKE_SECONDS = 0.1
"""How long the leader is watched after a request, so that the next one need not wake a watcher."""

POLL_SECONDS = 0.5
"""The most time the loop waits for events, so that it can notify the watchdog."""

SPARE = 2
"""Threads in addition to those that answer: a leader, and one to lead while it answers a health
check."""


GroupCommit = Callable[[], AbstractContextManager[None]]
"""Returns a context in which writes are delayed until its end, and then committed together."""


class Workers:
    """Threads that answer the requests of an event loop: `threads` at once, while `queue` wait.

    Further requests are refused. Health checks are always answered, in addition to these.
    """

    def __init__(
        self,
        loop: EventLoop,
        threads: int,
        queue: int,
        on_turn: Callable[[], None],
        group_commit: GroupCommit | None,
    ) -> None:
        self._loop = loop
        self._group_commit = group_commit
        self._limit = threads
        self._queue = queue
        self._on_turn = on_turn
        self._lock = Lock()
        self._idle = Condition(self._lock)
        self._watching = Condition(self._lock)
        self._waiting: deque[Connection] = deque()
        self._checks: list[Connection] = []
        """Health checks for which no thread is free."""
        self._threads = 0
        self._busy = 0
        """How many threads other than the leader are answering a request."""
        self._leader: int | None = None
        self._are_feeds = False
        """Whether the leader is answering writes that other writes may wait for."""
        self._writes: deque[Connection] = deque()
        """Writes that wait for `_writer`."""
        self._grouped = 0
        """How many writes are being answered in groups, not counting the first of each group."""
        self._writer: int | None = None
        """The thread, other than the leader, that is answering writes."""
        self._writing_since = 0.0
        self._answering_since: float | None = None
        """When the leader began a request; None while it runs the loop."""
        self._answered = 0.0
        self._has_watcher = False
        self._is_watcher_asleep = False
        self._is_over = Event()

    def start(self) -> None:
        """Start the threads."""
        with self._lock:
            self._start_missing()

    def wait(self) -> None:
        """Wait until the loop is over; signal handlers can run meanwhile.

        A signal that arrives just before a wait does not interrupt it, so each wait is bounded.
        """
        while not self._is_over.wait(POLL_SECONDS):
            pass

    def wait_for_answers(self, seconds: float) -> None:
        """Wait until no response is being made, at most `seconds`."""
        until = time.monotonic() + seconds
        while self._busy and time.monotonic() < until:
            time.sleep(0.01)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let another thread take the place of a request that waits in this context."""
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
        me = get_ident()
        while True:
            with self._lock:
                has_work = self._find_work(me)
                if not self._has_watcher:
                    self._idle.notify()
                if not has_work:
                    self._threads -= 1
                    return
                connection = None if self._leader == me else self._waiting.popleft()
            if connection is None:
                self._lead(me)
            else:
                self._answer([connection])
                self._finish(me, [connection])

    def _find_work(self, me: int) -> bool:
        """Wait until this thread should lead or answer a waiting request.

        Return False if it should end instead.
        """
        while not self._is_over.is_set() and self._threads <= self._limit + SPARE:
            if self._waiting and self._busy < self._limit:
                self._busy += 1
                return True
            if self._leader is None or self._takes_long():
                if self._leader is not None:
                    self._busy += 1  # the previous leader continues with its request
                    if self._are_feeds:
                        self._writer, self._writing_since = self._leader, time.monotonic()
                    self._answering_since = None
                self._leader = me
                return True
            if self._has_watcher:
                self._idle.wait()
            else:
                self._watch()
        return False

    def _watch(self) -> None:
        """Wait for `PATIENCE_SECONDS`, or until an idle leader wakes this thread for a request."""
        self._has_watcher = self._is_watcher_asleep = True
        is_active = time.monotonic() - self._answered < AWAKE_SECONDS
        if is_active or self._answering_since is not None:
            self._is_watcher_asleep = False
        self._watching.wait(None if self._is_watcher_asleep else PATIENCE_SECONDS)
        self._has_watcher = self._is_watcher_asleep = False

    def _takes_long(self) -> bool:
        since = self._answering_since
        return since is not None and time.monotonic() - since > PATIENCE_SECONDS

    def _lead(self, me: int) -> None:
        """Run the loop and answer ready requests until another thread leads or the loop is over."""
        ready = self._loop.ready
        while True:
            try:
                self._loop.poll(WRITE_SECONDS if self._writes else POLL_SECONDS)
                self._on_turn()
            except Exception:
                logger.exception("the event loop continues after an error")
                time.sleep(PATIENCE_SECONDS)
            self._take_back_writes()
            ready.extendleft(self._checks)
            self._checks.clear()
            until = time.monotonic() + TURN_SECONDS
            while ready:
                connection = ready.popleft()
                is_feed = self._is_feed(connection)
                has_room = self._room > 0
                if is_feed and has_room and self._waits_for_writer(connection):
                    continue
                if self._may_answer(connection):
                    connections = [connection]
                    if is_feed:
                        connections += self._take_feeds()
                    if not self._answer_leading(me, connections, is_feed):
                        return
                elif connection.is_check:
                    self._checks.append(connection)
                elif has_room or _is_begun(connection):
                    self._waiting.append(connection)  # for the next thread that becomes free
                else:
                    connection.refuse(Failure(HTTPStatus.SERVICE_UNAVAILABLE))
                    _guarded(connection.make_answer, connection)
                    self._loop.take_back(connection)
                if time.monotonic() > until:
                    break  # new requests may have arrived meanwhile
            if self._loop.is_over:
                with self._lock:
                    self._leader = None
                    self._is_over.set()
                    self._idle.notify_all()
                    self._watching.notify()
                return

    @property
    def _room(self) -> int:
        """How many more requests may wait for a thread, or for a common commit."""
        return self._queue - len(self._waiting) - len(self._writes) - self._grouped

    def _may_answer(self, connection: Connection) -> bool:
        """Return whether the leader may answer: another thread must be free to lead meanwhile."""
        if connection.is_check:
            return self._busy < self._limit + SPARE - 1
        return self._busy < self._limit and not self._waiting

    def _answer_leading(self, me: int, connections: list[Connection], are_feeds: bool) -> bool:
        """Answer as the leader; return whether this thread still leads."""
        self._are_feeds = are_feeds
        self._answering_since = time.monotonic()
        if self._is_watcher_asleep:
            with self._lock:
                self._watching.notify()
        self._answer(connections)
        with self._lock:
            is_leading = self._leader == me
            if is_leading:
                self._answered = time.monotonic()
                self._answering_since = None
        if is_leading:
            for connection in connections:
                self._loop.take_back(connection)
        else:
            self._finish(me, connections)
        return is_leading

    def _finish(self, me: int, connections: list[Connection]) -> None:
        """Hand back requests that this thread answered as a non-leader; answer waiting writes."""
        while connections:
            ended = connections
            with self._lock:
                connections = self._next_writes(me)
                if not connections:
                    self._busy -= 1
            self._loop.hand_back(ended)
            self._answer(connections)

    def _answer(self, connections: list[Connection]) -> None:
        """Answer requests; if there are several, with one commit."""
        if self._group_commit and len(connections) > 1:
            try:
                with self._group_commit():
                    for connection in connections:
                        _guarded(connection.begin_answer, connection)
            except ServiceUnavailable as error:
                # The access log and the counts hold the responses made before the commit failed.
                told = error.description
                logger.error("%d writes were answered with a 503: %s", len(connections), told)
                for connection in connections:
                    connection.refuse(Failure(HTTPStatus.SERVICE_UNAVAILABLE, told))
            with self._lock:
                self._grouped -= len(connections) - 1
        for connection in connections:
            _guarded(connection.make_answer, connection)

    # Writes that are committed together ----------------------------------------------------

    def _is_feed(self, connection: Connection) -> bool:
        """Return whether a request is a small write that can be committed together with others."""
        request, answer = connection.request, connection.answer
        return (
            self._group_commit is not None
            and request is not None
            and request.command != "GET"
            and request.path.endswith(FEEDS)
            and request.completed
            and request.body_length <= SMALL_WRITE
            and "CONTENT_ENCODING" not in request.headers  # unpacked, the body may be large
            and answer is not None
            and not answer.wrote_header
        )

    def _take_feeds(self) -> list[Connection]:
        """Remove more such writes from the ready connections, and return them."""
        ready = self._loop.ready
        most = max(0, min(TOGETHER - 1, self._room))
        found = list(islice(filter(self._is_feed, ready), most))
        for connection in found:
            ready.remove(connection)
        with self._lock:
            self._grouped += len(found)
        return found

    def _waits_for_writer(self, connection: Connection) -> bool:
        """Let a write wait for the thread that is answering others; return whether there is one."""
        with self._lock:
            if self._writer is not None:
                self._writes.append(connection)
            return self._writer is not None

    def _next_writes(self, me: int) -> list[Connection]:
        """Return the writes that wait for this thread; none if other requests wait for a thread."""
        if self._writer != me:
            return []
        if self._waiting or not self._writes:
            self._writer = None
            return []
        self._writing_since = time.monotonic()
        taken = [self._writes.popleft() for _ in range(min(len(self._writes), TOGETHER))]
        self._grouped += len(taken) - 1
        return taken

    def _take_back_writes(self) -> None:
        """Make waiting writes ready again if no thread answers writes, or it takes too long."""
        if not self._writes:
            return
        with self._lock:
            if time.monotonic() - self._writing_since > WRITE_SECONDS:
                self._writer = None
            if self._writer is None:
                self._loop.ready.extendleft(reversed(self._writes))
                self._writes.clear()


def _guarded(make: Callable[[], None], connection: Connection) -> None:
    """Make a response; an exception breaks the connection."""
    try:
        make()
    except Exception:
        logger.exception("a request was not answered")
        connection.is_broken = True


def _is_begun(connection: Connection) -> bool:
    """Return whether part of the response was sent, so that it cannot be replaced."""
    return bool(connection.answer and connection.answer.wrote_header)
