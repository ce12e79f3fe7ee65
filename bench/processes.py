"""Servers in separate processes, on loopback."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

ROOT = Path(__file__).parent.parent
BASE = "/v1/analysis"


class Client:
    """One open connection to a server."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=600)

    def send(
        self, method: str, path: str, body: bytes | None = None, content_type: str = ""
    ) -> bytes:
        """Return the body of a response; stop if its status is not 200."""
        headers = {"Content-Type": content_type} if body is not None else {}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        told = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{method} {path}: {answer.status} {told!r:.500}")
        return told

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


@contextmanager
def serving(database: Path) -> Iterator[tuple[str, int]]:
    """Run `serve` on a free port as a user would, without keys; yield its URL and process id."""
    command = [sys.executable, "-m", "app", "serve", "--port", "0", "--no-auth"]
    command += ["--database", str(database)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("Listening"):
                    yield line.split()[2], process.pid
                    break
        finally:
            process.terminate()


@contextmanager
def running(command: list[str], port: int, environment: Mapping[str, str]) -> Iterator[str]:
    """Run a server that listens on a port; yield its URL once it answers."""
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            until = time.monotonic() + 60
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"{command[0]} does not answer on port {port}")
                time.sleep(0.05)
            yield url
        finally:
            process.terminate()


def memory(process_id: int, which: str) -> int:
    """Return the memory of a process in bytes: `VmRSS` is current, `VmHWM` the peak (Linux)."""
    status = Path(f"/proc/{process_id}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(f"{which}:"))
    return int(line.split()[1]) * 1024


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except OSError:
        return False
    finally:
        connection.close()
    return True
