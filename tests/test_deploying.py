"""The files of docs/deploying.md, in use."""

import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from .auth.signer import authorization
from .calls import BASE
from .conftest import ROOT, RunningServer, run, serving

PAGE = (ROOT / "docs" / "deploying.md").read_text()
EVENT = json.dumps({"type": "userinfo", "user_id": "a/ü", "referer": "/"}).encode()


def block(language: str) -> str:
    """Return the one block of the page in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)
    return str(found)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with serving("--database", tmp_path / "a.db", ANALYSIS_PROXIES="1") as running:
        yield running


@pytest.fixture
def port(server: RunningServer, tmp_path: Path) -> Iterator[int]:
    """The port of nginx, set up as documented but for TLS, in front of a server."""
    taken = free_port()
    site = re.sub(r"listen 443 ssl;", f"listen 127.0.0.1:{taken};", block("nginx"))
    site = re.sub(r"\n *ssl_certificate.*", "", site)
    site = site.replace("http://127.0.0.1:8000", server.url)
    site = site.replace("/var/log/nginx/access.log", f"{tmp_path}/access.log")
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\n"
        f"events {{}}\nhttp {{ client_body_temp_path {tmp_path}/body;\n"
        f"proxy_temp_path {tmp_path}/proxy; fastcgi_temp_path {tmp_path}/f;\n"
        f"uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;\n{site}\n}}\n"
    )
    with subprocess.Popen(
        ["nginx", "-e", str(tmp_path / "error.log"), "-c", str(tmp_path / "nginx.conf")]
    ) as nginx:
        try:
            until = time.monotonic() + 20
            while time.monotonic() < until and nginx.poll() is None:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", taken)) == 0:
                        break
                time.sleep(0.02)
            yield taken
        finally:
            nginx.terminate()


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is NOT here: its page is not tried")
def test_signatures_and_addresses_survive_nginx(
    server: RunningServer, port: int, tmp_path: Path
) -> None:
    made = run("keys", "create", "sdk", "--signature", "--database", tmp_path / "a.db").stdout
    key = dict(line.split("=", 1) for line in made.splitlines() if line.startswith("SAASUS_"))
    host = f"analysis.example.com:{port}"
    requests = [
        ("POST", f"{BASE}/ingest/events", EVENT),
        ("GET", f"{BASE}/users/a%2F%C3%BC/behavior-histories", b""),
        ("GET", f"{BASE}/active-users?type=daily&date_from=2026-01-01&tenant_id=%E3%81%82+b", b""),
        ("GET", f"{BASE}//users/%2e/behavior-histories?x=%7E~", b""),
    ]
    statuses = []
    for method, target, body in requests:
        signature = authorization(
            key, at=int(time.time()), method=method, host=host, target=target, body=body
        )
        headers = {"Host": host, "Authorization": signature, "Content-Type": "application/json"}
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
    assert statuses == [200, 200, 200, 404]


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is NOT here: its page is not tried")
def test_through_nginx_nobody_is_on_the_server_s_own_machine_but_who_is(
    server: RunningServer, port: int
) -> None:
    statuses = []
    for headers in ({}, {"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-For": "192.0.2.1"}):
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            connection.request("GET", "/metrics", headers=headers)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
    assert statuses == [200, 200, 200], "this client is on loopback, whatever it says"


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is NOT here: its page is not tried")
def test_nginx_tells_of_tls_and_logs_no_link(port: int, tmp_path: Path) -> None:
    made = run("links", "create", "board", "--database", tmp_path / "a.db")
    for path in (made.stdout.strip(), "/dashboard/sign-in"):
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            connection.request("GET", path, headers={"X-Forwarded-Proto": "https"})
            answer = connection.getresponse()
            answer.read()
    assert "Secure" not in str(answer.getheader("Set-Cookie")), "whatever the client says"
    until = time.monotonic() + 20
    # nginx writes a line after its answer, those of two requests in their order.
    while "/dashboard/sign-in" not in (log := (tmp_path / "access.log").read_text()):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert "/dashboard/shared/" not in log


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is NOT here")
def test_the_unit_is_right_and_hardened(tmp_path: Path) -> None:
    unit = tmp_path / "saasus-analysis.service"
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", block("ini")))
    done = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr
