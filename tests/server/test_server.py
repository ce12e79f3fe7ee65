import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from app.storage.database import Database

from ..conftest import ROOT, RunningServer, run, serving
from ..support.signer import authorization

pytestmark = pytest.mark.slow

EVENTS = "/v1/analysis/ingest/events"


def connect(server: RunningServer) -> closing[http.client.HTTPConnection]:
    return closing(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30))


def get(server: RunningServer, path: str, **headers: str) -> http.client.HTTPResponse:
    with connect(server) as connection:
        connection.request("GET", path, headers=server.headers | headers)
        answer = connection.getresponse()
        answer.read()
    return answer


def test_it_says_where_it_listens_and_shows_a_first_key_once(tmp_path: Path) -> None:
    at = ("--database", tmp_path / "a.db")
    with serving(*at) as server:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", server.url)
        assert get(server, "/v1/analysis/active-users").status == 400
        first = server
    with serving(*at) as again:
        assert again.token == ""
        again.token = first.token
        assert get(again, "/v1/analysis/active-users").status == 400


def test_health_needs_no_key(server: RunningServer) -> None:
    server.token = ""
    assert get(server, "/healthz").status == 200
    assert get(server, "/readyz").status == 200
    assert get(server, "/v1/analysis/active-users").status == 401


def test_every_answer_has_a_trace_id_and_a_request_s_own_is_taken_over(
    server: RunningServer,
) -> None:
    for path in ("/healthz", "/nowhere", "/v1/analysis/errors/internal-server-error"):
        for good in ("trace-1", "!", "~" * 128):
            own = get(server, path, **{"X-Saasus-Trace-Id": good})
            assert own.getheader("X-Saasus-Trace-Id") == good
        made = {get(server, path).getheader("X-Saasus-Trace-Id") for _ in range(2)}
        assert len(made) == 2
        for bad in ("", " ", "a b", "a\t", "x" * 129, "é", "\x7f"):
            answer = get(server, path, **{"X-Saasus-Trace-Id": bad})
            assert answer.getheader("X-Saasus-Trace-Id") not in (bad, None)


def test_the_log_has_a_line_a_request_and_nothing_secret(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as file, serving("--database", tmp_path / "a.db", stderr=file) as server:
        body = json.dumps({"type": "userinfo", "user_id": "the-user-in-the-body"})
        headers = server.headers | {"Content-Type": "application/json", "X-Saasus-Trace-Id": "t-1"}
        with connect(server) as connection:
            connection.request("POST", EVENTS, body, headers)
            assert connection.getresponse().status == 200
        get(server, "/nowhere?x=%0a", Authorization="SAASUSSIGV1 Sig=ab12, SaaSID=s, APIKey=k")
    written = log.read_text()
    first = rf"127\.0\.0\.1 POST {EVENTS} 200 \d+\.\dms key=first trace=t-1\n"
    assert re.search(first, written)
    assert re.search(r"127\.0\.0\.1 GET /nowhere\?\*\*\* 404 \d+\.\dms key=- trace=\S+\n", written)
    for secret in (server.token, "the-user-in-the-body", "ab12"):
        assert secret not in written


def test_the_log_has_nothing_else_under_load(tmp_path: Path) -> None:
    log = tmp_path / "log"
    Database(tmp_path / "a.db").close()
    with log.open("w") as file, serving("--database", tmp_path / "a.db", stderr=file) as server:
        threads = [threading.Thread(target=get, args=(server, "/healthz")) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = log.read_text().splitlines()
    assert len(lines) == 40
    assert all(" GET /healthz 200 " in line for line in lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_under_way_are_answered_before_the_end(
    tmp_path: Path, number: signal.Signals
) -> None:
    events = b"".join(
        json.dumps({"type": "userinfo", "user_id": f"u{n}", "env_id": 1}).encode() + b"\n"
        for n in range(20_000)
    )
    with (
        serving("--database", tmp_path / "a.db") as server,
        connect(server) as idle,
        connect(server) as slow,
    ):
        idle.request("GET", "/healthz")
        idle.getresponse().read()
        slow.putrequest("POST", EVENTS)
        for name, value in server.headers.items():
            slow.putheader(name, value)
        slow.putheader("Content-Type", "application/x-ndjson")
        slow.putheader("Content-Length", str(len(events)))
        slow.endheaders(events[:-100])
        time.sleep(0.3)
        server.process.send_signal(number)
        time.sleep(0.7)
        with pytest.raises(OSError):
            get(server, "/healthz")
        slow.send(events[-100:])
        answer = slow.getresponse()
        assert answer.status == 200
        assert json.load(answer)["accepted"] == 20_000
        assert server.process.wait(timeout=10) == 0


def test_the_drain_ends_where_a_client_never_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANALYSIS_DRAIN_SECONDS", "1")
    with serving("--database", tmp_path / "a.db") as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port)) as half:
            half.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
            time.sleep(0.3)
            server.process.terminate()
            assert server.process.wait(timeout=10) == 0


def test_a_second_signal_ends_the_drain(tmp_path: Path) -> None:
    with serving("--database", tmp_path / "a.db") as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port)) as half:
            half.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
            time.sleep(0.3)
            server.process.send_signal(signal.SIGINT)
            with pytest.raises(subprocess.TimeoutExpired):
                server.process.wait(timeout=1)
            server.process.send_signal(signal.SIGINT)
            assert server.process.wait(timeout=5) == 0


def test_what_was_answered_is_there_after_a_kill(tmp_path: Path) -> None:
    at = ("--database", tmp_path / "a.db")
    with serving(*at) as server, connect(server) as connection:
        accepted = 0
        headers = server.headers | {"Content-Type": "application/json"}

        def kill() -> None:
            time.sleep(0.5)
            server.process.kill()

        threading.Thread(target=kill).start()
        with pytest.raises((OSError, http.client.HTTPException)):
            while True:
                event = json.dumps({"type": "create_tenant", "tenant_id": "t", "timestamp": 5})
                connection.request("POST", EVENTS, event, headers)
                accepted += json.load(connection.getresponse())["accepted"]
        token = server.token
    with serving(*at) as server, connect(server) as connection:
        server.token = token
        path = "/v1/analysis/metrics/aggregated?metrics_type=create_tenant"
        dates = "&start_date=1970-01-01&end_date=1970-01-01"
        connection.request("GET", path + dates, headers=server.headers)
        (metric,) = json.load(connection.getresponse())["metrics"]
        assert metric["count"] in (accepted, accepted + 1)


def test_without_keys_it_listens_on_loopback_only(tmp_path: Path) -> None:
    at = ("--database", tmp_path / "a.db")
    Database(tmp_path / "a.db").close()
    for host in ("0.0.0.0", "::"):
        refused = run("serve", "--no-auth", "--host", host, "--port", "0", *at)
        assert refused.returncode == 1
        assert refused.stderr == (
            f"Error: host: without keys, it must be a loopback address, not {host}\n"
        )
    for host in ("localhost", "127.0.0.2", "::1"):
        with serving("--no-auth", "--host", host, *at) as server:
            server.token = ""
            assert get(server, "/v1/analysis/active-users").status == 400


def test_all_addresses_of_ipv6_are_those_of_ipv4_too(tmp_path: Path) -> None:
    with serving("--host", "::", "--database", tmp_path / "a.db") as server:
        port = urlsplit(server.url).port
        for host in ("127.0.0.1", "::1"):
            with closing(http.client.HTTPConnection(host, port, timeout=30)) as connection:
                connection.request("GET", "/healthz")
                assert connection.getresponse().status == 200


def test_no_database_is_made_where_the_port_is_taken(tmp_path: Path, server: RunningServer) -> None:
    port = str(urlsplit(server.url).port)
    assert run("serve", "--port", port, "--database", tmp_path / "b.db").returncode == 1
    assert not (tmp_path / "b.db").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "203.0.113.1"), "cannot listen on 203.0.113.1 port 0: "),
        (("--host", "no.such.host.invalid"), "cannot listen on no.such.host.invalid port 0: "),
        (("--database", "/no/such/folder/a.db"), "the database /no/such/folder/a.db cannot be"),
    ],
)
def test_what_keeps_it_from_starting_is_one_line(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    at = ("--port", "0", "--database", tmp_path / "a.db")
    Database(tmp_path / "a.db").close()
    refused = run("serve", *at, *arguments)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Error: {message}")
    assert refused.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_named(tmp_path: Path, server: RunningServer) -> None:
    port = str(urlsplit(server.url).port)
    refused = run("serve", "--port", port, "--database", tmp_path / "b.db")
    assert f"cannot listen on 127.0.0.1 port {port}: " in refused.stderr


SIGNATURE_KEY = {
    "SAASUS_SAAS_ID": "saas",
    "SAASUS_API_KEY": "api",
    "SAASUS_SECRET_KEY": "not-a-secret",
}
QUERY = "/v1/analysis/active-users?type=daily&date_from=2026-05-13&tenant_id=%E2%82%AC+%2F"


def test_wsgi_py_is_the_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYSIS_DATABASE", str(tmp_path / "a.db"))
    code = "from wsgi import app; print(app.test_client().get('/healthz').json)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "{'status': 'ok'}\n"


def test_another_wsgi_server_runs_it_and_takes_signatures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    host = f"127.0.0.1:{port}"
    monkeypatch.setenv("ANALYSIS_DATABASE", str(tmp_path / "a.db"))
    for name, value in SIGNATURE_KEY.items():
        monkeypatch.setenv(name, value)
    command = [str(Path(sys.executable).with_name("granian")), "--interface", "wsgi"]
    command += ["--port", str(port), "--blocking-threads", "1", "wsgi:app"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            until_it_answers(f"http://{host}/healthz", process)
            for path in ("/v1/analysis/users/%E5%88%A9%20%C3%A9;=/behavior-histories", QUERY):
                signed = authorization(
                    SIGNATURE_KEY, at=int(time.time()), method="GET", host=host, target=path
                )
                request = Request(f"http://{host}{path}", headers={"Authorization": signed})
                with urlopen(request) as answer:
                    assert answer.status == 200
        finally:
            process.terminate()


def until_it_answers(url: str, process: subprocess.Popen[Any]) -> None:
    while process.poll() is None:
        try:
            with urlopen(url):
                return
        except URLError:
            time.sleep(0.05)
    pytest.fail("the server ended")
