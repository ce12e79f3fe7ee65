"""Clients that take what they can get: the server answers others, and ends when told to."""

import http.client
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from errno import ECONNABORTED, EMFILE, ENFILE, ENOBUFS, EPERM
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.server.answer import CHUNK_FRAMES

from ..conftest import ROOT, RunningServer, serving
from ..storage.test_database import locked_by_another_process
from ..support.calls import BASE
from ..support.refusals import ACTIVE_BODY
from .test_event_loop import Service

pytestmark = pytest.mark.slow

SECONDS = 5
"""How long a health check may take at most under an attack."""

EVENTS = f"{BASE}/ingest/events"
BUNDLE = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
DESCRIPTION = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"


def connect(server: RunningServer) -> socket.socket:
    address = urlsplit(server.url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect((address.hostname, address.port))
    return connection


def head(server: RunningServer, *headers: str) -> bytes:
    lines = [f"POST {EVENTS} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    if server.token:
        lines.append(f"Authorization: Bearer {server.token}")
    return "\r\n".join([*lines, *headers]).encode() + b"\r\n\r\n"


def is_healthy(server: RunningServer, seconds: float = SECONDS) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=seconds)
    with closing(connection):
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200


def push(connection: socket.socket, data: bytes) -> int:
    """Send as much as goes at once, and return how much; nobody waits for the other side here."""
    connection.setblocking(False)
    try:
        return connection.send(data)
    except OSError:
        return 0
    finally:
        connection.setblocking(True)


def attack(server: RunningServer, number: int) -> Iterator[tuple[socket.socket, bytes]]:
    """Yield connections and what each goes on sending; all have begun."""
    kinds = [
        (BUNDLE * 30, b""),
        (DESCRIPTION * 300, b""),
        (b"GET /healthz HTTP/1.1\r\n", b"X: y\r\n"),
        (head(server, "Content-Length: 1000000") + b" " * 1000, b" "),
        (head(server, "Transfer-Encoding: chunked") + b"1\r\n \r\n" * 500, b"1\r\n \r\n" * 500),
    ]
    for index in range(number):
        connection = connect(server)
        first, more = kinds[index % len(kinds)]
        push(connection, first)
        yield connection, more


@pytest.mark.parametrize("number", [8, 50, 200])
def test_health_is_answered_and_the_server_ends_beside_clients_that_stall(
    tmp_path: Path, number: int
) -> None:
    limits = {"ANALYSIS_DRAIN_SECONDS": "2"}
    with ExitStack() as stack, serving("--database", tmp_path / "a.db", **limits) as server:
        stalling = list(attack(server, number))
        for connection, _ in stalling:
            stack.callback(connection.close)
        for _ in range(5):
            for connection, more in stalling:
                push(connection, more)
            is_healthy(server)
        server.process.terminate()
        assert server.process.wait(timeout=2 + SECONDS) == 0


def test_a_client_that_reads_nothing_is_disconnected(tmp_path: Path) -> None:
    with serving("--database", tmp_path / "a.db", ANALYSIS_SEND_SECONDS="1") as server:
        with connect(server) as connection:
            push(connection, BUNDLE * 30)
            time.sleep(4)
            received = 0
            with pytest.raises((ConnectionError, EOFError)):
                while data := connection.recv(2**20):
                    received += len(data)
                raise EOFError
        assert received < 30 * 10**6
        is_healthy(server)


@pytest.mark.parametrize(
    "piece", [b"1\r\n \r\n", b"2;a=b\r\n  \r\n", b"1;" + b"x" * 400 + b"\r\n \r\n"]
)
def test_chunks_that_are_mostly_frame_are_refused(server: RunningServer, piece: bytes) -> None:
    with connect(server) as connection:
        connection.sendall(head(server, "Transfer-Encoding: chunked"))
        push(connection, piece * (2 * CHUNK_FRAMES // len(piece)))
        push(connection, b"0\r\n\r\n")
        with http.client.HTTPResponse(connection) as answer:
            answer.begin()
            assert answer.status == 400
            assert "the chunks of the body are too small" in json.load(answer)["message"]


def test_chunks_of_usual_size_are_taken(server: RunningServer) -> None:
    line = json.dumps({"type": "create_tenant", "tenant_id": "a"}).encode() + b"\n"
    with closing(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)) as client:
        headers = server.headers | {"Content-Type": "application/x-ndjson"}
        client.request("POST", EVENTS, iter([line] * 3000), headers, encode_chunked=True)
        assert json.load(client.getresponse())["accepted"] == 3000


def memory(server: RunningServer) -> float:
    """Return the most memory that a server had, in MB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def post(server: RunningServer, size: int) -> int:
    """Return the status of a body that is sent as a whole before anything is read."""
    with closing(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)) as client:
        event = json.dumps({"type": "create_tenant", "tenant_id": "a"}).encode()
        headers = {"Content-Type": "application/json"} | (server.headers if server.token else {})
        client.request("POST", EVENTS, event + b" " * (size - len(event)), headers)
        return client.getresponse().status


def test_bodies_without_a_key_take_no_memory_and_get_their_answer(server: RunningServer) -> None:
    before = memory(server)
    server.token = ""
    with ThreadPoolExecutor(50) as pool:
        statuses = set(pool.map(lambda _: post(server, 4_000_000), range(100)))
    assert statuses == {401}
    assert memory(server) - before < 40


def test_large_bodies_share_their_memory_and_are_all_taken(tmp_path: Path) -> None:
    limits = {"ANALYSIS_MAX_BUFFERED": str(4 * 2**20)}
    with serving("--database", tmp_path / "a.db", **limits) as server:
        assert post(server, 1_000_000) == 200
        before = memory(server)
        with ThreadPoolExecutor(40) as pool:
            assert set(pool.map(lambda _: post(server, 1_000_000), range(80))) == {200}
        assert memory(server) - before < 40


def test_bodies_that_stand_still_leave_their_memory_to_others(tmp_path: Path) -> None:
    limits = {"ANALYSIS_MAX_BUFFERED": str(2**20)}
    with (
        serving("--database", tmp_path / "a.db", **limits) as server,
        ExitStack() as stack,
    ):
        for _ in range(8):
            connection = stack.enter_context(connect(server))
            connection.sendall(head(server, "Content-Length: 900000"))
            push(connection, b" " * 500_000)
        assert post(server, 1_000_000) == 200


@pytest.mark.parametrize(
    "more",
    [
        "X: {x:240000}",  # and no end
        "Content-Length: 65536\r\nX: {x:200000}\r\n\r\n{x:60000}",
        "Content-Length: 65536\r\n\r\n{x:65000}",
    ],
    ids=["head", "head and body", "body"],
)
def test_requests_without_a_key_share_their_memory(tmp_path: Path, more: str) -> None:
    limits = {"ANALYSIS_MAX_BUFFERED": str(2**21)}
    with serving("--database", tmp_path / "a.db", **limits) as server, ExitStack() as stack:
        before = memory(server)
        start = f"PUT {BASE}/active-users HTTP/1.1\r\nHost: localhost\r\n"
        data = (start + more.format(x="x")).encode()
        left = {stack.enter_context(connect(server)): data for _ in range(400)}
        for _ in range(20):
            for connection, rest in left.items():
                left[connection] = rest[push(connection, rest) :]
            is_healthy(server)
        assert memory(server) - before < 40
        assert post(server, 100_000) == 200


def test_a_body_that_is_sent_and_must_wait_is_not_too_slow(tmp_path: Path) -> None:
    limits = {"ANALYSIS_MAX_BUFFERED": str(2**20)}
    with (
        serving("--database", tmp_path / "a.db", **limits) as server,
        connect(server) as first,
        connect(server) as second,
    ):
        first.sendall(head(server, "Content-Length: 900000") + b" " * 700_000)
        second.sendall(head(server, "Content-Length: 358000") + b" " * 349_000)
        time.sleep(1)
        second.sendall(b" " * 9_000)  # there is no memory for the rest, which is a small one
        for _ in range(50):
            first.sendall(b" " * 3_000)
            time.sleep(0.1)
        first.close()
        assert second.recv(12) == b"HTTP/1.1 400"


def test_answers_that_nobody_reads_leave_their_memory_to_others(tmp_path: Path) -> None:
    log = tmp_path / "log"
    limits = {"ANALYSIS_MAX_BUFFERED": str(3 * 2**20)}
    with (
        log.open("w") as file,
        serving("--database", tmp_path / "a.db", stderr=file, **limits) as server,
        closing(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)) as client,
        ExitStack() as stack,
    ):
        now = int(time.time())
        entries = [{"timestamp": now, "referer": f"/{number:050}"} for number in range(15_000)]
        day = {"timestamp": now, "user_id": "ann", "histories": entries}
        headers = server.headers | {"Content-Type": "application/json"}
        client.request("PUT", f"{BASE}/user-behavior-day", json.dumps(day), headers)
        assert client.getresponse().read() == b""
        ask = f"GET {BASE}/users/ann/behavior-histories HTTP/1.1\r\nHost: a\r\n"
        ask += f"Authorization: Bearer {server.token}\r\n\r\n"

        def read_nothing() -> None:
            push(stack.enter_context(connect(server)), 20 * ask.encode())

        read_nothing()
        time.sleep(4)
        assert "reads too slowly" not in log.read_text(), "there is room for one"
        for _ in range(9):
            read_nothing()
        until = time.monotonic() + 4 * SECONDS
        while log.read_text().count("reads too slowly") < 6:
            assert time.monotonic() < until
            is_healthy(server)
        time.sleep(2)
        assert log.read_text().count("reads too slowly") < 10, "there is room for some"


@pytest.mark.parametrize("kind", [0, 2, 3], ids=["answer", "head", "body"])
def test_a_stop_gives_up_clients_that_stand_still_and_waits_for_others(
    server: RunningServer, kind: int
) -> None:
    """Long before ANALYSIS_DRAIN_SECONDS, which is 30."""
    with ExitStack() as stack:
        for connection, _ in attack(server, kind + 1):
            stack.callback(connection.close)
        is_healthy(server)
        started = time.monotonic()
        server.process.terminate()
        assert server.process.wait(timeout=3 * SECONDS) == 0
        assert time.monotonic() - started > 4


@contextmanager
def limited_to(files: int, more: int, path: Path) -> Iterator[RunningServer]:
    """Serve with a limit of open files, and a hard one that has room for so many more."""
    serve = f"{sys.executable} -m app serve --port 0 --database {path} --no-auth --json"
    start = f"ulimit -Sn {files}; ulimit -Hn {files + more}; exec {serve}"
    with subprocess.Popen(
        ["bash", "-c", start],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield RunningServer(json.loads(process.stdout.readline())["url"], "", process)
        finally:
            process.kill()


def test_who_is_idle_makes_room_where_all_connections_are_taken(tmp_path: Path) -> None:
    with limited_to(110, 30, tmp_path / "a.db") as server, ExitStack() as stack:
        limits = Path(f"/proc/{server.process.pid}/limits").read_text()
        assert re.search("Max open files +140 +140 ", limits), "raised to the hard limit"
        idle = [stack.enter_context(connect(server)) for _ in range(20)]  # half of 140 - 100
        for connection in idle:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(4096)
        is_healthy_at = time.monotonic()
        is_healthy(server, 3 * SECONDS)
        assert 3 < time.monotonic() - is_healthy_at < 8
        closed = 0
        for connection in idle:
            connection.setblocking(False)
            with suppress(BlockingIOError):
                closed += connection.recv(1) == b""
        assert closed in (1, 2), "no more than need be"


STALLED = {
    "body": f"PUT {BASE}/active-users HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{",
    "chunks": f"PUT {BASE}/active-users HTTP/1.1\r\nHost: localhost\r\n"
    "Transfer-Encoding: chunked\r\n\r\n1\r\n",
    "answer": BUNDLE.decode() * 30,
    "last answer": "NONSENSE\r\n\r\n",
    "empty lines": "\r\n\r\n",
}


@pytest.mark.parametrize("kind", STALLED)
def test_who_stands_still_makes_room_whatever_for(tmp_path: Path, kind: str) -> None:
    with limited_to(110, 30, tmp_path / "a.db") as server, ExitStack() as stack:
        for _ in range(25):
            push(stack.enter_context(connect(server)), STALLED[kind].encode())
        is_healthy(server, 3 * SECONDS)


def test_bodies_are_held_in_memory_and_in_no_file(tmp_path: Path) -> None:
    with serving("--database", tmp_path / "a.db") as server, connect(server) as connection:
        descriptors = Path(f"/proc/{server.process.pid}/fd")

        def files() -> set[Path]:
            found = {descriptor.readlink() for descriptor in descriptors.iterdir()}
            return {file for file in found if file.is_absolute()}

        before, at_first = files(), memory(server)
        connection.sendall(head(server, f"Content-Length: {2**24}") + b" " * (2**24 - 1))
        until = time.monotonic() + SECONDS
        while memory(server) < at_first + 12 and time.monotonic() < until:
            time.sleep(0.01)
        assert memory(server) >= at_first + 12
        assert files() == before


@contextmanager
def blocked(server: RunningServer, database: Path, number: int) -> Iterator[None]:
    """Have so many writes wait for another process."""
    body = json.dumps(ACTIVE_BODY)
    headers = server.headers | {"Content-Type": "application/json"}
    with locked_by_another_process(database), ExitStack() as stack:
        for _ in range(number):
            client = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
            stack.enter_context(closing(client)).request(
                "PUT", f"{BASE}/active-users", body, headers
            )
        yield


def test_health_is_answered_beside_requests_that_take_all_threads(tmp_path: Path) -> None:
    database = tmp_path / "a.db"
    limits = {"ANALYSIS_THREADS": "2", "ANALYSIS_BUSY_SECONDS": "30", "ANALYSIS_QUEUE": "4"}
    with serving("--database", database, **limits) as server, blocked(server, database, 20):
        for path, expected in (("/healthz", 200), ("/readyz", 503), ("/healthz", 200)):
            client = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=SECONDS)
            with closing(client):
                client.request("GET", path)
                assert client.getresponse().status == expected
        server.process.kill()


def test_without_descriptors_the_server_waits_and_says_so_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    serve = f"{sys.executable} -m app serve --port 0 --database {tmp_path / 'a.db'} --json"
    # Less than the server keeps for itself, so that the descriptors end before the connections.
    start = f"ulimit -n 60; ANALYSIS_RECEIVE_SECONDS=2 exec {serve}"
    program = f"from app.server import listening; listening.RESERVED = 0\n{RUN}"
    start = start.replace("-m app", f"-c '{program}'")
    with (
        log.open("w") as file,
        subprocess.Popen(
            ["bash", "-c", start], cwd=ROOT, stdout=subprocess.PIPE, stderr=file, text=True
        ) as process,
        ExitStack() as stack,
    ):
        stack.callback(process.kill)
        assert process.stdout is not None
        server = RunningServer(json.loads(process.stdout.readline())["url"], "", process)
        for _ in range(100):
            push(stack.enter_context(connect(server)), b"GET / HTTP/1.1\r\n")
        is_healthy(server, 4 * SECONDS)
    told = [line for line in log.read_text().splitlines() if "taken up" in line]
    assert len(told) <= 1
    assert log.stat().st_size < 20_000


RUN = 'import gc, sys; sys.argv[0] = "app"; from app.__main__ import run; run()'


class Failing(socket.socket):
    """A socket that listens, and whose first accepts fail."""

    errors: list[Exception]

    def accept(self) -> Any:
        if self.errors:
            raise self.errors.pop(0)
        return super().accept()


NUMBERS = (EMFILE, ENFILE, ENOBUFS, EPERM, ECONNABORTED)


@pytest.mark.parametrize(
    "error", [*(OSError(number, "no") for number in NUMBERS), RuntimeError("blocked by a test")]
)
def test_a_listener_outlives_an_accept_that_fails(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def listen(*_: object) -> list[socket.socket]:
        listener = Failing()
        listener.errors = [error] * 2
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        return [listener]

    monkeypatch.setattr("tests.server.test_event_loop.listen", listen)
    monkeypatch.setattr("app.server.event_loop.LOOK_SECONDS", 0.1)
    service = Service()
    try:
        service.is_answering()
    finally:
        service.stop()
    assert caplog.text.count("can be accepted now") == (
        not isinstance(error, ConnectionAbortedError)
    )
