"""The loop and its threads with an application of a few lines, on real sockets.

Nothing wakes the loop here but what must: a channel that it misses is not answered at all.
"""

import selectors
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.config import load_settings
from app.server import Server, event_loop, listen
from app.server.answer import Request
from app.web.request_body import BODY_PENDING

PIECES, PIECE = 40, b"x" * 2**20
LARGE = PIECES * len(PIECE)
GET = "GET {} HTTP/1.1\r\nHost: x\r\n\r\n"


class Service:
    """A server that runs in a thread; requests to `/held` wait for `gate`, to `/last` for `end`."""

    def __init__(self, **settings: Any) -> None:
        self.gate, self.end = Event(), Event()
        self.holds: list[str] = []
        self.slow = 0
        listeners = listen("127.0.0.1", 0)
        self._server = Server(self._answer, listeners, load_settings(settings, {}))
        self._thread = Thread(target=self._server.run)
        self._thread.start()

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get(BODY_PENDING):
            start_response("100 Continue", [])
            return []
        path = environ["PATH_INFO"]
        if path.startswith("/held"):
            self.holds.append(path)
            assert self.gate.wait(60)
        if path == "/last":
            self.holds.append(path)
            assert self.end.wait(60)
        if path == "/slow":
            self.slow += 1
            time.sleep(0.001)
        if path == "/large":
            start_response("200 OK", [("Content-Length", str(LARGE))])
            return (PIECE for _ in range(PIECES))
        body = path.encode() + environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    def connect(self) -> "Client":
        address = urlsplit(self._server.url)
        return Client(socket.create_connection((address.hostname, address.port), timeout=20))

    def is_answering(self) -> None:
        with self.connect() as client:
            assert client.ask("/ok") == b"/ok"

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so, with the server at work."""
        for _ in range(10_000):
            if is_so():
                return
            self.is_answering()
        pytest.fail("it did not come to be so")

    @property
    def connections(self) -> int:
        return len(self._server._loop.connections)

    def stop(self) -> None:
        self._server.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()


class Client:
    """A connection of a client."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *paths: str) -> None:
        self.socket.sendall("".join(map(GET.format, paths)).encode())

    def read(self, length: int) -> bytes:
        with self.socket.makefile("rb", buffering=0) as file:
            got = b""
            while len(got) < length and (piece := file.read(length - len(got))):
                got += piece
            return got

    def head(self) -> int:
        """Read the head of an answer and not a byte more; return the length of its body."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self.socket.recv(1)
            assert byte, head
            head += byte
        fields = dict(line.split(b": ") for line in head.splitlines()[1:-1])
        return int(fields[b"Content-Length"])

    def answer(self) -> bytes:
        """Return the body of the next answer."""
        return self.read(self.head())

    def ask(self, path: str) -> bytes:
        self.send(path)
        return self.answer()


@pytest.fixture(autouse=True, params=["DefaultSelector", "SelectSelector"])
def _poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best poller of the system, and the one that every system has."""
    monkeypatch.setattr(event_loop, "DefaultSelector", getattr(selectors, request.param))
    monkeypatch.setattr("app.server.workers.POLL_SECONDS", 60)


@contextmanager
def running(**settings: Any) -> Iterator[Service]:
    service = Service(**settings)
    try:
        yield service
    finally:
        service.gate.set()
        service.end.set()
        service.stop()


@pytest.mark.slow
def test_an_answer_larger_than_all_buffers_comes_whole_to_a_client_that_reads_slowly() -> None:
    with running(threads=2) as service, service.connect() as slow, service.connect() as other:
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        slow.send("/large", "/ok")
        assert slow.head() == LARGE
        for _ in range(PIECES):
            assert other.ask("/ok") == b"/ok"
            assert slow.read(len(PIECE)) == PIECE
        assert slow.answer() == b"/ok"


def test_a_client_that_leaves_in_the_midst_of_an_answer_leaves_nothing_behind() -> None:
    with running(threads=1) as service:
        for _ in range(3):
            with service.connect() as leaving:
                leaving.send("/large")
                assert leaving.read(2**16).startswith(b"HTTP/1.1 200")
        service.until(lambda: service.connections == 0)


@pytest.mark.slow
def test_pipelined_requests_are_answered_in_order() -> None:
    paths = [f"/{number}" for number in range(200)]
    with running() as service, service.connect() as client:
        client.send(*paths)
        assert [client.answer() for _ in paths] == [path.encode() for path in paths]
        assert client.ask("/ok") == b"/ok"


def test_empty_lines_before_a_request_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Request] = []

    class Counted(Request):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr("app.server.connection.Request", Counted)
    with running() as service, service.connect() as client:
        client.socket.sendall(b"\r\n" * 10_000)
        assert client.ask("/a") == b"/a"
        client.socket.sendall(b"\r\n\r\n")
        assert client.ask("/b") == b"/b"
        assert len(made) == 2
        client.socket.sendall(b" \r\n\r\n" * 10_000)
        assert client.read(12) == b"HTTP/1.0 400"


def test_what_comes_while_a_request_is_worked_on_is_answered_after_it() -> None:
    with running() as service, service.connect() as client:
        client.send("/held")
        service.until(lambda: bool(service.holds))
        client.send("/1")
        service.is_answering()
        client.send("/2")
        service.is_answering()
        service.gate.set()
        assert [client.answer() for _ in range(3)] == [b"/held", b"/1", b"/2"]


def test_a_client_that_waits_for_100_is_told_to_continue() -> None:
    head = "PUT /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    told = b"HTTP/1.1 100 Continue\r\n\r\n"
    with running() as service, service.connect() as client:
        client.socket.sendall(head.encode())
        assert client.read(len(told)) == told
        client.socket.sendall(b"abc")
        assert client.answer() == b"/pabc"
        client.socket.sendall((GET.format("/held") + head).encode())
        service.until(lambda: bool(service.holds))
        service.gate.set()
        assert client.answer() == b"/held"
        assert client.read(len(told)) == told
        client.socket.sendall(b"abc")
        assert client.answer() == b"/pabc"


def test_a_client_that_has_closed_its_half_is_answered_and_then_closed() -> None:
    with running() as service, service.connect() as client:
        client.send("/held")
        client.socket.shutdown(socket.SHUT_WR)
        service.until(lambda: bool(service.holds))
        service.gate.set()
        assert client.answer() == b"/held"
        assert client.read(1) == b""


@pytest.mark.slow
def test_connections_that_wait_are_kept_while_others_work() -> None:
    with running() as service, ExitStack() as stack:
        idle = [stack.enter_context(service.connect()) for _ in range(300)]
        for client in idle:
            assert client.ask("/first") == b"/first"
        for _ in range(300):
            assert idle[0].ask("/again") == b"/again"
        for client in idle:
            client.send("/second")
        assert {client.answer() for client in idle} == {b"/second"}


def test_connections_over_the_limit_are_taken_up_when_others_close(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.server.server.connection_limit", lambda: 10)
    with running() as service, ExitStack() as stack:
        clients = [stack.enter_context(service.connect()) for _ in range(40)]
        for client in clients:
            client.send("/ok")
        for client in clients:
            assert client.answer() == b"/ok"
            assert service.connections <= 10
            client.socket.close()


def test_requests_that_take_long_hold_up_others_only_when_all_threads_are_at_them() -> None:
    with running(threads=3) as service, ExitStack() as stack:
        held = [stack.enter_context(service.connect()) for _ in range(3)]
        for number, client in enumerate(held):
            service.is_answering()
            client.send(f"/held{number}")
            if number < 2:
                service.until(lambda number=number: len(service.holds) > number)  # type: ignore[misc]
        with service.connect() as waiting:
            waiting.send("/ok")
            waiting.socket.settimeout(0.2)
            with pytest.raises(TimeoutError):
                waiting.socket.recv(1)
            waiting.socket.settimeout(20)
            service.gate.set()
            assert waiting.answer() == b"/ok"
        assert sorted(client.answer() for client in held) == [b"/held0", b"/held1", b"/held2"]


def test_others_are_heard_between_the_requests_of_those_who_ask_without_pause() -> None:
    with running() as service, ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(service.connect())
            client.send(*["/slow"] * 90)  # as many as are read at once
        with service.connect() as other:
            for path in ("/healthz", "/ok"):
                asked_at = service.slow
                assert other.ask(path) == path.encode()
                assert service.slow - asked_at < 300


def test_a_request_behind_another_of_its_connection_waits_for_no_third() -> None:
    with running() as service, service.connect() as client, service.connect() as other:
        client.send("/held", "/ok")
        service.until(lambda: "/held" in service.holds)
        other.send("/last")
        while "/last" not in service.holds:
            pass
        time.sleep(0.1)  # so that the loop waits, too
        service.gate.set()
        assert [client.answer(), client.answer()] == [b"/held", b"/ok"]
        service.end.set()
        assert other.answer() == b"/last"


@pytest.mark.slow
def test_a_stop_closes_what_is_open_and_waits_for_what_is_under_way() -> None:
    with running() as service, ExitStack() as stack:
        idle = [stack.enter_context(service.connect()) for _ in range(100)]
        for client in idle:
            assert client.ask("/ok") == b"/ok"
        busy = stack.enter_context(service.connect())
        busy.send("/held")
        service.until(lambda: bool(service.holds))
        service._server.stop()
        for client in idle:
            assert client.read(1) == b""
        with pytest.raises(ConnectionRefusedError):
            service.connect()
        service.gate.set()
        assert busy.answer() == b"/held"
        assert busy.read(1) == b""


@pytest.mark.slow
def test_the_loop_rests_where_nothing_can_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came cannot be read now, an answer has gone out in parts, one waits for its reader."""
    polls = []
    poll = event_loop.EventLoop.poll

    def counted(self: event_loop.EventLoop, timeout: float) -> None:
        polls.append(timeout)
        poll(self, timeout)

    monkeypatch.setattr(event_loop.EventLoop, "poll", counted)
    with running() as service, ExitStack() as stack:
        held, done, slow = (stack.enter_context(service.connect()) for _ in range(3))
        done.send("/large")
        assert len(done.answer()) == LARGE
        slow.send("/large")
        assert slow.head() == LARGE
        held.send("/held")
        service.until(lambda: bool(service.holds))
        held.send("/ok")
        time.sleep(0.3)
        before = len(polls)
        time.sleep(0.5)
        # Some for the thread whose request takes long, and none without end.
        assert len(polls) - before < 5


@pytest.mark.slow
def test_requests_of_many_connections_at_once_are_all_answered() -> None:
    """Threads and loop pass channels to each other all the time; none gets lost between them."""

    def work(service: Service, failed: list[object]) -> None:
        with service.connect() as client:
            for number in range(50):
                client.send(f"/{number}", f"/{number}/next")
                got = client.answer(), client.answer()
                if got != (f"/{number}".encode(), f"/{number}/next".encode()):
                    failed.append(got)

    with running(threads=4) as service:
        failed: list[object] = []
        workers = [Thread(target=work, args=(service, failed)) for _ in range(50)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
            assert not worker.is_alive()
        assert not failed
