"""The parts that tests are made of: an application on a real SQLite file, and a real server."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.auth import keys
from app.config import PREFIX
from app.days import Clock
from app.storage.database import Database

from .support import examples  # noqa: F401 (loads the profile of property tests)
from .support.commands import run_here

pytest_plugins = ["app.pytest_plugin", "pytester", "tests.support.browser"]

ROOT = Path(__file__).parent.parent
NOW = 1_779_157_378  # 2026-05-19T02:22:58Z


IN_MEMORY = Path("/dev/shm")
ROOM = 4 * 2**30
"""Bytes that must be free in memory, so that tests keep their files there."""


def pytest_configure() -> None:
    """Keep the files of tests in memory where there is room: a disk is slow to confirm writes."""
    is_free = "TMPDIR" not in os.environ and os.access(IN_MEMORY, os.W_OK)
    if is_free and shutil.disk_usage(IN_MEMORY).free >= ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = str(IN_MEMORY)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return a worker for each processor, and as many more for slow tests, most of which wait."""
    return len(os.sched_getaffinity(0)) * (1 if config.option.markexpr == "not slow" else 2)


SLOW = {"axe", "blank", "browser", "consumer", "saas", "server", "wheel"}
"""Fixtures that start a process or a browser, or build a wheel."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and SLOW & set(item.fixturenames):
            item.add_marker("slow")


class SetClock(Clock):
    """A clock that stands where a test sets it."""

    def __init__(self, timestamp: int = NOW) -> None:
        self.timestamp = timestamp

    def now(self) -> int:
        return self.timestamp


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith((PREFIX, "SAASUS_")):
            monkeypatch.delenv(name)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def settings() -> dict[str, Any]:
    """Settings of `app`; a test module or class may override this fixture."""
    return {}


@pytest.fixture
def app(tmp_path: Path, clock: SetClock, settings: dict[str, Any]) -> Iterator[Flask]:
    made = create_app({"database": tmp_path / "analysis.db"} | settings, clock=clock)
    yield made
    made.extensions["database"].close()


@pytest.fixture
def database(app: Flask) -> Database:
    opened: Database = app.extensions["database"]
    return opened


@pytest.fixture
def client(app: Flask, database: Database) -> FlaskClient:
    """A client whose key has every scope."""
    token = keys.create_bearer_key(database, name="test", scopes=keys.SCOPES)
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client


@dataclass
class RunningServer:
    """A `serve` process: its URL, its first key, and the process."""

    url: str
    token: str
    process: subprocess.Popen[str]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def run(
    *arguments: str | Path, input: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command `saasus-analysis` to its end, in this process."""
    return run_here(*arguments, folder=ROOT, given=input, environment=env)


def run_process(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command `saasus-analysis` to its end in a process of its own.

    For what cannot be seen in one process: locks between two, limits and signals.
    """
    command = [sys.executable, "-m", "app", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, **options)


@contextmanager
def serving(
    *arguments: str | Path, stderr: Any = subprocess.DEVNULL, **environment: str
) -> Iterator[RunningServer]:
    """Run `serve` of this checkout on a free port, and end it afterwards."""
    command = [sys.executable, "-m", "app", "serve", "--port", "0", *map(str, arguments)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            token = ""
            for line in process.stdout:
                words = line.split()
                if line.startswith("Key made"):
                    token = words[-1]
                elif line.startswith("Listening"):
                    yield RunningServer(words[2], token, process)
                    break
            else:
                pytest.fail("serve ended before it listened")
        finally:
            process.terminate()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with serving("--database", tmp_path / "served.db") as running:
        yield running
