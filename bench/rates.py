"""Requests a second for active users, compared with FastAPI and with mocks of our description.

Needs `wrk` on the PATH, and for one of the mocks `prism` (npm: @stoplight/prism-cli).
"""

import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from app import create_app

from .data import opened
from .measuring import write
from .processes import BASE, Client, running

CONNECTIONS, SECONDS, REPETITIONS = 16, 4, 5
QUERY = "/active-users?type=daily&date_from=2026-05-13&tenant_id=acme"
PUT = Path(__file__).with_name("put.lua")
PYTHON = Path(sys.executable)


@dataclass(frozen=True)
class Peer:
    """A server to measure: its name, command, settings and base path."""

    name: str
    command: list[str]
    environment: dict[str, str]
    base: str = BASE
    stores: bool = True


def run() -> None:
    """Measure `GET` and `PUT /active-users` with 16 connections."""
    rates: dict[tuple[str, str], list[float]] = {}
    with TemporaryDirectory() as folder, ExitStack() as stack:
        peers = dict(_started(stack, Path(folder)))
        for url, peer in peers.items():
            if peer.stores:
                fill(url)
        for repetition in range(REPETITIONS + 1):
            for url, peer in peers.items():
                for method in ("GET", "PUT") if peer.stores else ("GET",):
                    measured = wrk(url + peer.base, method)
                    if repetition:
                        rates.setdefault((peer.name, method), []).append(measured)
    medians = {key: statistics.median(taken) for key, taken in rates.items()}
    rows = []
    for peer in peers.values():
        row: list[object] = [peer.name]
        for method in ("GET", "PUT"):
            rate = medians.get((peer.name, method))
            beside = f" ({rate / medians[FASTAPI, method]:.2f})" if rate else ""
            row.append(f"{rate:,.0f}/s{beside}" if rate else "")
        rows.append(row)
    write(
        "rates",
        "Requests a second",
        f"""
`wrk` with {CONNECTIONS} connections for {SECONDS} seconds at a time on the same machine requests a
week of active users of one tenant, and sets one value. Each server is one process. Servers that
store data use the same schema with `synchronous=full`; they need no keys and write an access log.
Ours has its 8 threads on waitress, and one on granian (`--blocking-threads 1`). FastAPI's functions
are `def`, in the threads of its pool. The mocks generate responses from the server's own
description. In parentheses: the ratio to FastAPI.
""",
        ["server", "`GET /active-users`", "`PUT /active-users`"],
        rows,
        ["flask", "flask-smorest", "waitress", "granian", "fastapi", "uvicorn", "connexion"],
    )


FASTAPI = "FastAPI, Pydantic, uvicorn"


def _started(stack: ExitStack, folder: Path) -> Iterator[tuple[str, Peer]]:
    description = folder / "openapi.json"
    with closing(opened(folder / "peer.db")):
        app = create_app(database=folder / "described.db", auth=False)
        described = app.test_client().get("/openapi.json").get_json()
        app.extensions["database"].close()
    described.pop("security")
    description.write_text(json.dumps(described))
    for make in (_waitress, _granian, _fastapi, _connexion, _prism):
        port = free_port()
        peer = make(folder, description, str(port))
        if shutil.which(peer.command[0]) is None:
            raise SystemExit(f"{peer.command[0]} is missing: see the first lines of bench/rates.py")
        yield stack.enter_context(running(peer.command, port, peer.environment)), peer


def _waitress(folder: Path, _: Path, port: str) -> Peer:
    command = [str(PYTHON), "-m", "app", "serve", "--no-auth", "--port", port]
    return Peer("ours, waitress", command, {"ANALYSIS_DATABASE": str(folder / "waitress.db")})


def _granian(folder: Path, _: Path, port: str) -> Peer:
    command = [str(PYTHON.with_name("granian")), "--interface", "wsgi", "--port", port]
    command += ["--blocking-threads", "1", "--access-log", "wsgi:app"]
    environment = {"ANALYSIS_DATABASE": str(folder / "granian.db"), "ANALYSIS_AUTH": "off"}
    return Peer("ours, granian", command, environment)


def _fastapi(folder: Path, _: Path, port: str) -> Peer:
    command = [str(PYTHON.with_name("uvicorn")), "--port", port, "bench.peer:app"]
    return Peer(FASTAPI, command, {"PEER_DATABASE": str(folder / "peer.db")})


def _connexion(_: Path, description: Path, port: str) -> Peer:
    command = [str(PYTHON.with_name("connexion")), "run", str(description)]
    command += ["--mock", "all", "--port", port]
    return Peer("connexion, mock", command, {}, stores=False)


def _prism(_: Path, description: Path, port: str) -> Peer:
    command = ["prism", "mock", str(description), "--port", port]
    return Peer("Prism, mock", command, {}, base="", stores=False)


def fill(url: str) -> None:
    """Set the numbers of active users that `wrk` requests."""
    with Client(url) as client:
        for day in range(13, 20):
            for env_id in (1, 2, 3):
                body = {"type": "daily", "date": f"2026-05-{day}", "tenant_id": "acme"} | {
                    "env_id": env_id,
                    "active_users": day * env_id,
                }
                path = f"{BASE}/active-users"
                client.send("PUT", path, json.dumps(body).encode(), "application/json")


def wrk(url: str, method: str, connections: int = CONNECTIONS, duration: int = SECONDS) -> float:
    """Return how many requests a second a server answers, after `fill` has set its data."""
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{duration}s", "--timeout", "30s"]
    command += [url + QUERY] if method == "GET" else ["-s", str(PUT), f"{url}/active-users"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in told or (rate := re.search(r"Requests/sec:\s+([0-9.]+)", told)) is None:
        raise SystemExit(f"{' '.join(command)}:\n{told}")
    return float(rate[1])


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
