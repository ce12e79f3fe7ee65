"""More requests than there are threads, and clients that are slow."""

import http.client
import json
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ..conftest import RunningServer, serving
from ..storage.test_database import locked_by_another_process
from ..support.calls import BASE
from ..support.refusals import ACTIVE_BODY

pytestmark = pytest.mark.slow


def put(server: RunningServer) -> tuple[int, str | None, bytes]:
    """Return status, Retry-After and body of a write on a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    headers = {**server.headers, "Content-Type": "application/json"}
    connection.request("PUT", f"{BASE}/active-users", json.dumps(ACTIVE_BODY), headers)
    answer = connection.getresponse()
    told = answer.status, answer.getheader("Retry-After"), answer.read()
    connection.close()
    return told


def test_what_would_wait_behind_too_many_is_refused_and_the_rest_is_answered(
    tmp_path: Path,
) -> None:
    database = tmp_path / "a.db"
    limits = {"ANALYSIS_THREADS": "1", "ANALYSIS_QUEUE": "2", "ANALYSIS_BUSY_SECONDS": "30"}
    with serving("--database", database, **limits) as server, ThreadPoolExecutor(20) as pool:
        with locked_by_another_process(database):
            waiting = [pool.submit(put, server) for _ in range(20)]
            while sum(future.done() for future in waiting) < 17:
                time.sleep(0.01)
        answers = [future.result() for future in waiting]
        assert Counter(status for status, _, _ in answers) == {200: 3, 503: 17}
        for status, patience, body in answers:
            if status == 503:
                assert patience == "1"
                assert json.loads(body)["type"] == "service_unavailable"
        assert put(server)[0] == 200


def test_clients_that_trickle_hold_up_nobody_and_are_closed(tmp_path: Path) -> None:
    limits = {"ANALYSIS_THREADS": "2", "ANALYSIS_RECEIVE_SECONDS": "1"}
    with serving("--database", tmp_path / "a.db", **limits) as server:
        parts = urlsplit(server.url)
        slow = [socket.create_connection((parts.hostname, parts.port)) for _ in range(50)]
        for connection in slow:
            connection.sendall(b"PUT /v1/analysis/active-users HTTP/1.1\r\nHost: a\r\n")
        half = b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        for connection in slow[:25]:
            connection.sendall(half)
        assert put(server)[0] == 200
        until = time.monotonic() + 30
        open_ones = set(slow)
        while open_ones and time.monotonic() < until:
            assert put(server)[0] == 200
            for connection in list(open_ones):
                try:
                    connection.sendall(b" ")
                    connection.setblocking(False)
                    is_closed = connection.recv(1) == b""
                except BlockingIOError:
                    is_closed = False
                except OSError:
                    is_closed = True
                if is_closed:
                    open_ones.discard(connection)
            time.sleep(0.1)
        for connection in slow:
            connection.close()
        assert not open_ones


def test_a_connection_that_waits_for_its_next_request_is_kept(tmp_path: Path) -> None:
    with serving("--database", tmp_path / "a.db", ANALYSIS_RECEIVE_SECONDS="1") as server:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
        for _ in range(2):
            connection.request("GET", "/healthz")
            assert connection.getresponse().read() == b'{"status":"ok"}'
            taken = connection.sock
            time.sleep(2.5)
        assert connection.sock is taken
        connection.close()
