"""Faults: answers that are wrong, late, or none."""

import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from flask.testing import FlaskClient
from werkzeug.test import Client

from app.double import Double, DoubleError, double
from app.double.fields import STATUSES
from app.errors import TYPES

from ..conftest import NOW
from ..support.calls import BASE, put
from .conftest import NUMBER

NUMBERS = f"{BASE}/active-users?type=daily&date_from=2026-01-01"
HISTORIES = f"{BASE}/users/ann/behavior-histories"


def add(client: FlaskClient, *faults: dict[str, Any]) -> Any:
    answer = client.post("/__double/faults", json=list(faults))
    assert answer.status_code == 200, answer.text
    return answer.get_json()["faults"]


def statuses(client: FlaskClient, count: int, url: str = NUMBERS) -> list[int]:
    return [client.get(url).status_code for _ in range(count)]


def test_a_sequence_is_answered_in_turn_and_then_the_truth(client: FlaskClient) -> None:
    add(client, {"operation": "GetActiveUsers", "statuses": [429, 200, 503]})
    assert statuses(client, 6) == [429, 200, 503, 200, 200, 200]


def test_a_fault_is_for_its_operation_alone(client: FlaskClient) -> None:
    add(client, {"operation": "GetActiveUsers", "status": 500})
    assert statuses(client, 2) == [500, 500]
    assert statuses(client, 1, HISTORIES) == [200]
    put(client, "/active-users", NUMBER)


@pytest.mark.parametrize(
    ("pattern", "hit"),
    [
        (f"{BASE}/active-users", [True, False, False]),
        (f"{BASE}/users/*", [False, True, False]),
        ("*", [True, True, True]),
        (f"{BASE}/nothing", [False, False, True]),
        (f"{BASE}/Active-Users", [False, False, False]),
    ],
)
def test_a_fault_is_for_a_path(client: FlaskClient, pattern: str, hit: list[bool]) -> None:
    add(client, {"path": pattern, "status": 503})
    asked = [NUMBERS, HISTORIES, f"{BASE}/nothing"]
    assert [client.get(url).status_code == 503 for url in asked] == hit


def test_so_many_are_skipped_and_so_many_are_hit(client: FlaskClient) -> None:
    add(client, {"operation": "GetActiveUsers", "status": 503, "skip": 2, "times": 3})
    assert statuses(client, 7) == [200, 200, 503, 503, 503, 200, 200]
    (fault,) = client.get("/__double/faults").get_json()["faults"]
    assert (fault["matched"], fault["applied"]) == (7, 3)


@pytest.mark.slow
def test_a_probability_repeats_itself_by_its_seed(client: FlaskClient) -> None:
    rule = {"operation": "GetActiveUsers", "status": 503, "probability": 0.3}
    runs = []
    for seed in (1, 1, 2):
        client.delete("/__double/faults")
        add(client, rule | {"seed": seed})
        runs.append(statuses(client, 200))
    assert runs[0] == runs[1] != runs[2]
    assert all(30 <= run.count(503) <= 90 for run in runs)


@pytest.mark.parametrize(("probability", "hits"), [(0, 0), (1, 20), (1.0, 20)])
def test_never_and_always_are_probabilities(
    client: FlaskClient, probability: float, hits: int
) -> None:
    add(client, {"operation": "GetActiveUsers", "status": 503, "probability": probability})
    assert statuses(client, 20).count(503) == hits


@pytest.mark.parametrize("status", [status for status in STATUSES if status != 200])
def test_each_status_is_answered_as_documented(client: FlaskClient, status: int) -> None:
    add(client, {"operation": "GetActiveUsers", "status": status})
    answer = client.get(NUMBERS)
    assert answer.status_code == status
    assert answer.content_type == "application/json"
    assert answer.get_json().keys() == {"type", "message"}
    assert answer.get_json()["type"] == TYPES[status]
    assert answer.headers.get("Retry-After") == ("1" if status in (429, 503) else None)
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert ("Allow" in answer.headers) == (status == 405)
    assert answer.headers["X-Saasus-Trace-Id"]


def test_type_message_and_patience_can_be_told(client: FlaskClient) -> None:
    own = {"type": "ip_restricted", "message": "not from here", "retry_after": 30}
    add(client, {"operation": "GetActiveUsers", "status": 403, **own})
    answer = client.get(NUMBERS)
    assert answer.get_json() == {"type": "ip_restricted", "message": "not from here"}
    assert answer.headers["Retry-After"] == "30"


def test_the_first_fault_that_applies_decides(client: FlaskClient) -> None:
    add(
        client,
        {"operation": "GetActiveUsers", "status": 503, "skip": 1, "times": 1},
        {"path": "*", "status": 500, "times": 2},
    )
    assert statuses(client, 4) == [500, 503, 500, 200]


def test_faults_are_removed_one_or_all(client: FlaskClient) -> None:
    first, second = add(client, {"path": "*", "status": 500}, {"path": "*", "status": 503})
    assert client.delete(f"/__double/faults/{first['id']}").status_code == 200
    assert client.delete(f"/__double/faults/{first['id']}").status_code == 404
    assert statuses(client, 1) == [503]
    client.delete("/__double/faults")
    assert statuses(client, 1) == [200]
    assert add(client, {"path": "*", "status": 500})[0]["id"] == second["id"] - 1


def test_an_injected_error_stores_nothing(d: Double) -> None:
    d.fail("UpdateActiveUsers", 503, times=1)
    client = Client(d.wsgi)
    assert client.put(f"{BASE}/active-users", json=NUMBER).status_code == 503
    assert d.state["active_users"] == []
    assert client.put(f"{BASE}/active-users", json=NUMBER).status_code == 200
    assert d.state["active_users"] == [NUMBER]


@pytest.mark.parametrize(
    ("fault", "place"),
    [
        ({}, "either operation or path must be given"),
        ({"operation": "GetActiveUsers"}, "at least one of status, statuses, latency_ms and"),
        ({"operation": "GetActiveUser", "status": 500}, "operation: must be one of Update"),
        ({"operation": "GetState", "status": 500}, "operation: must be one of Update"),
        ({"operation": 5, "status": 500}, "operation: must be one of Update"),
        ({"operation": ["x"], "status": 500}, "operation: must be one of Update"),
        ({"operation": "GetActiveUsers", "path": "*", "status": 500}, "either operation or path"),
        ({"path": "*", "status": 418}, "status: must be one of 200, 400"),
        ({"path": "*", "status": 409}, "status: must be one of 200, 400"),
        ({"path": "*", "status": "500"}, "status: must be one of 200, 400"),
        ({"path": "*", "status": True}, "status: must be one of 200, 400"),
        ({"path": "*", "statuses": []}, "statuses: must be a list of statuses"),
        ({"path": "*", "statuses": [429, 0]}, "statuses: must be one of 200, 400"),
        (
            {"path": "*", "statuses": [429], "times": 2},
            "statuses: must not be given with status or times",
        ),
        (
            {"path": "*", "statuses": [429], "status": 500},
            "statuses: must not be given with status or times",
        ),
        ({"path": "*", "status": 500, "times": 0}, "times: must be from 1"),
        ({"path": "*", "status": 500, "skip": -1}, "skip: must be from 0"),
        ({"path": "*", "status": 500, "probability": 1.1}, "probability: must be a number from 0"),
        ({"path": "*", "status": 500, "probability": "1"}, "probability: must be a number from 0"),
        ({"path": "*", "status": 500, "probability": True}, "probability: must be a number from"),
        ({"path": "*", "latency_ms": 60_001}, "latency_ms: must be from 0 to 60000"),
        ({"path": "*", "latency_ms": [2, 1]}, "latency_ms: must have the minimum first"),
        ({"path": "*", "latency_ms": [1]}, "latency_ms: must be a number of milliseconds, or"),
        ({"path": "*", "latency_ms": 1.5}, "latency_ms: must be a whole number"),
        ({"path": "*", "connection": "drop"}, "connection: must be one of cut, reset, reset_after"),
        ({"path": "*", "connection": "reset", "status": 500}, "connection: a connection that is"),
        ({"path": "*", "status": 500, "delay": 1}, "delay: is not known here"),
        ("fault", "must be an object"),
    ],
)
def test_a_bad_fault_is_refused_by_its_place(client: FlaskClient, fault: Any, place: str) -> None:
    good = {"path": "*", "status": 500}
    for body, prefix in ((fault, ""), ([good, fault], "[1]")):
        answer = client.post("/__double/faults", json=body)
        assert answer.status_code == 400
        assert place in answer.get_json()["message"]
        assert answer.get_json()["message"].startswith(prefix)
    assert client.get("/__double/faults").get_json() == {"faults": []}
    assert statuses(client, 1) == [200]


def ask(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.slow
def test_a_waiting_request_holds_up_no_other(d: Double) -> None:
    """More wait than there are threads, and one namespace's waiting is its own."""
    d.fail("GetActiveUsers", latency_ms=1500)
    with ThreadPoolExecutor(40) as pool:
        begin = time.monotonic()
        slow = [pool.submit(ask, d.url + NUMBERS) for _ in range(40)]
        time.sleep(0.3)
        assert ask(d.url + HISTORIES) == 200
        assert ask(d.namespace("other").url + NUMBERS) == 200
        d.put_active_users("daily", "2026-05-19", "acme", 3, 5)
        assert time.monotonic() - begin < 1.5, "something waited for the waiting"
        assert [future.result() for future in slow] == [200] * 40
        assert time.monotonic() - begin >= 1.5
    assert ask(d.url + NUMBERS) == 200


@pytest.mark.parametrize("end", ["reset", "delete"])
def test_what_waits_when_its_namespace_is_reset_or_deleted_is_over(d: Double, end: str) -> None:
    mine = d.namespace("mine")
    mine.fail("*", latency_ms=600)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(send, mine, "PUT", f"{BASE}/active-users", PUT_BODY)
        time.sleep(0.2)
        getattr(mine, end)()
        with pytest.raises(ConnectionResetError):
            waiting.result()
    names = d.control("GET", "/namespaces")["namespaces"]
    assert "mine" in names or end == "delete"
    assert mine.state["active_users"] == mine.requests() == []


@pytest.mark.slow
def test_a_fault_that_is_added_while_the_server_is_busy_holds_up_nobody(d: Double) -> None:
    """Both requests are read at once, so the fault comes when the next one is queued already."""
    parts = urlsplit(d.url)
    d.events(*({"type": "userinfo", "user_id": f"u{n}", "referer": "/"} for n in range(20_000)))
    fault = b'{"path": "*", "latency_ms": 2500}'

    def begin(method: str, path: str, body: bytes = b"") -> socket.socket:
        connection = socket.create_connection((parts.hostname, parts.port), timeout=30)
        connection.sendall(
            f"{method} {parts.path}{path} HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        return connection

    busy = begin("GET", "/__double/state")
    connections = [begin("POST", "/__double/faults", fault), begin("GET", HISTORIES)]
    began = time.monotonic()
    assert ask(f"{d.url}/healthz") == 200
    assert time.monotonic() - began < 2.5, "the loop waited for the fault"
    for connection in (busy, *connections):
        connection.close()
    d.clear_faults()


@pytest.mark.slow
def test_a_double_that_ends_while_a_request_waits_leaves_no_thread(d: Double) -> None:
    with double() as other:
        other.fail("*", latency_ms=2500)
        url = other.url + HISTORIES
        asking = threading.Thread(target=give_up, args=(url,))
        asking.start()
        time.sleep(0.3)
    asking.join()
    until = time.monotonic() + 10
    while time.monotonic() < until and waitress_threads():
        time.sleep(0.05)
    assert waitress_threads() == []


def give_up(url: str) -> None:
    with suppress(OSError):
        urlopen(url).close()


def waitress_threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("waitress")]


def test_a_range_of_latency_is_kept(d: Double) -> None:
    d.fail("GetActiveUsers", 503, latency_ms=[100, 200])
    begin = time.monotonic()
    assert ask(d.url + NUMBERS) == 503
    assert time.monotonic() - begin >= 0.1


def send(d: Double, method: str, path: str, body: bytes = b"") -> bytes:
    """Send a request on a socket of its own, and return all that comes; raises if it is reset."""
    parts = urlsplit(d.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(
            f"{method} {parts.path}{path} HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n".encode()
            + body
        )
        told = b""
        while piece := connection.recv(65536):
            told += piece
        return told


PUT_BODY = b'{"type":"daily","date":"2026-05-19","tenant_id":"a","env_id":3,"active_users":5}'


@pytest.mark.parametrize(("connection", "stored"), [("reset", 0), ("reset_after", 1)])
def test_a_connection_is_reset_before_or_after_the_work(
    d: Double, connection: str, stored: int
) -> None:
    d.fail("UpdateActiveUsers", connection=connection, times=1)
    with pytest.raises(ConnectionResetError):
        send(d, "PUT", f"{BASE}/active-users", PUT_BODY)
    assert len(d.state["active_users"]) == stored
    assert [request["status"] for request in d.requests()] == [None]
    assert send(d, "PUT", f"{BASE}/active-users", PUT_BODY).startswith(b"HTTP/1.1 200")


def test_a_body_is_cut_short(d: Double) -> None:
    d.put_histories("ann", NOW, [{"timestamp": NOW, "referer": "/x"}])
    whole = send(d, "GET", HISTORIES).partition(b"\r\n\r\n")[2]
    d.fail("*", connection="cut")
    assert send(d, "HEAD", HISTORIES).startswith(b"HTTP/1.1 200")
    head, _, body = send(d, "GET", HISTORIES).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(whole)}\r\n".encode() in head
    assert body == whole[: len(whole) // 2]
    head, _, body = send(d, "PUT", f"{BASE}/active-users", PUT_BODY).partition(b"\r\n\r\n")
    assert (b"Content-Length: 2\r\n" in head, body) == (True, b" ")
    assert len(d.state["active_users"]) == 1


def test_one_fault_is_removed_in_python_too(d: Double) -> None:
    first, second = d.fail("*", 500), d.fail("*", 503)
    d.remove_fault(first)
    assert [fault["id"] for fault in d.faults()] == [second]
    with pytest.raises(DoubleError, match=f"there is no fault {first}"):
        d.remove_fault(first)


def test_the_wrong_name_is_refused_in_python_too(d: Double) -> None:
    with pytest.raises(DoubleError, match="operation: must be one of"):
        d.fail("GetActive", 429)
