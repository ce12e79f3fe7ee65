"""Our double and its peers as processes, started as their users would.

The peers must be on the PATH: `prism`, `mockoon-cli` and `wiremock` (npm: @stoplight/prism-cli,
@mockoon/cli, wiremock; the last needs `java`), `connexion` and `moto_server` (PyPI:
connexion[flask,uvicorn], and moto[server] in an environment of its own).
"""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app import create_app

from .processes import BASE, ROOT

INSTALLED = Path(sys.executable).with_name("saasus-analysis")
OURS = [str(INSTALLED)] if INSTALLED.exists() else [sys.executable, "-m", "app"]

ACTIVE_USERS = f"{BASE}/active-users"
NUMBER = {
    "type": "daily",
    "date": "2026-05-13",
    "tenant_id": "acme",
    "env_id": 3,
    "active_users": 7,
}

EXAMPLES: dict[str, dict[str, Any]] = {
    "/users/{user_id}/behavior-histories": {
        "histories": [
            {
                "behaved_at": 1767225600,
                "histories": [{"timestamp": 1767225600, "referer": "/example"}],
            }
        ]
    },
    "/active-users": {
        "data": [{"date": "2026-01-01", "tenant_id": "example", "env_id": 1, "active_users": 1}]
    },
    "/metrics/aggregated": {"metrics": [{"date": "2026-01-01", "count": 1}]},
    "/metrics/page-statistics": {
        "start_date": 1767225600,
        "end_date": 1767311999,
        "total_page_views": 1,
        "total_unique_users": 1,
        "page_statistics": [{"page_url": "/example", "total_views": 1, "unique_users": 1}],
    },
    "/userinfo/aggregated": {"metrics": [{"date": "2026-01-01", "details": {"a": 1, "b": 1}}]},
}
"""An example response for each operation that returns content."""

ERRORS = {"400": "invalid_request", "401": "unauthorized", "500": "internal_server_error"}

BARE = f"""\
import sys

from flask import Flask
from waitress import serve

app = Flask(__name__)


@app.route("{ACTIVE_USERS}", methods=["GET", "PUT"])
def active_users():
    return {{"data": []}}


serve(app, host="127.0.0.1", port=int(sys.argv[-1]))
"""


@dataclass(frozen=True)
class Peer:
    """A server to measure: its name, its command without a port, and its requests."""

    name: str
    command: list[str]
    get: str = f"{ACTIVE_USERS}?type=daily&date_from=2026-01-01"
    put: tuple[str, str, dict[str, Any]] = ("PUT", ACTIVE_USERS, NUMBER)


def make_ours(*options: str) -> Peer:
    """Return our double, started with these options."""
    return Peer("ours", [*OURS, "double", *options])


def make_bare(folder: Path) -> Peer:
    """Return the smallest possible server, as a lower bound."""
    script = folder / "bare.py"
    script.write_text(BARE)
    return Peer("Flask and waitress, bare", [sys.executable, str(script)])


def make_moto() -> Peer:
    """Return a double of another API; its requests are cheap ones of that API."""
    _require("moto_server")
    write: tuple[str, str, dict[str, Any]] = ("POST", "/moto-api/seed?a=1", {})
    return Peer("moto's server, its own API", ["moto_server"], "/moto-api/data.json", write)


def make_mocks(folder: Path, *, keys: bool) -> list[Peer]:
    """Return the mocks of the same API, with a description that requires keys or none.

    connexion's mock refuses every key, so its description never requires one.
    """
    described = _describe(folder)
    open_, keyed = folder / "open.json", folder / "keyed.json"
    keyed.write_text(json.dumps(described))
    del described["security"], described["components"]["securitySchemes"]
    open_.write_text(json.dumps(described))
    description = str(keyed if keys else open_)
    stubs = folder / "stubs"
    (stubs / "mappings").mkdir(parents=True, exist_ok=True)
    (stubs / "mappings" / "all.json").write_text(json.dumps({"mappings": list(_stubs(described))}))
    mocks = {
        "Prism": ["prism", "mock", description],
        "Mockoon": ["mockoon-cli", "start", "--disable-log-to-file", "--data", description],
        "WireMock": ["wiremock", "--root-dir", str(stubs)],
        "connexion, mock": ["connexion", "run", str(open_), "--mock", "all"],
    }
    return [Peer(_versioned(name, command[0]), command) for name, command in mocks.items()]


@contextmanager
def started(peer: Peer) -> Iterator[tuple[str, int]]:
    """Run a peer on a free port; yield its URL and process id once it has answered its `GET`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [*peer.command, "--port", str(port)]
    # A separate process group, since some commands start the server as a child process.
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            until = time.monotonic() + 60
            while not _answers(url, peer):
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"{' '.join(command)}: no answer")
                time.sleep(0.002)
            yield url, process.pid
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its group, and wait until all have ended."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            process.poll()
            os.killpg(process.pid, 0)
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)


def _answers(url: str, peer: Peer) -> bool:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request("GET", peer.get, headers={"Authorization": "Bearer t"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _describe(folder: Path) -> dict[str, Any]:
    """Return the description of the official operations, with an example for every response."""
    app = create_app(database=folder / "described.db", auth=False)
    with closing(app.extensions["database"]):
        described: dict[str, Any] = app.test_client().get("/openapi.json").get_json()
    described["servers"] = [{"url": "/"}]
    paths = {path: item for path, item in described["paths"].items() if "/ingest/" not in path}
    described["paths"] = {f"{BASE}{path}": item for path, item in paths.items()}
    for path, item in paths.items():
        for operation in (item[method] for method in ("get", "put") if method in item):
            for status, answer in operation["responses"].items():
                example = {"type": ERRORS.get(status, "error"), "message": "an example"}
                if "content" in answer:
                    answer["content"]["application/json"]["example"] = (
                        EXAMPLES[path] if status == "200" else example
                    )
    return described


def _stubs(described: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a stub of WireMock for each operation, with its response to a valid request."""
    for path, item in described["paths"].items():
        for method in {"get", "put"} & item.keys():
            responses = item[method]["responses"]
            status = "200" if "200" in responses else "500"
            response: dict[str, Any] = {"status": int(status)}
            if "content" in responses[status]:
                response["headers"] = {"Content-Type": "application/json"}
                response["jsonBody"] = responses[status]["content"]["application/json"]["example"]
            pattern = re.sub(r"{\w+}", "[^/]+", path)
            request = {"method": method.upper(), "urlPathPattern": pattern}
            yield {"request": request, "response": response}


def _versioned(name: str, command: str) -> str:
    """Return the name of a peer with its version."""
    _require(command)
    told = subprocess.run([command, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"\d+\.\d+\.\d+", told)
    return f"{name} {found[0]}" if found else name


def _require(command: str) -> None:
    if shutil.which(command) is None:
        raise SystemExit(f"{command} is missing: see the first lines of bench/doubles.py")
