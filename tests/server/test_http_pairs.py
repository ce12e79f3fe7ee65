"""Two requests over one connection: what the second is answered does not depend on the first.

Each kind of first request is tried with each kind of second, sent when the first is answered and
sent with it in one go, on a real socket. The second must be answered as on a connection of its own,
or the connection be closed, where the first is one after which it may be.
"""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple
from urllib.parse import urlsplit

import pytest

from ..conftest import RunningServer, serving
from ..support.refusals import BASE

pytestmark = pytest.mark.slow

TIMEOUT = 5
LIMIT = 4096
FIRST, SECOND = "trace-of-the-first", "trace-of-the-second"
BODY = b'{"type":"daily","date":"2026-05-19","tenant_id":"acme","env_id":3,"active_users":7}'
EMPTY, CHUNKED = b"0\r\n\r\n", "Transfer-Encoding: chunked"
EXPECT, JSON = "Expect: 100-continue", "Content-Type: application/json"
HISTORIES = f"{BASE}/users/ann/behavior-histories"
ACTIVE = f"{BASE}/active-users"
STATIC = "/dashboard/static/dashboard.css"
DIFFERENT = {"date", "x-saasus-trace-id"}


def length(count: int) -> str:
    return f"Content-Length: {count}"


@dataclass(frozen=True)
class Request:
    """A request; `KEY` in a header stands for a token, and `ETAG` for that of a file."""

    method: str
    target: str
    headers: tuple[str, ...] = ()
    body: bytes = b""
    key: bool = True
    version: str = "1.1"
    status: int = 200
    may_close: bool = False
    """Whether the server may close the connection when it has answered."""
    waits: bool = False
    """Whether the body is sent when the server asks for it."""

    def written(self, server: "Listening", trace: str) -> tuple[bytes, bytes]:
        """Return head and body."""
        lines = [f"{self.method} {self.target} HTTP/{self.version}", "Host: localhost"]
        lines += [f"X-Saasus-Trace-Id: {trace}", *self.headers]
        lines += ["Authorization: Bearer KEY"] if self.key else []
        text = "\r\n".join([*lines, "", ""]).replace("ETAG", server.etag).encode()
        token = server.token.encode()
        return text.replace(b"KEY", token), self.body.replace(b"KEY", token)


def get(*headers: str, target: str = HISTORIES, **options: object) -> Request:
    return Request("GET", target, headers, **options)  # type: ignore[arg-type]


def put(*headers: str, target: str = ACTIVE, body: bytes = BODY, **options: object) -> Request:
    given = (*headers, JSON)
    if not any(header.startswith(("Content-Length", "Transfer")) for header in headers):
        given = (*given, length(len(body)))
    return Request("PUT", target, given, body, **options)  # type: ignore[arg-type]


def chunks(body: bytes, trailers: bytes = b"") -> bytes:
    return b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailers)


FIRSTS = {
    "a read": get(),
    "a read by HEAD": Request("HEAD", HISTORIES),
    "a large answer": get(target="/openapi.json", key=False),
    "a file that has not changed": get(
        "If-None-Match: ETAG", target=STATIC, key=False, status=304, may_close=True
    ),
    "a write": put(),
    "a write in chunks": put(CHUNKED, body=chunks(BODY)),
    "trailers": put(CHUNKED, body=chunks(BODY, b"X-Trailer: a\r\nAuthorization: Bearer KEY\r\n")),
    "the whole URL": get(target=f"http://localhost{HISTORIES}"),
    "HTTP/1.0 that stays": get("Connection: keep-alive", version="1.0"),
    "HTTP/1.0": get(version="1.0", may_close=True),
    "one that closes": get("Connection: close", may_close=True),
    "an unknown path": get(target="/nothing", status=404),
    "a bad parameter": get(target=f"{ACTIVE}?type=x", status=400),
    "no key": get(key=False, status=401),
    "another method": Request("DELETE", ACTIVE, status=405),
    "Expect and a body": put(EXPECT, waits=True),
    "Expect and a body at once": put(EXPECT),
    "Expect and chunks": put(EXPECT, CHUNKED, body=chunks(BODY), waits=True),
    "Expect without a length": get(EXPECT),
    "Expect and no body": get(EXPECT, length(0)),
    "Expect and no body to write": put(EXPECT, length(0), body=b"", status=400),
    "Expect and no chunk": get(EXPECT, CHUNKED, body=EMPTY, may_close=True),
    "Expect by HEAD": Request("HEAD", HISTORIES, (EXPECT,)),
    "Expect by HTTP/1.0": put(EXPECT, "Connection: keep-alive", version="1.0"),
    "Expect of something else": get("Expect: a-pony", may_close=True),
    "Expect at an unknown path": put(EXPECT, target="/nothing", may_close=True, status=404),
    "Expect without a key": put(EXPECT, key=False, may_close=True, status=401),
    "Expect and too much": put(EXPECT, length(LIMIT + 1), body=b"", may_close=True, status=413),
    "a body to an unknown path": put(target="/nothing", may_close=True, status=404),
    "a body without a key": put(key=False, may_close=True, status=401),
    "a body of another type": Request(
        "PUT", ACTIVE, (length(3), "Content-Type: text/plain"), b"abc", may_close=True, status=415
    ),
    "a body that is too large": put(body=b" " * (LIMIT + 1), may_close=True, status=413),
    "a body that nobody reads": get(length(len(BODY)), body=BODY, may_close=True),
    "chunks that are none": put(CHUNKED, body=b"zz\r\n", may_close=True, status=400),
    "a length that is none": put(length(-1), body=b"", may_close=True, status=400),
}

SECONDS = {
    "a read": get(),
    "a read without a key": get(key=False),
    "HEAD without a key": Request("HEAD", HISTORIES, key=False),
    "a write": put(),
    "a write without a key": put(key=False),
    "a write in chunks": put(CHUNKED, body=chunks(BODY)),
    "Expect and a body": put(EXPECT),
    "Expect without a body": get(EXPECT, key=False),
    "an unknown path": get(target="/nothing"),
    "the health": get(target="/healthz", key=False),
}


class Answer(NamedTuple):
    """A final answer, with its headers in order."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def trace(self) -> str:
        (trace,) = (value for name, value in self.headers if name == "x-saasus-trace-id")
        return trace

    def without_own(self) -> tuple[object, ...]:
        """Return all that another answer to the same request has, too."""
        same = [header for header in self.headers if header[0] not in DIFFERENT]
        return self.status, sorted(same), self.body


@dataclass
class Listening:
    """A server, with the key and the ETag that requests have."""

    address: tuple[str, int]
    token: str
    etag: str = ""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    path = tmp_path_factory.mktemp("pairs") / "a.db"
    settings = {"ANALYSIS_MAX_BODY": str(LIMIT), "ANALYSIS_FAILED_KEYS": "off"}
    with serving("--database", path, **settings) as running:
        yield _listening(running)


def _listening(running: RunningServer) -> Listening:
    parts = urlsplit(running.url)
    server = Listening((str(parts.hostname), int(parts.port or 0)), running.token)
    tags = dict(alone(server, get(target=STATIC, key=False)).headers)
    server.etag = tags["etag"]
    assert alone(server, FIRSTS["a file that has not changed"]).status == 304
    return server


def alone(server: Listening, request: Request) -> Answer:
    """Return the answer to a request on a connection of its own."""
    with socket.create_connection(server.address, TIMEOUT) as connection:
        connection.sendall(b"".join(request.written(server, SECOND)))
        with connection.makefile("rb") as stream:
            answer = read_answer(stream, request.method)
    assert answer is not None
    assert answer.trace() == SECOND
    return answer


def read_answer(stream: BinaryIO, method: str) -> Answer | None:
    """Return the next final answer, or None if the server has closed the connection instead."""
    status = 100
    headers: list[tuple[str, str]] = []
    while status == 100:
        line = stream.readline()
        if not line:
            return None
        assert line.startswith(b"HTTP/1."), line
        status, headers = int(line.split()[1]), []
        while (line := stream.readline()) != b"\r\n":
            name, _, value = line.decode("latin-1").partition(":")
            headers.append((name.lower(), value.strip()))
    size = int(dict(headers).get("content-length", 0))
    bodiless = method == "HEAD" or status in (204, 304)
    body = b"" if bodiless else stream.read(size)
    assert bodiless or len(body) == size
    return Answer(status, headers, body)


def exchange(
    server: Listening, first: Request, second: Request, in_one_go: bool
) -> tuple[Answer | None, Answer | None]:
    """Return the answers to two requests over one connection; None where it was closed."""
    with (
        socket.create_connection(server.address, TIMEOUT) as connection,
        connection.makefile("rb") as stream,
    ):
        head, body = first.written(server, FIRST)
        other = b"".join(second.written(server, SECOND))
        if in_one_go:
            connection.sendall(head + body + other)
            return read_answer(stream, first.method), read_after(stream, second.method)
        connection.sendall(head)
        if first.waits:
            assert stream.readline() == b"HTTP/1.1 100 Continue\r\n"
            while stream.readline() != b"\r\n":
                pass
        connection.sendall(body)
        answer = read_answer(stream, first.method)
        try:
            connection.sendall(other)
        except ConnectionError:
            return answer, None
        return answer, read_after(stream, second.method)


def read_after(stream: BinaryIO, method: str) -> Answer | None:
    """Return the answer to the second request, or None if the connection is over before it."""
    try:
        return read_answer(stream, method)
    except ConnectionError:
        return None


@pytest.fixture(scope="module")
def fresh(server: Listening) -> dict[str, Answer]:
    """What each second request is answered on a connection of its own, without Expect."""
    answers = {}
    for name, request in SECONDS.items():
        plain = tuple(header for header in request.headers if header != EXPECT)
        answers[name] = alone(server, replace(request, headers=plain))
    assert {answer.status for answer in answers.values()} == {200, 401, 404}
    return answers


@pytest.mark.parametrize("in_one_go", [False, True], ids=["in turn", "in one go"])
@pytest.mark.parametrize("kind", FIRSTS)
def test_a_second_request_is_answered_as_if_it_were_the_first(
    server: Listening, fresh: dict[str, Answer], kind: str, in_one_go: bool
) -> None:
    first = FIRSTS[kind]
    for name, second in SECONDS.items():
        one, other = exchange(server, first, second, in_one_go)
        assert one is not None, name
        assert one.status == first.status, name
        assert one.trace() != SECOND, name
        if other is None:
            assert first.may_close, name
        else:
            assert other.trace() == SECOND, name
            assert other.without_own() == fresh[name].without_own(), name


def test_half_a_body_and_nothing_more_leaves_nothing_behind(
    server: Listening, fresh: dict[str, Answer]
) -> None:
    for first in (put(body=BODY), put(CHUNKED, body=chunks(BODY)), put(EXPECT)):
        with socket.create_connection(server.address, TIMEOUT) as connection:
            head, body = first.written(server, FIRST)
            connection.sendall(head + body[:20])
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as stream:
                answer = read_answer(stream, "PUT")
            assert answer is None or answer.status == 400
        for name, second in SECONDS.items():
            assert alone(server, second).without_own() == fresh[name].without_own()
