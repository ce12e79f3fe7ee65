"""What is refused before the application sees it, on a real socket."""

import http.client
import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.server.answer import MAX_HEADERS

from ..conftest import RunningServer, serving
from ..support.records import api_log, page
from ..support.refusals import (
    ACTIVE_BODY,
    BASE,
    DAY_BODY,
    EVENT,
    HEEDED,
    OBJECT,
    check_error,
    short,
)

pytestmark = pytest.mark.slow

LIMIT, HEADER_LIMIT, RECORDS = 4096, 32768, 3
DEPTH, TENANTS = 500, 10_000


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with small limits."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ANALYSIS_MAX_BODY", str(LIMIT))
        environment.setenv("ANALYSIS_MAX_HEADER", str(HEADER_LIMIT))
        environment.setenv("ANALYSIS_MAX_RECORDS", str(RECORDS))
        with serving("--database", tmp_path_factory.mktemp("limited") / "a.db") as running:
            yield running


def talk(server: RunningServer, data: bytes) -> tuple[http.client.HTTPResponse, bytes]:
    """Send bytes to a server and return its one answer with its body."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(data)
        with http.client.HTTPResponse(connection) as answer:
            answer.begin()
            return answer, answer.read()


def raw(server: RunningServer, method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    head = [
        f"{method} {BASE}{path} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {server.token}",
        *headers,
    ]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def raw_put(server: RunningServer, *headers: str, body: bytes = b"") -> bytes:
    json_type = "Content-Type: application/json"
    return raw(server, "PUT", "/active-users", json_type, *headers, body=body)


def raw_json(
    server: RunningServer, method: str, path: str, body: bytes, kind: str = "json"
) -> bytes:
    headers = (f"Content-Type: application/{kind}", f"Content-Length: {len(body)}")
    return raw(server, method, path, *headers, body=body)


def refused_on_a_socket(
    server: RunningServer, data: bytes, *words: str, status: int = 400
) -> http.client.HTTPResponse:
    answer, body = talk(server, data)
    assert answer.status == status, body
    assert answer.getheader("X-Saasus-Trace-Id")
    assert answer.getheader("Content-Length") == str(len(body))
    assert HEEDED.items() <= dict(answer.getheaders()).items()
    check_error(status, answer.getheader("Content-Type"), body, *words)
    return answer


@pytest.mark.parametrize(
    "data",
    [
        b"GARBAGE\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /healthz HTTP/1.1 and more\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/x\r\nHost: x\r\n\r\n",
        b"get /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nSpace : x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n: no name\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\nY: b\r\n\r\n",
    ],
    ids=short,
)
def test_what_is_no_http_is_refused(limited: RunningServer, data: bytes) -> None:
    refused_on_a_socket(limited, data, "not valid HTTP")


@pytest.mark.parametrize(
    "length",
    ["x", "-1", "+2", "1.5", "2, 2", "0x2", "", "2\r\nContent-Length: 3", "9" * 5000],
    ids=short,
)
def test_a_bad_content_length_is_refused(limited: RunningServer, length: str) -> None:
    data = raw_put(limited, f"Content-Length: {length}", body=b"{}")
    refused_on_a_socket(limited, data)


@pytest.mark.parametrize(
    "body", [b"zz\r\n{}\r\n0\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n", b"2\r\n{}xx0\r\n\r\n"]
)
def test_bad_chunks_are_refused(limited: RunningServer, body: bytes) -> None:
    data = raw_put(limited, "Transfer-Encoding: chunked", body=body)
    refused_on_a_socket(limited, data)


def test_an_unknown_transfer_encoding_is_the_client_s_fault(limited: RunningServer) -> None:
    data = raw_put(limited, "Transfer-Encoding: gzip", body=b"{}")
    refused_on_a_socket(limited, data, "Transfer-Encoding must be chunked")


def test_headers_that_are_far_too_large_are_named(limited: RunningServer) -> None:
    data = raw_put(limited, f"X-Long: {'x' * 300_000}", "Content-Length: 2", body=b"{}")
    refused_on_a_socket(limited, data, "headers must not be over")


@pytest.mark.parametrize(
    ("path", "header"), [("?{}", "X: x"), ("", "X-Long: {}")], ids=["target", "headers"]
)
def test_request_line_and_headers_may_reach_their_limit(
    limited: RunningServer, path: str, header: str
) -> None:
    def request(filling: int) -> bytes:
        x = "x" * filling
        path_of_ann = "/users/ann/behavior-histories" + path.format(x)
        return raw(limited, "GET", path_of_ann, header.format(x))

    room = HEADER_LIMIT - len(request(0))
    answer, _ = talk(limited, request(room))
    assert answer.status == 200
    words = f"the request line and headers must not be over {HEADER_LIMIT} bytes"
    refused_on_a_socket(limited, request(room + 1), words)


def records_of(kind: str, count: int) -> tuple[str, str, str, bytes]:
    """Return method, path, content type and body of a call with so many records."""
    if kind == "histories":
        body: Any = DAY_BODY | {"histories": DAY_BODY["histories"][:1] * count}
        return "PUT", "/user-behavior-day", "json", json.dumps(body).encode()
    if kind == "logs":
        pages = [page(api_log()), page(*[api_log()] * (count - 1))]
        return "POST", "/ingest/apilog", "json", json.dumps(pages).encode()
    events = [EVENT] * count
    if kind == "lines":
        lines = "\n\n".join(map(json.dumps, events))
        return "POST", "/ingest/events", "x-ndjson", lines.encode()
    return "POST", "/ingest/events", "json", json.dumps(events).encode()


@pytest.mark.parametrize("kind", ["events", "lines", "logs", "histories"])
def test_a_request_may_hold_so_many_records(limited: RunningServer, kind: str) -> None:
    method, path, content_type, body = records_of(kind, RECORDS)
    answer, _ = talk(limited, raw_json(limited, method, path, body, content_type))
    assert answer.status == 200
    method, path, content_type, body = records_of(kind, RECORDS + 1)
    words = f"must not hold over {RECORDS} records"
    name = "histories" if kind == "histories" else "the body"
    data = raw_json(limited, method, path, body, content_type)
    refused_on_a_socket(limited, data, f"{name} {words}", status=413)


@pytest.mark.parametrize("kind", ["json", "x-ndjson"])
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}")], ids=["lists", "objects"])
def test_json_may_be_so_deep(limited: RunningServer, kind: str, begin: str, end: str) -> None:
    def request(levels: int) -> bytes:
        event = (
            f'{{"type":"create_tenant","tenant_id":"a","unknown":{begin * levels}1{end * levels}}}'
        )
        return raw_json(limited, "POST", "/ingest/events", event.encode(), kind)

    # The event is a level, too.
    answer, _ = talk(limited, request(DEPTH - 1))
    assert answer.status == 200
    refused_on_a_socket(limited, request(DEPTH), f"nested at most {DEPTH} levels deep")


def test_a_query_may_name_so_many_tenants(limited: RunningServer) -> None:
    def request(count: int) -> bytes:
        days = "start_date=2026-05-01&end_date=2026-05-31"
        path = f"/userinfo/aggregated?{days}&tenant_ids={','.join('a' * count)}"
        return raw(limited, "GET", path)

    answer, _ = talk(limited, request(TENANTS))
    assert answer.status == 200
    refused_on_a_socket(limited, request(TENANTS + 1), f"tenant_ids: must be at most {TENANTS} ")


HEALTH = b"GET /healthz HTTP/1.1\r\n"
GONE = struct.pack("ii", 1, 0)


def say(server: RunningServer, data: bytes) -> bytes:
    """Send bytes and return all that comes until the server closes the connection."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(data)
        with connection.makefile("rb") as stream:
            return stream.read()


@pytest.mark.parametrize("name", ["X", "X-{}"], ids=["one name", "many names"])
def test_headers_may_be_so_many(server: RunningServer, name: str) -> None:
    """Those of one name are put together one by one, which takes time that is their square."""

    def request(number: int) -> bytes:
        lines = (f"{name.format(index)}: y" for index in range(number - 2))
        return raw(server, "GET", "/active-users?type=daily", *lines)

    refused_on_a_socket(server, request(MAX_HEADERS), "date_from")
    for number in (MAX_HEADERS + 1, 20_000):
        refused_on_a_socket(server, request(number), "there are too many headers")


@pytest.mark.parametrize(
    "hosts", [b"", b"Host: a\r\nHost: b\r\n", b"Host: a\r\nHost: a\r\n", b"Host: a\r\nhost: b\r\n"]
)
def test_a_request_names_one_host(limited: RunningServer, hosts: bytes) -> None:
    refused_on_a_socket(limited, HEALTH + hosts + b"\r\n")


def test_an_old_request_may_name_no_host(limited: RunningServer) -> None:
    answer, _ = talk(limited, b"GET /healthz HTTP/1.0\r\n\r\n")
    assert answer.status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"GET /healthz HTTP/1.1\nHost: a\n\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\n\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\n\r\n",
        b"GET /healthz HTTP/1.1\nHost: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\n",
        b"GET /healthz HTTP/1.0\n\n",
        b"\n\n\nGET /healthz HTTP/1.1\nHost: a\n\n",
        b"GARBAGE\n\n",
    ],
    ids=short,
)
def test_lines_that_end_otherwise_are_answered(limited: RunningServer, data: bytes) -> None:
    address = urlsplit(limited.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(data)
        with connection.makefile("rb") as stream:
            assert stream.readline().split()[1] in (b"200", b"400")


CHUNKS_THAT_END_OTHERWISE = [
    b"2\n{}\n0\n\n",
    b"2;a=b\n{}\r\n0\r\n\r\n",
    b"2\r\n{}\n0\r\n\r\n",
    b"2\r\n{}\r\n0\n\n",
    b"2\r\n{}\r\n0\r\n\n",
    b"2\r\n{}\r\n0\r\nX-Trailer: a\n\n",
    b"2\r\n{}\r\n0\r\nX-Trailer: a\n\r\n",
]


@pytest.mark.parametrize("chunks", CHUNKS_THAT_END_OTHERWISE, ids=short)
@pytest.mark.parametrize("is_in_bytes", [False, True], ids=["at once", "byte by byte"])
def test_chunks_whose_lines_end_otherwise_are_refused(
    limited: RunningServer, chunks: bytes, is_in_bytes: bool
) -> None:
    head = raw_put(limited, "Transfer-Encoding: chunked")
    address = urlsplit(limited.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(head)
        if is_in_bytes:
            with suppress(ConnectionError):  # it may be refused before its end
                for byte in chunks:
                    connection.sendall(bytes([byte]))
                    time.sleep(0.001)
        else:
            connection.sendall(chunks)
        with connection.makefile("rb") as stream:
            assert stream.readline().split()[1] == b"400"


@pytest.mark.parametrize(
    "connection",
    [
        b"close",
        b"Close",
        b"TE, close",
        b"close, TE",
        b"keep-alive,CLOSE",
        b"TE\r\nConnection: close",
    ],
    ids=short,
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_connection_closes_when_a_client_says_so(
    limited: RunningServer, connection: bytes, version: bytes
) -> None:
    line = b"GET /healthz HTTP/%b\r\n" % version
    told = say(limited, line + b"Host: a\r\nConnection: %b\r\n\r\n" % connection)
    assert told.startswith(b"HTTP/%b 200" % version)
    assert told.count(b"HTTP/1.") == 1


@pytest.mark.parametrize("method", [b"GET", b"PUT"])
@pytest.mark.parametrize("lengths", [(0, 5), (5, 0), (2, 3), (100, 200)])
def test_two_lengths_of_a_body_are_refused(
    limited: RunningServer, method: bytes, lengths: tuple[int, int]
) -> None:
    head = b"%b /v1/analysis/active-users HTTP/1.1\r\nHost: a\r\n" % method
    both = b"Content-Length: %d\r\nContent-Length: %d\r\n\r\n" % lengths
    refused_on_a_socket(limited, head + both + b"x" * min(lengths))


def test_a_length_beside_chunks_lets_nothing_through(limited: RunningServer) -> None:
    behind = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    for headers in (
        ("Content-Length: 4", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", f"Content-Length: {5 + len(behind)}"),
    ):
        data = raw_put(limited, *headers, body=b"0\r\n\r\n" + behind)
        told = say(limited, data)  # the connection is closed
        assert told.startswith(b"HTTP/1.1 400")
        assert told.count(b"HTTP/1.1") == 1


def test_what_is_malformed_and_gone_leaves_no_trace_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as stderr, serving("--database", tmp_path / "a.db", stderr=stderr) as server:
        address = urlsplit(server.url)
        for data in (b"GARBAGE\r\n\r\n", raw_put(server, "Content-Length: x"), HEALTH * 3):
            for _ in range(20):
                at = (address.hostname, address.port)
                with socket.create_connection(at, timeout=5) as connection:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, GONE)
                    connection.sendall(data)
        answer, _ = talk(server, HEALTH + b"Host: a\r\n\r\n")
        assert answer.status == 200
    assert "Traceback" not in log.read_text()


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


def test_a_body_over_the_limit_of_a_server_is_refused(limited: RunningServer) -> None:
    body = json.dumps(ACTIVE_BODY).encode()
    body += b" " * (LIMIT + 1 - len(body))
    for data in (
        raw_put(limited, f"Content-Length: {len(body)}", body=body),
        raw_put(limited, f"Content-Length: {10**15}"),
        raw_put(limited, "Transfer-Encoding: chunked", body=chunked(body)),
    ):
        words = f"the body must not be over {LIMIT} bytes"
        refused_on_a_socket(limited, data, words, status=413)


def test_a_body_at_the_limit_of_a_server_is_read(limited: RunningServer) -> None:
    body = b"5" + b" " * (LIMIT - 1)
    refused_on_a_socket(limited, raw_put(limited, f"Content-Length: {LIMIT}", body=body), OBJECT)


def test_a_body_in_chunks_is_read(limited: RunningServer) -> None:
    body = chunked(b"5", b" " * 1000)
    refused_on_a_socket(limited, raw_put(limited, "Transfer-Encoding: chunked", body=body), OBJECT)


def test_bytes_in_a_target_that_are_no_utf_8_are_refused(limited: RunningServer) -> None:
    for target in (b"/v1/analysis/users/\xff/behavior-histories", b"/healthz?\xff"):
        data = b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n"
        refused_on_a_socket(limited, data)


def test_a_wrong_method_and_path_are_refused_on_a_socket_too(limited: RunningServer) -> None:
    head = f" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {limited.token}\r\n\r\n".encode()
    refused_on_a_socket(limited, b"GET /nothing" + head, status=404)
    refused_on_a_socket(limited, b"OPTIONS *" + head, status=404)
    answer = refused_on_a_socket(limited, b"OPTIONS /v1/analysis/active-users" + head, status=405)
    assert answer.getheader("Allow") == "GET, HEAD, PUT"
