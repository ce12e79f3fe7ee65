import gzip
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ..conftest import ROOT, run
from ..support.command_tree import FILES
from ..support.commands import run_here


@pytest.fixture(scope="session")
def _filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    for name, content in FILES.items():
        (folder / name).write_text(content)
    (folder / "events.ndjson.gz").write_bytes(gzip.compress(FILES["january.ndjson"].encode()))
    at = ("--database", folder / "analysis.db")
    for words in (
        ("import", "events", folder / "january.ndjson"),
        ("keys", "create", "web"),
        ("keys", "create", "old", "--scope", "ingest"),
        ("links", "create", "wall"),
        ("import", "events", folder / "u-1.json"),
        ("backup", folder / "analysis-backup.db"),
        ("export", "--output", folder / "everything.ndjson"),
    ):
        assert run(*words, *at).returncode == 0
    command = folder / "saasus-analysis"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m app "$@"\n')
    command.chmod(0o755)
    return folder


@pytest.fixture
def folder(_filled: Path, tmp_path: Path) -> Path:
    """A folder with a database of its own, the files that examples name, and the command."""
    return Path(shutil.copytree(_filled, tmp_path / "folder"))


def shell(line: str, folder: Path, **environment: str) -> Any:
    """Return the arguments of `subprocess` for a line of a shell in a folder with the command."""
    return {
        "args": ["bash", "-o", "pipefail", "-c", line],
        "cwd": folder,
        "env": os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"} | environment,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }


def called(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in this process, without a shell."""
    _, *words = shlex.split(line)
    return run_here(*words, folder=folder, environment=os.environ | environment)


def done(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell to its end."""
    return subprocess.run(**shell(line, folder, **environment), timeout=60)


@contextmanager
def running(line: str, folder: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a line of a shell that is one command; kill it at the end."""
    with subprocess.Popen(**shell(line, folder, **environment), stdin=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()
