"""The files of docs/deploying.md, in use."""

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect

from app.config import Settings
from app.server.systemd import Supervisor

from ..conftest import ROOT, RunningServer, run, serving
from ..support.browser import visiting
from ..support.calls import BASE
from ..support.signer import authorization

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "deploying.md").read_text()
EVENT = json.dumps({"type": "userinfo", "user_id": "a/ü", "referer": "/"}).encode()
PREFIX = "/analytics"
LONG = "/" + "分析" * 500

needs_nginx = pytest.mark.skipif(
    not shutil.which("nginx"), reason="nginx is NOT here: its page is not tried"
)


def block(language: str, word: str = "") -> str:
    """Return the one block of the page in a language that begins with a word."""
    (found,) = re.findall(rf"^```{language}\n(\s*{word}.*?)^```", PAGE, re.M | re.S)
    return str(found)


def ask(port: int, method: str, target: str, body: bytes = b"", **headers: str) -> Any:
    """Return the answer to a request; its body is in `text`."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request(method, target, body, headers)
        answer: Any = connection.getresponse()
        answer.text = answer.read().decode()
    return answer


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with serving(
        "--database", tmp_path / "a.db", ANALYSIS_PROXIES="1", ANALYSIS_PREFIX=PREFIX
    ) as running:
        yield running


@pytest.fixture
def port(server: RunningServer, tmp_path: Path) -> Iterator[int]:
    """The port of nginx, set up as documented but for TLS, in front of a server."""
    taken = free_port()
    site = re.sub(r"listen 443 ssl;", f"listen 127.0.0.1:{taken};", block("nginx"))
    site = re.sub(r"\n *ssl_certificate.*", "", site)
    # What is documented for a prefix, beside what is for none.
    (root,) = re.findall(r"^    location / \{\n.*?^    \}\n", site, re.M | re.S)
    (first_line,) = re.findall(r"^    location .*\{\n", block("text", "location"), re.M)
    site = site.replace(root, root + root.replace("    location / {\n", first_line))
    site = site.replace("http://127.0.0.1:8000", server.url)
    site = site.replace("/var/log/nginx/access.log", f"{tmp_path}/access.log")
    (tmp_path / "nginx.conf").write_text(
        # Its workers must get into the folder of the test.
        f"{'user root;' if os.getuid() == 0 else ''}\n"
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


@needs_nginx
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


@needs_nginx
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


@needs_nginx
def test_nginx_tells_of_tls_and_logs_no_link(port: int, tmp_path: Path) -> None:
    link = run("links", "create", "board", "--database", tmp_path / "a.db").stdout.strip()
    token = link.rsplit("/", 1)[-1]
    hidden = [
        link,
        f"/dashboard//shared/{token}/pages",
        f"/%64ashboard/%73hared/{token}",
        f"/dashboard%2Fshared%2f{token}",
        f"/x/..//dashboard/shared/{token}",
        f"/dashboard/sign-in?next=%2Fdashboard%2Fshared%2F{token}",
        f"/dashboard/sign-in?next=%252Fdashboard%252fshared%252F{token}",
    ]
    for path in (*hidden, "/dashboard/sign-in?last"):
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            connection.request("GET", path, headers={"X-Forwarded-Proto": "https"})
            answer = connection.getresponse()
            answer.read()
    assert "Secure" not in str(answer.getheader("Set-Cookie")), "whatever the client says"
    until = time.monotonic() + 20
    # nginx writes a line after its answer, those of two requests in their order.
    while "/dashboard/sign-in?last" not in (log := (tmp_path / "access.log").read_text()):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert token not in log


@needs_nginx
def test_nginx_carries_long_urls_and_large_bodies(server: RunningServer, port: int) -> None:
    page = f"/dashboard/pages/page?id={quote(LONG)}"
    assert len(page) > 9000
    referer = f"http://127.0.0.1:{port}{page}"
    for before in ("", PREFIX):
        answer = ask(port, "GET", before + page, Referer=referer)
        assert (answer.status, len(answer.headers["Location"]) > 15_000) == (303, True)
        following = ask(port, "GET", answer.headers["Location"], Referer=referer)
        assert following.status == 200
        longest = ask(port, "GET", f"{before}/dashboard/pages?q={quote('析' * 3000)}")
        assert longest.status == 303
    event = {"type": "userinfo", "user_id": "u", "referer": LONG * 2000, "no": "x" * 2**23}
    headers = {"Content-Type": "application/json", **server.headers}
    target = f"{PREFIX}{BASE}/ingest/events"
    largest = json.dumps(event | {"no": ""}).encode()
    largest = largest[:-2] + b"x" * (16 * 2**20 - len(largest)) + largest[-2:]
    for body, status in ((largest, 400), (largest[:-2] + b'x"}', 413)):
        answer = ask(port, "POST", target, body, **headers)
        assert answer.status == status, answer.text
        assert set(json.loads(answer.text)) == {"type", "message"}


@needs_nginx
def test_somebody_uses_pages_below_a_prefix_behind_nginx(
    browser: Browser, server: RunningServer, port: int
) -> None:
    headers = {"Content-Type": "application/json", **server.headers}
    event = json.dumps({"type": "userinfo", "user_id": "u", "referer": LONG}).encode()
    assert ask(port, "POST", f"{PREFIX}{BASE}/ingest/events", event, **headers).status == 200
    url = f"http://localhost:{port}"
    with visiting(browser, url) as page:
        page.goto(f"{url}{PREFIX}/dashboard/pages")
        page.get_by_label("Key with the scope read").fill(server.token)
        page.keyboard.press("Enter")
        page.locator("table.data tbody th a").first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text(LONG)
        expect(page.locator("figure.chart canvas").first).to_be_visible()
        (cookie,) = (each for each in page.context.cookies() if "session" in each["name"])
        assert cookie["path"] == f"{PREFIX}/dashboard"
        with page.expect_download() as download:
            page.locator("a.download").first.click()
        assert download.value.suggested_filename.endswith(".csv")
        page.get_by_role("link", name="日本語").click()
        page.get_by_role("link", name="English").click()
        page.get_by_role("link", name="Links", exact=True).click()
        page.get_by_label("Name").fill("wall")
        page.get_by_role("button", name="Make a link").click()
        link = page.locator(".made code").inner_text()
        assert link.startswith(f"{url}{PREFIX}/dashboard/shared/")
        page.goto(link)
        page.get_by_role("link", name="Pages", exact=True).click()
        expect(page).to_have_url(re.compile(f"{PREFIX}/dashboard/shared/.*/pages"))
        page.goto(f"{url}{PREFIX}/dashboard")
        page.get_by_role("link", name="API documentation").click()
        page.get_by_role("button", name="Authorize").click()
        page.get_by_label("auth-bearer-value").fill(server.token)
        page.get_by_label("Apply credentials").click()
        page.get_by_role("button", name="Close").click()
        operation = page.locator("#operations-userAnalysis-GetUserBehaviorHistories")
        operation.click()
        operation.get_by_role("button", name="Try it out").click()
        operation.get_by_placeholder("user_id").fill("u")
        operation.get_by_role("button", name="Execute").click()
        answer = operation.locator(".live-responses-table .response-col_description pre").first
        expect(answer).to_contain_text(LONG)
        page.goto(f"{url}{PREFIX}/dashboard")
        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_url(re.compile(f"{PREFIX}/dashboard/sign-in"))


def test_the_pages_leave_room_for_what_the_server_takes() -> None:
    def number(language: str, name: str) -> int:
        (found,) = re.findall(rf"(?m)^\s*{name}[= ](?:4 )?(\d+[mk]?)", block(language))
        units = {"k": 2**10, "m": 2**20}
        return int(found.rstrip("mk")) * units.get(found[-1], 1)

    default = Settings()
    for name in ("WatchdogSec", "TimeoutStopSec"):
        assert number("ini", name) > default.drain_seconds
    assert number("nginx", "client_max_body_size") > default.max_body
    assert number("nginx", "large_client_header_buffers") >= default.max_header


def test_systemd_is_told_of_the_start_of_the_loop_and_of_the_end(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        with serving("--database", tmp_path / "a.db", **told) as server:
            states = [manager.recv(100) for _ in range(4)]
            server.process.terminate()
            while states[-1] != b"STOPPING=1":
                states.append(manager.recv(100))
    assert states[:4] == [b"READY=1", *[b"WATCHDOG=1"] * 3]


def test_systemd_is_told_what_it_asks_for_alone() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        address = f"\0saasus-analysis-{os.getpid()}"
        manager.bind(address)
        manager.settimeout(0)
        at = {"NOTIFY_SOCKET": f"@{address[1:]}"}
        unwatched = [
            {},
            {"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"},
            {"WATCHDOG_USEC": "3600000000"},
        ]
        for environment in unwatched:
            assert Supervisor(at | environment).watch() is False
        with pytest.raises(BlockingIOError):
            manager.recv(100)
        watched = Supervisor(at | {"WATCHDOG_USEC": "1", "WATCHDOG_PID": str(os.getpid())})
        time.sleep(0.001)
        watched.watch()
        assert manager.recv(100) == b"WATCHDOG=1"
    for nobody in ("", "/nowhere/notify", at["NOTIFY_SOCKET"], "vsock:2:1234"):
        Supervisor({"NOTIFY_SOCKET": nobody}).tell("READY=1")


IMAGE = (ROOT / "Dockerfile").read_text()


def image_environment(tmp_path: Path, target: str) -> dict[str, str]:
    """Return the settings that the image of a target has, with its database elsewhere."""
    stage = (
        IMAGE[: IMAGE.index(f" AS {target}\n")] + IMAGE.split(f" AS {target}\n")[1].split("FROM")[0]
    )
    return dict(re.findall(r"(ANALYSIS_\w+)=(\S+)", stage)) | {
        "ANALYSIS_DATABASE": str(tmp_path / "a.db")
    }


@pytest.mark.parametrize(("target", "command"), [("service", "serve"), ("double", "double")])
@pytest.mark.parametrize("host", [None, "127.0.0.1"])
def test_the_image_listens_and_is_looked_at_where_it_is_told(
    tmp_path: Path, target: str, command: str, host: str | None
) -> None:
    assert re.search(rf'^FROM \S+ AS {target}\n(?:.*\n)*?CMD \["{command}"\]$', IMAGE, re.M)
    (check,) = re.findall(r"^  CMD (\[.*\])$", IMAGE, re.M)
    _, *words = json.loads(check.replace("saasus_analysis", "app"))
    settings = image_environment(tmp_path, target)
    assert settings["ANALYSIS_HOST"] == "0.0.0.0"
    assert settings["ANALYSIS_PORT"] == "8000"
    settings["ANALYSIS_PORT"] = str(free_port())
    settings["ANALYSIS_HOST"] = host or "0.0.0.0"
    environment = os.environ | settings

    def is_up() -> bool:
        ended = subprocess.run(
            [sys.executable, *words], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )
        assert "Traceback" not in ended.stderr
        return ended.returncode == 0

    assert not is_up()
    with subprocess.Popen(
        [sys.executable, "-m", "app", command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            until = f"{settings['ANALYSIS_HOST']}:{settings['ANALYSIS_PORT']}"
            assert any(until in line for line in process.stdout)
            assert is_up()
        finally:
            process.terminate()


def test_the_parts_of_the_image_are_named_by_their_digest() -> None:
    (base,) = re.findall("^ARG BASE=(.*)$", IMAGE, re.M)
    assert re.fullmatch(r"python:3\.[0-9.]+-slim-\w+@sha256:[0-9a-f]{64}", base)
    assert set(re.findall(r"^FROM (\S+)", IMAGE, re.M)) == {"${BASE}", "base"}


SORT = """
import os
from pathlib import Path
from app.storage.database import Database
database = Database(Path(os.environ["ANALYSIS_DATABASE"]))
with database.reading() as connection:
    connection.execute("pragma cache_size = 100")
    numbers = "with recursive n (i) as (select 0 union all select i + 1 from n where i < 60000)"
    rows = connection.execute(numbers + " select hex(randomblob(200)) as h from n order by h")
    assert len(rows.fetchall()) == 60001
"""
READ_ONLY = "mount --bind . . && mount -o remount,ro,bind / && ! touch /tmp/no 2>/dev/null"


@pytest.mark.skipif(
    subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0,
    reason="this user can NOT mount: read-only file systems are not tried",
)
def test_nothing_but_the_folder_of_the_database_must_be_writable(tmp_path: Path) -> None:
    (tmp_path / "january.ndjson").write_bytes(EVENT)
    (tmp_path / "sort.py").write_text(SORT)
    program = f"PYTHONDONTWRITEBYTECODE=1 {sys.executable}"
    lines = [
        READ_ONLY,
        "cd /",  # where SQLite and Python look for a place for temporary files at last
        f"export PYTHONPATH={ROOT} ANALYSIS_DATABASE={tmp_path}/a.db",
        f"{program} {tmp_path}/sort.py",
        f"{program} -m app import events {tmp_path}/january.ndjson",
        f"{program} -m app backup {tmp_path}/copy.db",
        f"{program} -m app export --output {tmp_path}/all.ndjson",
        f"{program} -m app restore {tmp_path}/copy.db --force",
        f"{program} -m app summaries rebuild",
        f"! {program} -m app backup /tmp/no.db",
        f"! {program} -m app export --output /tmp/no.ndjson",
        f"! {program} -m app import events {tmp_path}/january.ndjson --database /tmp/no.db",
        f"! {program} -m app demo --no-open --port 0",
    ]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-exc", "\n".join(lines)],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "TMPDIR"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 4
    assert "name a file with --database, or set TMPDIR" in errors[-1]
    assert all("/tmp" in error for error in errors)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is NOT here")
def test_the_unit_is_right_and_hardened(tmp_path: Path) -> None:
    unit = tmp_path / "saasus-analysis.service"
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", block("ini")))
    done = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    told = dict(re.findall(r"(?m)^(\w+)=(.*)$", unit.read_text()))
    assert {"LimitNOFILE", "MemoryMax", "WatchdogSec"} <= told.keys()
    assert told["Type"] == "notify"
    assert "AF_UNIX" in told["RestrictAddressFamilies"], "or systemd hears nothing"
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr
