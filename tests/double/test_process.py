"""The command `double`, as whatever starts it sees it."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from app import __version__, create_app

from ..conftest import NOW, ROOT, run
from ..support.calls import BASE
from .conftest import running

pytestmark = pytest.mark.slow

EVENT = {"type": "create_tenant", "tenant_id": "ü", "timestamp": NOW}


def read(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A process whose parent has not asked for its end is a zombie.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_it_tells_one_line_when_it_answers(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    with running("--port-file", str(port_file)) as double:
        assert double.ready == {
            "url": double.url,
            "control": f"{double.url}/__double",
            "pid": double.process.pid,
            "version": __version__,
        }
        while not port_file.exists():
            time.sleep(0.01)
        assert port_file.read_text() == str(urlsplit(double.url).port)
        assert list(tmp_path.iterdir()) == [port_file]
        assert read(f"{double.ready['control']}/health") == {
            "status": "ok",
            "version": __version__,
            "namespaces": 0,
            "auth": "any",
        }
        assert read(f"{double.url}{BASE}/active-users?type=daily&date_from=2026-01-01") == {
            "data": []
        }
        double.process.send_signal(signal.SIGTERM)
        out, err = double.process.communicate(timeout=10)
        assert (out, err, double.process.returncode) == ("", "", 0)


def test_it_stops_as_soon_as_it_has_told_its_line() -> None:
    for _ in range(5):
        with running() as double:
            double.process.terminate()
            assert double.process.wait(timeout=10) == 0


def test_it_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app", "double"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        read(f"{url}{BASE}/users/ann/behavior-histories")
        process.terminate()
    assert list(tmp_path.iterdir()) == []


def test_verbose_logs_requests() -> None:
    with running("--verbose") as double:
        read(f"{double.url}/healthz")
        double.process.terminate()
        _, err = double.process.communicate(timeout=10)
    assert "GET /healthz 200" in err


@pytest.mark.parametrize("by_variable", [False, True])
@pytest.mark.parametrize("inline", [False, True])
def test_it_begins_with_a_seed(tmp_path: Path, inline: bool, by_variable: bool) -> None:
    seed = json.dumps({"events": [EVENT], "clock": {"mode": "frozen", "at": NOW}})
    if not inline:
        file = tmp_path / "seed.json"
        file.write_text(seed, "utf-8")
        seed = str(file)
    arguments = [] if by_variable else ["--seed", seed]
    environment = {"ANALYSIS_DOUBLE_SEED": seed} if by_variable else {}
    with running(*arguments, **environment) as double:
        for namespace in ("default", "other"):
            assert read(f"{double.url}/ns/{namespace}/__double/state")["events"] == [EVENT]
            assert read(f"{double.url}/ns/{namespace}/__double/clock")["now"] == NOW


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "{"], "the seed must be JSON"),
        (["--seed", '{"events": [{"type": "x"}]}'], "the seed: events[0].type: must be one of"),
        (["--seed", "/nothing/here"], "the seed /nothing/here cannot be read"),
        (["--seed", "[1]\n[2"], "the seed must be JSON"),
        (
            ["--host", "0.0.0.0"],
            "host: without --remote, it must be a loopback address",
        ),
        (["--port-file", "/nothing/here/port"], "--port-file /nothing/here/port: No such file"),
    ],
)
def test_what_keeps_it_from_starting_is_one_line(arguments: list[str], message: str) -> None:
    done = run("double", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1


def test_it_listens_for_others_if_it_was_said() -> None:
    with running("--host", "0.0.0.0", "--remote") as double:
        assert read(f"http://127.0.0.1:{urlsplit(double.url).port}/healthz") == {"status": "ok"}


def test_a_stop_lets_a_waiting_request_finish() -> None:
    with running() as double:
        fault = json.dumps({"path": "*", "latency_ms": 1000}).encode()
        headers = {"Content-Type": "application/json"}
        url = f"{double.ready['control']}/faults"
        urllib.request.urlopen(urllib.request.Request(url, fault, headers)).close()
        answers: list[Any] = []
        path = f"{double.url}{BASE}/users/ann/behavior-histories"
        asking = threading.Thread(target=lambda: answers.append(read(path)))
        asking.start()
        time.sleep(0.3)
        double.process.terminate()
        asking.join()
        assert answers == [{"histories": []}]
        assert double.process.wait(timeout=10) == 0


def test_it_ends_with_its_parent() -> None:
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'app', 'double', *sys.argv[1:]],\n"
        "                         stdout=subprocess.PIPE, text=True)\n"
        "print(child.stdout.readline(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    pids = []
    for arguments in (["--exit-with-parent"], []):
        with subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as parent:
            assert parent.stdout is not None
            pids.append(json.loads(parent.stdout.readline())["pid"])
            parent.kill()
    follows, stays = pids
    try:
        until = time.monotonic() + 10
        while not gone(follows) and time.monotonic() < until:
            time.sleep(0.05)
        assert gone(follows)
        assert not gone(stays)
    finally:
        os.kill(stays, signal.SIGKILL)


def test_two_requests_on_one_connection_and_many_connections_at_once() -> None:
    with running() as double:
        netloc = urlsplit(double.url).netloc
        connections = [http.client.HTTPConnection(netloc, timeout=10) for _ in range(200)]
        for _ in range(2):
            for connection in connections:
                connection.request("GET", f"{BASE}/users/ann/behavior-histories")
            for connection in connections:
                answer = connection.getresponse()
                assert (answer.status, answer.read()) == (200, b'{"histories":[]}')
        for connection in connections:
            connection.close()
        assert read(f"{double.ready['control']}/requests/count") == {"count": 400}


def test_pipelined_requests_are_answered_in_order() -> None:
    with running() as double:
        parts = urlsplit(double.url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=10)
        connection.connect()
        paths = [f"{BASE}/users/ann/behavior-histories", "/healthz", f"{BASE}/nothing"]
        for path in paths:
            connection.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        told = b""
        while told.count(b"HTTP/1.1 ") < 3 or not told.endswith(b"}"):
            told += connection.sock.recv(65536)
        connection.close()
        statuses = [part[:3] for part in told.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [b"200", b"200", b"404"]


def test_the_service_has_no_control_api(tmp_path: Path) -> None:
    app = create_app(database=tmp_path / "a.db", auth=False)
    client: FlaskClient = app.test_client()
    for path in ("/__double/health", "/__double/state", "/__double/openapi.json", "/ns/a/healthz"):
        assert client.get(path).status_code == 404
    described = client.get("/openapi.json").get_json()
    assert not [path for path in described["paths"] if "__double" in path]
    app.extensions["database"].close()
