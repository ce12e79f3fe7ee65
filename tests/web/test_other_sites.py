"""What pages of other sites can do, in a real browser, to a server that asks no key."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from ..conftest import ROOT
from ..support.browser import CHROMIUM, require

pytestmark = pytest.mark.slow

BASE = "/v1/analysis"
QUESTION = f"{BASE}/active-users?type=daily&date_from=2026-01-01"
EVENT = json.dumps({"type": "create_tenant", "tenant_id": "evil"})

ATTACKS = """
async ([target, prefix, read, write, event]) => {
  const body = document.body
  let count = 0
  const at = (path) => target + (prefix && prefix + ++count) + path
  const told = (tag, property, url, more = {}) => new Promise((done) => {
    const element = Object.assign(document.createElement(tag), more, {[property]: url})
    element.onload = element.onerror = element.onloadedmetadata = done
    setTimeout(done, 250)
    body.append(element)
  })
  const form = (method, url, enctype) => new Promise((done) => {
    const name = `frame${++count}`
    const frame = Object.assign(document.createElement("iframe"), {name, onload: done})
    const sent = Object.assign(document.createElement("form"), {method, action: url, enctype})
    sent.append(Object.assign(document.createElement("input"), {name: event, value: ""}))
    sent.target = name
    body.append(frame, sent)
    sent.submit()
  })
  const sandboxed = (script) => new Promise((done) => {
    addEventListener("message", done, {once: true})
    const frame = document.createElement("iframe")
    frame.sandbox = "allow-scripts"
    const then = '.catch(() => 0).then(() => parent.postMessage(1, "*"))'
    frame.srcdoc = `<script>${script}${then}</script>`
    body.append(frame)
  })
  const statuses = []
  const get = async (url, options) => {
    try {
      const answer = await fetch(url, options)
      statuses.push(answer.status)  // 0 where this page may not know it
    } catch { statuses.push("none") }
  }
  const text = {"Content-Type": "text/plain"}
  const no_cors = {mode: "no-cors"}
  for (const path of read) {
    await Promise.all([
      get(at(path)),
      get(at(path), no_cors),
      get(at(path), {...no_cors, method: "HEAD"}),
      get(at(path), {headers: {Authorization: "Bearer x"}}),
      told("img", "src", at(path)),
      told("script", "src", at(path)),
      told("link", "href", at(path), {rel: "stylesheet"}),
      told("link", "href", at(path), {rel: "prefetch"}),
      told("iframe", "src", at(path)),
      told("object", "data", at(path)),
      told("embed", "src", at(path)),
      told("video", "src", at(path), {preload: "auto"}),
      form("get", at(path)),
    ])
    const source = new EventSource(at(path))
    await new Promise((done) => { source.onerror = source.onopen = done })
    source.close()
    await sandboxed(`fetch("${at(path)}", {mode: "no-cors"})`)
  }
  for (const [method, path] of write) {
    await get(target + path, {method, body: method == "DELETE" ? undefined : event})
    if (method != "POST") continue
    await get(target + path, {...no_cors, method})
    await get(target + path, {...no_cors, method, body: event, headers: text})
    await get(target + path, {method, body: event, headers: {"Content-Type": "application/json"}})
    navigator.sendBeacon(target + path, event)
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
      await form("post", target + path, type)
    await sandboxed(`fetch("${target + path}", {method: "POST", mode: "no-cors", body: "[]"})`)
  }
  return statuses
}
"""
"""What a page of another site tries; returns the statuses that it gets to know."""

READ = {
    "demo": ["/dashboard/users", "/metrics", QUESTION, "/docs/"],
    "double": [QUESTION, "/__double/state", "/nothing"],
}
WRITE = {
    "demo": [
        ("POST", f"{BASE}/ingest/events"),
        ("POST", "/dashboard/links"),
        ("PUT", f"{BASE}/active-users"),
    ],
    "double": [
        ("POST", f"{BASE}/ingest/events"),
        ("POST", "/__double/reset"),
        ("POST", "/__double/snapshots/evil"),
        ("PUT", "/__double/state"),
        ("DELETE", "/__double/namespaces/default"),
    ],
}


@dataclass
class Target:
    """A server without keys, with what it wrote into its log."""

    kind: str
    port: int
    log: Path

    def answered(self, since: int) -> list[tuple[str, str, int]]:
        """Return method, target and status of the requests that came behind a part of the log."""
        lines = self.log.read_text()[since:].splitlines()
        found = [re.search(r" ([A-Z]+) (/\S*) (\d{3}) [\d.]+ms ", line) for line in lines]
        return [(one[1], one[2], int(one[3])) for one in found if one]

    def get(self, path: str) -> Any:
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return answer.read().decode()

    def state(self) -> Any:
        """Return what a page of another site could change."""
        if self.kind == "double":
            parts = ("state", "namespaces", "requests/count")
            return [self.get(f"/__double/{part}") for part in parts]
        days = "start_date=2020-01-01&end_date=2099-12-31"
        created = self.get(f"{BASE}/metrics/aggregated?metrics_type=create_tenant&{days}")
        return [created, self.get(QUESTION), self.get("/dashboard/links").count("<tr")]


@contextmanager
def keyless(folder: Path, kind: str, *arguments: str) -> Iterator[Target]:
    """Run `demo` or `double`, and end it afterwards."""
    options = {
        "demo": ["--events", "20", "--no-open", "--json", "--port", "0"],
        "double": ["--verbose"],
    }
    log = folder / f"{kind}.log"
    with (
        log.open("w") as stream,
        subprocess.Popen(
            [sys.executable, "-m", "app", kind, *options[kind], *arguments],
            cwd=ROOT,
            env=os.environ,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            yield Target(kind, urlsplit(ready["url"]).port or 0, log)
        finally:
            process.terminate()


class Blank(BaseHTTPRequestHandler):
    """A page of another site, with a link to whatever its query names."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        link = urlsplit(self.path).query
        self.wfile.write(f'<link rel="icon" href="data:,"><a href="{link}">go</a>'.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    """The port of another site on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Blank) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory, site: int) -> Iterator[dict[str, Target]]:
    folder = tmp_path_factory.mktemp("keyless")
    named = ("--cors-origin", f"http://localhost:{site}", "--cors-origin", "https://x.example")
    with keyless(folder, "demo") as demo, keyless(folder, "double", *named) as double:
        yield {"demo": demo, "double": double}


@pytest.fixture(scope="module")
def rebound() -> Iterator[Browser]:
    """A browser to which the names of two other sites lead to this machine."""
    require(CHROMIUM, "chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-background-networking",
                "--host-resolver-rules=MAP evil.example 127.0.0.1",
                # It asks before pages reach this machine; other browsers do not.
                "--disable-features=LocalNetworkAccessChecks",
            ],
        )
        yield launched
        launched.close()


@pytest.fixture
def page(rebound: Browser) -> Iterator[Page]:
    context = rebound.new_context()
    yield context.new_page()
    context.close()


def attack(page: Page, target: Target, url: str) -> tuple[set[Any], list[tuple[str, str, int]]]:
    """Let the page that is open try everything.

    Return the statuses that it gets to know, and the requests that came, with their true ones.
    """
    before, since = target.state(), len(target.log.read_text())
    prefix = "/ns/evil" if target.kind == "double" else ""
    told = page.evaluate(ATTACKS, [url, prefix, READ[target.kind], WRITE[target.kind], EVENT])
    page.wait_for_timeout(200)  # for the beacons
    answered = target.answered(since)
    if "COUNT" in os.environ:
        from collections import Counter

        print(
            "FIG",
            target.kind,
            url,
            page.url,
            len(answered),
            Counter(s for m, _, s in answered if m != "OPTIONS"),
            "preflights",
            sum(m == "OPTIONS" for m, _, _ in answered),
            "changed",
            target.state() != before,
        )
    assert target.state() == before
    return set(told), answered


@pytest.mark.parametrize(
    ("kind", "host"),
    [("demo", "evil.example"), ("double", "evil.example"), ("double", "127.0.0.1")],
)
def test_a_page_of_another_origin_gets_and_changes_nothing(
    page: Page, targets: dict[str, Target], site: int, kind: str, host: str
) -> None:
    target = targets[kind]
    page.goto(f"http://{host}:{site}/")
    known, answered = attack(page, target, f"http://127.0.0.1:{target.port}")
    assert known <= {0, "none"}
    assert len(answered) > 50
    # Whether an origin may send a request is asked before, and answered to all alike.
    assert {status for method, _, status in answered if method != "OPTIONS"} == {403}


def test_a_page_whose_name_was_made_to_lead_here_gets_and_changes_nothing(
    page: Page, targets: dict[str, Target]
) -> None:
    target = targets["demo"]
    origin = f"http://evil.example:{target.port}"
    # As it was before the name led here.
    page.route(f"{origin}/start", lambda route: route.fulfill(content_type="text/html", body="<p>"))
    page.goto(f"{origin}/start")
    known, answered = attack(page, target, origin)
    assert known == {403}
    assert len(answered) > 50
    assert {status for *_, status in answered} == {403}


def test_a_page_of_a_named_origin_uses_all_of_a_double(
    page: Page, targets: dict[str, Target], site: int
) -> None:
    target = targets["double"]
    page.goto(f"http://localhost:{site}/")
    calls = [
        ("PUT", "/__double/state", {}),
        ("PUT", "/__double/clock", {"mode": "frozen", "at": 1779157378}),
        ("POST", f"{BASE}/ingest/events", json.loads(EVENT)),
        ("GET", QUESTION, None),
        ("POST", "/__double/snapshots/one", None),
        ("POST", "/__double/snapshots/one/restore", None),
        ("DELETE", "/__double/snapshots/one", None),
        ("POST", "/__double/verify", {"operation": "IngestEvents", "times": 1}),
        ("GET", "/__double/requests", None),
        ("DELETE", "/__double/requests", None),
        ("POST", "/__double/reset", None),
        ("DELETE", "/__double/namespaces/mine", None),
    ]
    told = page.evaluate(
        """async ([target, calls]) => {
          const told = []
          for (const [method, path, body] of calls) {
            const headers = {Authorization: "Bearer x", "X-Double-Namespace": "mine"}
            headers["X-Saasus-Trace-Id"] = "mine"
            if (body) headers["Content-Type"] = "application/json"
            const options = {method, headers, body: body && JSON.stringify(body)}
            const answer = await fetch(target + path, options)
            told.push([answer.status, answer.headers.get("X-Saasus-Trace-Id"), await answer.text()])
          }
          return told
        }""",
        [f"http://127.0.0.1:{target.port}", calls],
    )
    assert [one[:2] for one in told] == [[200, "mine"]] * len(calls)
    # What the browser asks before is no request of the page.
    asked = [entry["operation"] for entry in json.loads(told[8][2])["requests"]]
    assert asked == ["IngestEvents", "GetActiveUsers"]


def test_a_link_of_another_site_leads_to_the_dashboard_and_not_to_a_double(
    page: Page, targets: dict[str, Target], site: int
) -> None:
    host = "evil.example"
    faults: list[str] = []
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    page.goto(f"http://{host}:{site}/?http://127.0.0.1:{targets['demo'].port}/dashboard")
    with page.expect_navigation(url="**/dashboard"):
        page.click("a")
    page.wait_for_load_state("networkidle")
    assert page.locator("h1").inner_text() == "Overview"
    assert faults == []

    page.goto(f"http://{host}:{site}/?http://127.0.0.1:{targets['double'].port}/ns/evil/x")
    with page.expect_navigation(url="**/ns/evil/x"):
        page.click("a")
    assert "--cors-origin" in page.inner_text("body")
    assert json.loads(targets["double"].get("/__double/namespaces"))["namespaces"] == ["default"]


def test_pages_of_a_demo_itself_work(page: Page, targets: dict[str, Target]) -> None:
    origin = f"http://a.localhost:{targets['demo'].port}"
    page.goto(f"{origin}/dashboard/links")
    page.fill("#name", "board")
    page.locator("form.stack button").click()
    page.wait_for_load_state()
    assert "/dashboard/shared/" in page.content()
    page.goto(f"{origin}/docs/")
    body = {"type": "daily", "date": "2026-05-19", "tenant_id": "t", "env_id": 3}
    status = page.evaluate(
        """async ([path, body]) => {
          const headers = {"Content-Type": "application/json"}
          const options = {method: "PUT", headers, body: JSON.stringify(body)}
          return (await fetch(path, options)).status
        }""",
        [f"{BASE}/active-users", body | {"active_users": 1}],
    )
    assert status == 200
