"""The -wal stays small, whoever reads meanwhile, and is told of."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app import create_app
from app.config import load_settings
from app.maintenance import wal_thread
from app.maintenance.doctor import OK, WARNING, examine
from app.maintenance.wal_thread import emptying_wal
from app.storage import database as database_module
from app.storage.database import Database

from ..conftest import ROOT, SetClock

LIMIT = 1_000_000
ADD = "insert into tenant (name) values (?)"


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(database_module, "WAL_LIMIT", LIMIT)
    monkeypatch.setattr(wal_thread, "WAL_LIMIT", LIMIT)
    path = tmp_path / "a.db"
    with closing(Database(path, clock=SetClock(), synchronous="off")) as opened:
        yield opened


def write(database: Database, times: int) -> int:
    """Write, and return the largest size of the -wal."""
    largest = 0
    for _ in range(times):
        with database.writing() as connection:
            connection.executemany(ADD, [(os.urandom(64).hex(),) for _ in range(100)])
        largest = max(largest, database.wal_bytes())
    return largest


@pytest.mark.slow
def test_an_export_that_nobody_reads_does_not_hold_it(database: Database) -> None:
    with database.writing() as connection:
        connection.execute("insert into page (url) values ('/')")
        connection.execute("insert into user (name) values ('ann')")
        connection.execute("insert into referer (url, page_id) values ('/', 1)")
        connection.executemany(
            "insert into behavior values (0, 1, 5, ?, 1)", [(n,) for n in range(20_000)]
        )
    database.empty_wal()
    command = [sys.executable, "-m", "app", "export", "--database", str(database.path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it has begun, and the pipe is full soon
        assert write(database, 100) < 5 * LIMIT
        assert process.poll() is None
        rest = process.stdout.read().decode().splitlines()
    assert process.wait() == 0
    assert len(rest) == 20_000  # and no tenant that was written meanwhile


@pytest.mark.slow
def test_readers_without_pause_do_not_hold_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "WAL_PAUSE", 0)
    over = threading.Event()

    def read(after: threading.Event, before: threading.Event) -> None:
        """Begin to read before the other one ends."""
        while not over.is_set():
            with database.reading() as connection:
                connection.execute("select count(*) from tenant").fetchone()
                before.set()
                after.wait(0.01)
                after.clear()

    turns = [threading.Event(), threading.Event()]
    threads = [threading.Thread(target=read, args=pair) for pair in (turns, turns[::-1])]
    for thread in threads:
        thread.start()
    try:
        assert write(database, 200) < 5 * LIMIT
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.slow
def test_it_is_emptied_when_a_reader_has_gone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "WAL_PATIENCE", 0)
    monkeypatch.setattr(wal_thread, "LOOK_SECONDS", 0.01)
    with emptying_wal(database):
        with database.reading() as connection:
            connection.execute("select count(*) from tenant").fetchone()
            assert write(database, 100) > LIMIT
        wait_for(lambda: not database.wal_bytes())
        monkeypatch.setattr(wal_thread, "IDLE_SECONDS", 0)
        write(database, 1)
        wait_for(lambda: not database.wal_bytes())


def wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.mark.slow
def test_doctor_and_metrics_tell_of_a_reader_that_holds_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> tuple[str, str, bool]:
        settings = replace(load_settings({}, {}), database=database.path)
        (finding,) = (each for each in examine(settings) if each.subject == "wal")
        app = create_app(database=database.path, auth=False)
        with closing(app.extensions["database"]):
            text = app.test_client().get("/metrics").text
        values = {
            sample.name: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        assert values["saasus_analysis_wal_bytes"] == database.wal_bytes()
        return finding.state, finding.message, values["saasus_analysis_wal_held_seconds"] >= 60

    write(database, 3)
    database.empty_wal()
    state, message, held = told()
    assert (state, held) == (OK, False)
    with ExitStack() as stack:
        connection = stack.enter_context(database.reading())
        connection.execute("select count(*) from tenant").fetchone()
        write(database, 3)
        database.wal_held()
        an_hour_ago = time.time() - 3600
        os.utime(database.path, (an_hour_ago, an_hour_ago))
        state, message, held = told()
        assert (state, held) == (WARNING, True)
        assert message.endswith("a reader has kept it from being emptied for 3600 s")
    state, message, held = told()
    assert (state, held) == (OK, False)
