"""The double from Python, with a socket and without."""

import asyncio
import http.client
import json
import subprocess
import sys
import threading
import time
import unittest
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import requests
import urllib3
from werkzeug.test import Client

from app.double import Double, DoubleError, double
from app.errors import StartError
from app.server.event_loop import EventLoop
from app.server.workers import POLL_SECONDS

from ..conftest import NOW, ROOT
from ..support.calls import BASE
from ..support.signer import authorization
from .conftest import running

HISTORIES = f"{BASE}/users/ann/behavior-histories"
OFFICIAL = f"https://api.saasus.io{HISTORIES}"


def test_it_listens_once_somebody_asks_for_its_url() -> None:
    before = threading.active_count()
    with double() as d:
        d.put_active_users("daily", "2026-05-19", "acme", 3, 5)
        assert threading.active_count() == before
        url = f"{d.base_url}/active-users?type=daily&date_from=2026-01-01"
        with urllib.request.urlopen(url) as answer:
            assert json.load(answer)["data"][0]["active_users"] == 5
        port = urlsplit(d.url).port
        assert d.url == d.url
    until = time.monotonic() + 5
    while threading.active_count() > before:  # they end by themselves
        assert time.monotonic() < until
        time.sleep(0.01)
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", port, timeout=5).connect()


def test_a_double_that_is_over_does_not_listen_again() -> None:
    with double() as d:
        pass
    with pytest.raises(DoubleError, match="this double is closed"):
        _ = d.url


@pytest.mark.slow
def test_two_doubles_in_a_process_know_nothing_of_each_other() -> None:
    with double() as one, double() as other:
        one.put_active_users("daily", "2026-05-19", "acme", 3, 5)
        assert other.state["active_users"] == []
        assert one.url != other.url


def test_httpx_goes_without_a_socket(d: Double) -> None:
    d.clock.freeze(NOW)
    with httpx.Client(transport=d.httpx_transport(), base_url="https://api.saasus.io") as client:
        day = {
            "timestamp": NOW,
            "user_id": "ann",
            "histories": [{"timestamp": NOW, "referer": "/"}],
        }
        assert client.put(f"{BASE}/user-behavior-day", json=day).content == b""
        told = client.get(HISTORIES)
        assert told.json()["histories"][0]["histories"] == day["histories"]
        assert told.headers["x-saasus-trace-id"]
    assert threading.active_count() == 1 or "double" not in {t.name for t in threading.enumerate()}


def test_httpx_goes_without_a_socket_in_asyncio(d: Double) -> None:
    """A waiting request holds up no other of the same loop."""
    d.fail("GetUserBehaviorHistories", latency_ms=700, times=1)

    async def ask() -> list[float]:
        async with httpx.AsyncClient(transport=d.httpx_transport()) as client:
            begin = time.monotonic()
            slow = asyncio.create_task(client.get(OFFICIAL))
            await asyncio.sleep(0.2)
            assert (await client.get(OFFICIAL)).status_code == 200
            between = time.monotonic() - begin
            assert (await slow).status_code == 200
            return [between, time.monotonic() - begin]

    between, after = asyncio.run(ask())
    assert between < 0.7 <= after


def test_requests_goes_without_a_socket(d: Double) -> None:
    with requests.Session() as session:
        session.mount("https://api.saasus.io/", d.requests_adapter())
        events = [{"type": "userinfo", "user_id": "ann", "referer": "/ü"}]
        told = session.post(f"https://api.saasus.io{BASE}/ingest/events", json=events, timeout=5)
        assert told.json()["accepted"] == 1
        lines = (json.dumps(event).encode() for event in events)
        headers = {"Content-Type": "application/x-ndjson"}
        url = f"https://api.saasus.io{BASE}/ingest/events"
        assert session.post(url, data=lines, headers=headers, timeout=5).json()["accepted"] == 1
        assert session.get(OFFICIAL, headers={"Authorization": b"Bearer x"}, timeout=5).ok
        assert session.get(OFFICIAL, timeout=urllib3.Timeout(5)).ok  # type: ignore[arg-type]
        entries = session.get(OFFICIAL, timeout=5).json()["histories"][0]["histories"]
        assert [entry["referer"] for entry in entries] == ["/ü", "/ü"]
        assert session.get(f"https://api.saasus.io{BASE}/nothing", timeout=5).status_code == 404


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "of_httpx", "of_requests"),
    [
        ({"connection": "reset"}, httpx.ReadError, requests.ConnectionError),
        ({"connection": "reset_after"}, httpx.ReadError, requests.ConnectionError),
        (
            {"connection": "cut"},
            httpx.RemoteProtocolError,
            requests.exceptions.ChunkedEncodingError,
        ),
        ({"latency_ms": 10_000}, httpx.ReadTimeout, requests.ReadTimeout),
        (
            {"latency_ms": 10_000, "connection": "cut"},
            httpx.ReadTimeout,
            requests.ReadTimeout,
        ),
    ],
)
@pytest.mark.parametrize("has_socket", [False, True])
def test_a_broken_connection_is_the_same_error_with_a_socket_and_without(
    d: Double,
    fault: dict[str, Any],
    of_httpx: type[Exception],
    of_requests: type[Exception],
    has_socket: bool,
) -> None:
    d.fail("*", **fault)
    url = d.url + HISTORIES if has_socket else OFFICIAL
    transport = httpx.HTTPTransport() if has_socket else d.httpx_transport()
    with httpx.Client(transport=transport, timeout=0.2) as client, pytest.raises(of_httpx):
        client.get(url)
    with requests.Session() as session, pytest.raises(of_requests):
        session.mount("https://api.saasus.io", d.requests_adapter())
        session.get(url, timeout=(3, 0.2))
    d.clear_faults()


def test_who_gives_up_does_not_undo_what_is_done(d: Double) -> None:
    d.fail("UpdateActiveUsers", latency_ms=300)
    body = {"type": "daily", "date": "2026-05-19", "tenant_id": "a", "env_id": 3, "active_users": 5}
    client = httpx.Client(transport=d.httpx_transport(), timeout=0.1)
    with client, pytest.raises(httpx.ReadTimeout):
        client.put(f"https://x{BASE}/active-users", json=body)
    assert d.state["active_users"] == [body]


def test_the_variables_of_the_official_clients_lead_to_the_namespace(d: Double) -> None:
    mine = d.namespace("mine")
    variables = mine.environment
    assert variables["SAASUS_BASE_URL"] == f"{mine.url}/v1"
    signed = authorization(variables, at=0, method="GET", host="h", target="/")
    platform = variables["SAASUS_PLATFORM_API_URL_BASE"]
    for url in (f"{variables['SAASUS_BASE_URL']}/analysis", f"{platform}/v1/analysis"):
        request = urllib.request.Request(f"{url}/users/ann/behavior-histories")
        request.add_header("Authorization", signed)
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200
    assert mine.count() == 2
    assert d.count() == 0
    assert variables["SAASUS_SECRET_KEY"] != d.environment["SAASUS_SECRET_KEY"]


@pytest.mark.parametrize("settings", [{"double_auth": "strict"}])
@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_they_hold_in_a_strict_double_too(d: Double, is_elsewhere: bool) -> None:
    d.clock.freeze(NOW)
    url = urlsplit(d.url)
    target = f"{url.path}{HISTORIES}"
    for _ in range(2):
        with double(at=d.url) as elsewhere:
            again = elsewhere if is_elsewhere else d.namespace(d.name)
            key = again.environment
        signed = authorization(key, at=NOW, method="GET", host=url.netloc, target=target)
        request = urllib.request.Request(d.url + HISTORIES, headers={"Authorization": signed})
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200


def test_a_seed_can_be_a_file(tmp_path: Path) -> None:
    event = {"type": "create_tenant", "tenant_id": "ü", "timestamp": NOW}
    lines = tmp_path / "events.ndjson"
    lines.write_text(f"{json.dumps(event)}\n\n{json.dumps(event)}\n", "utf-8")
    with double(seed=lines) as d:
        assert len(d.state["events"]) == 2
        saved = tmp_path / "state.json"
        d.save_state(saved)
        assert saved.read_bytes() == Client(d.wsgi).get("/__double/state").data
        d.seed([])
        d.set_state(saved)
        assert len(d.state["events"]) == 2
        d.reset()
        assert d.state["events"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": {"event": []}}, "the seed: event: is not known here"),
        ({"seed": Path("/nothing/here")}, "the seed /nothing/here cannot be read"),
        ({"double_auth": "lax"}, "double_auth: must be one of any, required, strict"),
        ({"time_zone": "Mars/Base"}, "time_zone: 'Mars/Base' is not an IANA"),
        ({"speed": 1}, "speed is not a setting"),
    ],
)
def test_what_cannot_be_used_keeps_it_from_starting(options: Any, message: str) -> None:
    with pytest.raises(StartError) as refused, double(**options):
        pass
    assert str(refused.value).startswith(message)


@pytest.mark.slow
def test_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYSIS_OF_SOMEBODY_ELSE", "x")
    monkeypatch.setenv("ANALYSIS_TIME_ZONE", "Asia/Tokyo")
    with double() as d:
        assert d.state["settings"]["time_zone"] == "UTC"


@pytest.mark.slow
def test_a_double_that_runs_elsewhere_is_used_the_same_way() -> None:
    with running() as process, double(at=process.url, namespace="mine", seed=[]) as d:
        d.put_active_users("daily", "2026-05-19", "acme", 3, 5)
        with urllib.request.urlopen(d.url + HISTORIES) as answer:
            assert answer.status == 200
        d.verify("GetUserBehaviorHistories", parameters={"user_id": "ann"}, times=1)
        with pytest.raises(AssertionError, match="nearest is request 1"):
            d.verify("GetActiveUsers")
        with pytest.raises(DoubleError, match="only be reached by its url"):
            d.httpx_transport()
        assert d.namespace("default").state["active_users"] == []


@pytest.mark.slow
def test_the_url_of_a_namespace_leads_to_it() -> None:
    with double() as d:
        mine = d.namespace("mine")
        with double(at=mine.url) as again:
            again.put_active_users("daily", "2026-05-19", "acme", 3, 5)
            assert (again.name, again.url) == ("mine", mine.url)
        assert len(mine.state["active_users"]) == 1


def test_settings_are_for_a_new_double() -> None:
    with (
        pytest.raises(DoubleError, match="time_zone: can be set for a new double"),
        double(at="http://127.0.0.1:9", time_zone="UTC"),
    ):
        pass


def test_a_stop_that_comes_late_finds_nothing_to_wake(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop ends between being told to and being woken up."""
    wake = EventLoop.wake

    def wake_late(self: EventLoop) -> None:
        time.sleep(2 * POLL_SECONDS)
        wake(self)

    monkeypatch.setattr(EventLoop, "wake", wake_late)
    with double() as d:
        assert d.url


@pytest.mark.parametrize("url", ["127.0.0.1:1", "https://127.0.0.1:1", "http://", "http://a/v1"])
def test_a_url_of_no_double_is_refused(url: str) -> None:
    with pytest.raises(DoubleError, match="at: must be the http URL"), double(at=url):
        pass


def test_nobody_there_is_told_so() -> None:
    with (
        double(at="http://127.0.0.1:9") as d,
        pytest.raises(DoubleError, match="no double responds"),
    ):
        d.reset()


class InUnittest(unittest.TestCase):
    """unittest has no fixtures; a context that is entered in `setUp` ends with the test."""

    def setUp(self) -> None:
        self.d = self.enterContext(double())

    def test_each_test_has_its_own(self) -> None:
        for _ in range(2):
            self.d.put_active_users("daily", "2026-05-19", "acme", 3, 5)
        self.assertEqual(len(self.d.state["active_users"]), 1)

    def test_each_other_test_too(self) -> None:
        self.assertEqual(self.d.state["active_users"], [])


@pytest.mark.slow
def test_neither_httpx_nor_requests_is_needed() -> None:
    code = (
        "import sys; sys.modules['httpx'] = sys.modules['requests'] = None\n"
        "from app.double import double\n"
        "with double() as d: d.put_active_users('daily', '2026-05-19', 'a', 1, 1); print(d.url)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("http://127.0.0.1:"), done.stderr
