"""Clients that attack a server, in a separate process, and a client that checks its health."""

import multiprocessing
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from .processes import BASE

KINDS = {
    "readers": "connections that pipeline 30 large `GET`s and read nothing",
    "chunks": "connections that send bodies in chunks of one byte",
    "headers": "connections that send headers slowly",
    "bodies": "connections that send half of a body of 1 MB, and the rest slowly",
    "mixed": "connections of all these kinds",
    "questions": "clients that request a hundred years of active users without pause",
}

GIVE_UP = 10
"""How many seconds to wait for a response."""

FLOODS = ("readers", "chunks", "mixed", "questions")


def asked_beside(url: str, kind: str, number: int, duration: float) -> list[float]:
    """Return how long each health check took, in seconds, for a duration during an attack."""
    attack = multiprocessing.get_context("spawn").Process(
        target=_attack, args=(url, kind, number, duration + 60), daemon=True
    )
    attack.start()
    time.sleep(2)
    taken: list[float] = []
    until = time.monotonic() + duration
    while time.monotonic() < until or len(taken) < 2:
        begin = time.monotonic()
        with suppress(OSError), _connect(url, GIVE_UP) as connection:
            connection.sendall(_get("/healthz"))
            connection.recv(100)
        taken.append(time.monotonic() - begin)
        time.sleep(0.01)
    attack.kill()
    attack.join()
    return taken


def _attack(url: str, kind: str, number: int, duration: float) -> None:
    """Keep a number of connections busy, and reconnect those that are closed."""
    selector = selectors.DefaultSelector()
    for index in range(number):
        _begin(selector, url, kind, index)
    until = time.monotonic() + duration
    while time.monotonic() < until:
        for key, _ in selector.select(0.05):
            try:
                piece = next(key.data[1])
                if piece:
                    key.fileobj.send(piece)  # type: ignore[union-attr]
                else:
                    key.fileobj.recv(2**20)  # type: ignore[union-attr]
            except BlockingIOError:
                continue
            except (OSError, StopIteration):
                selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
                _begin(selector, url, kind, key.data[0])
        if kind not in FLOODS:
            time.sleep(0.1)


def _begin(selector: selectors.BaseSelector, url: str, kind: str, index: int) -> None:
    with suppress(OSError):
        connection = _connect(url, 5, received=4096)
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_WRITE, (index, _pieces(kind, index)))


def _pieces(kind: str, index: int) -> Iterator[bytes]:
    """Yield what a client sends, piece by piece; for an empty piece, the client reads instead."""
    if kind == "mixed":
        kind = ("readers", "chunks", "headers", "bodies")[index % 4]
    head = (
        f"POST {BASE}/ingest/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
    )
    if kind == "readers":
        yield _get("/docs/swagger-ui-bundle.js") * 30
        while True:
            yield _get("/openapi.json")
    elif kind == "chunks":
        yield f"{head}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        while True:
            yield b"1\r\n \r\n" * 1000
    elif kind == "headers":
        yield b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
        while True:
            yield b"X: y\r\n"
    elif kind == "bodies":
        yield f"{head}\r\nContent-Length: 1000000\r\n\r\n".encode()
        yield b" " * 500_000
        while True:
            yield b" "
    else:
        question = _get(f"{BASE}/active-users?type=daily&date_from=1930-01-01")
        while True:
            yield question
            yield b""


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def _connect(url: str, timeout: float, received: int | None = None) -> socket.socket:
    address = urlsplit(url)
    connection = socket.socket()
    if received:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received)
    connection.settimeout(timeout)
    connection.connect((address.hostname, address.port))
    return connection
