"""What `/readyz` finds, how often it looks, and that it does not wait for others."""

import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.operations import readiness
from app.storage.database import Database

from ..storage.test_database import locked_by_another_process
from ..storage.test_faults import fill, leave_room_in_the_wal, small_disk

__all__ = ["small_disk"]


def ready(client: FlaskClient) -> tuple[int, str]:
    answer = client.get("/readyz")
    assert answer.json is not None
    assert answer.headers.get("Retry-After") == (None if answer.status_code == 200 else "1")
    return answer.status_code, answer.json.get("message", "")


@contextmanager
def full_disk(database: Database) -> Iterator[None]:
    with fill(database.path.parent):
        yield


@contextmanager
def small_files(database: Database) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(file.stat().st_size for file in database.path.parent.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 8192, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def few_pages(database: Database) -> Iterator[None]:
    with database.writing() as connection:
        (count,) = connection.execute("pragma page_count").fetchone()
    set_most = "pragma max_page_count = {}"
    database._writer.execute(set_most.format(count + 2))
    yield
    database._writer.execute(set_most.format(2**30))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (full_disk, "the disk that holds the database is full"),
        (small_files, "the disk that holds the database reports an error"),
        (few_pages, "the disk that holds the database is full"),
    ],
)
def test_it_is_a_503_where_an_ordinary_write_has_no_room_and_a_small_one_has(
    small_disk: Path, fault: Callable[[Database], AbstractContextManager[None]], message: str
) -> None:
    app = create_app(database=small_disk / "a.db")
    with closing(app.extensions["database"]) as database:
        leave_room_in_the_wal(database)
        assert ready(app.test_client()) == (200, "")
        with fault(database):
            with database.writing() as connection:
                connection.execute("insert into tenant (name) values ('small')")
            app.extensions["readiness"] = readiness.Readiness()
            assert ready(app.test_client()) == (503, f"{message}; nothing was stored")
        app.extensions["readiness"] = readiness.Readiness()
        assert ready(app.test_client()) == (200, "")


@pytest.mark.slow
def test_many_who_ask_let_it_look_once_a_second(app: Flask, database: Database) -> None:
    enough = Event()
    tries: list[float] = []
    database.on_write_wait = tries.append

    def ask(_: int) -> set[tuple[int, str]]:
        client, told = app.test_client(), set()
        while not enough.is_set():
            told.add(ready(client))
        return told

    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(ask, range(8))
        while len(tries) < 3:
            pass
        enough.set()
        assert set().union(*answers) == {(200, "")}
    # The third began two seconds after the first, in which thousands asked.
    assert len(tries) <= 4


@pytest.mark.slow
@pytest.mark.parametrize("busy_first", [False, True])
def test_it_does_not_wait_for_a_write_that_takes_long(
    app: Flask, database: Database, busy_first: bool
) -> None:
    client = app.test_client()
    if not busy_first:
        assert ready(client) == (200, "")
        app.extensions["readiness"]._ended -= 1
    held, over = Event(), Event()

    def hold() -> None:
        with database.writing():
            held.set()
            over.wait()

    thread = Thread(target=hold)
    thread.start()
    held.wait()
    began = time.monotonic()
    told, waited = ready(client), time.monotonic() - began
    over.set()
    thread.join()
    assert told == (503, "the database is busy with other writes; nothing was stored")
    assert 0.8 < waited < 2.5
    with locked_by_another_process(database.path):
        app.extensions["readiness"]._ended -= 1
        began = time.monotonic()
        told = ready(client)
        assert 0.8 < time.monotonic() - began < 2.5
        assert ready(client) == told, "also a refusal holds for a second"
    assert ready(client) == told
    app.extensions["readiness"]._ended -= 1
    assert ready(client) == (200, "")
    assert told == (503, "the database is busy with another process; nothing was stored")


def test_it_does_not_wait_for_a_try_that_hangs(app: Flask) -> None:
    found = app.extensions["readiness"]
    assert ready(app.test_client()) == (200, "")
    with found._trying:  # as if the disk did not answer any more
        found._ended -= 1
        assert ready(app.test_client()) == (200, "")
        found._began = found._ended + 1
        assert ready(app.test_client()) == (200, "")
        found._ended -= 10
        found._began -= 10
        assert ready(app.test_client()) == (503, readiness.NO_ANSWER)
