"""Writes that are committed together: each is whole or not there, and is answered when it is."""

import json
import socket
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from threading import Event, Thread, get_ident
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.config import load_settings
from app.errors import ServiceUnavailable
from app.server import Server, listen
from app.storage.database import Database

from .test_database import ADD, add, count

FEED = "/v1/analysis/active-users"
FAILED = "the database failed to store"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(tmp_path / "a.db")) as opened:
        yield opened


def in_thread(act: Callable[[], None]) -> Thread:
    thread = Thread(target=act)
    thread.start()
    return thread


def test_writes_are_seen_by_their_thread_at_once_and_by_others_at_the_end(
    database: Database,
) -> None:
    seen = []
    with database.group_commit():
        for number in range(1, 4):
            add(database, f"tenant-{number}")
            other = in_thread(lambda: seen.append(count(database)))
            other.join(20)
            assert count(database) == number
    assert (seen, count(database)) == ([0, 0, 0], 3)


def test_a_write_that_fails_undoes_nothing_of_others(database: Database) -> None:
    with database.group_commit():
        add(database, "before")
        with pytest.raises(ZeroDivisionError), database.writing() as connection:
            connection.execute(ADD, ("undone",))
            raise ZeroDivisionError
        with pytest.raises(sqlite3.IntegrityError):
            add(database, "before")
        add(database, "after")
    with database.reading() as connection:
        assert connection.execute("select name from tenant").fetchall() == [("before",), ("after",)]


def test_other_threads_write_before_or_after_all_of_it(database: Database) -> None:
    with database.group_commit():
        add(database, "one")
        other = in_thread(lambda: add(database, "other"))
        add(database, "two")
        other.join(0.1)
        assert other.is_alive()
    other.join(20)
    with database.reading() as connection:
        names = connection.execute("select name from tenant order by id").fetchall()
    assert names == [("one",), ("two",), ("other",)]


def test_an_erasure_commits_what_was_written_before_it(database: Database) -> None:
    with database.group_commit():
        add(database, "one")
        with database.erasing() as connection:
            assert connection.execute("delete from tenant").rowcount == 1
        add(database, "two")
        with pytest.raises(ZeroDivisionError), database.erasing():
            raise ZeroDivisionError
    assert count(database) == 1


def test_where_sqlite_undoes_all_nothing_is_said_to_be_stored(database: Database) -> None:
    with pytest.raises(ServiceUnavailable, match="nothing was stored"):  # noqa: SIM117
        with database.group_commit():
            add(database, "one")
            with pytest.raises(ZeroDivisionError), database.writing() as connection:
                connection.rollback()  # as SQLite does after some errors of the disk
                raise ZeroDivisionError
            with pytest.raises(ServiceUnavailable, match="nothing was stored"):
                add(database, "two")
    assert count(database) == 0
    add(database, "three")
    assert count(database) == 1


def test_where_the_file_is_gone_nothing_is_said_to_be_stored(database: Database) -> None:
    with pytest.raises(ServiceUnavailable, match="may be lost"):  # noqa: SIM117
        with database.group_commit():
            add(database, "one")
            database.path.unlink()
    with pytest.raises(ServiceUnavailable), database.group_commit():
        add(database, "two")


def test_a_group_without_writes_takes_no_lock(database: Database) -> None:
    with database.writing(), ExitStack() as stack:
        reader = in_thread(lambda: stack.enter_context(database.group_commit()))
        reader.join(20)
        assert not reader.is_alive()
    add(database, "one")


class Service:
    """A server whose groups end when `gate` is set, with a failure if `fails`."""

    def __init__(self) -> None:
        self.gate = Event()
        self.fails = False
        self.groups: list[list[str]] = []
        listeners = listen("127.0.0.1", 0)
        settings = load_settings({}, {})
        self._server = Server(self._answer, listeners, settings, self._group_commit)
        self._grouping: int | None = None
        """The thread whose writes are in a group now: others answer beside it."""
        self._held = Event()

    @contextmanager
    def running(self) -> Iterator["Service"]:
        thread = in_thread(self._server.run)
        try:
            yield self
        finally:
            self.gate.set()
            self._held.set()
            self._server.stop()
            thread.join(20)
            assert not thread.is_alive()

    @contextmanager
    def _group_commit(self) -> Iterator[None]:
        self.groups.append([])
        self._grouping = get_ident()
        yield
        self._grouping = None
        assert self.gate.wait(20)
        if self.fails:
            raise ServiceUnavailable(f"{FAILED}; nothing was stored")

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        if body == b"first":
            assert self._held.wait(20)
        elif self._grouping == get_ident():
            self.groups[-1].append(body.decode())
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    @contextmanager
    def asked(self, numbers: range) -> Iterator[list[HTTPConnection]]:
        """Have writes wait for the thread of another one, all in one group."""
        netloc = urlsplit(self._server.url).netloc
        with ExitStack() as stack:
            clients = [
                stack.enter_context(closing(HTTPConnection(netloc, timeout=20)))
                for _ in (None, *numbers)
            ]
            for client, body in zip(clients, ("first", *map(str, numbers)), strict=True):
                client.request("PUT", FEED, body)
                if body == "first":
                    self.answers_others()
            self.answers_others()
            self._held.set()
            assert clients[0].getresponse().read() == b"first"
            yield clients[1:]

    def answers_others(self) -> None:
        """Ask for something else, which waits for no group."""
        for _ in range(3):
            with closing(HTTPConnection(urlsplit(self._server.url).netloc, timeout=20)) as client:
                client.request("GET", FEED)
                assert client.getresponse().status == 200


@pytest.fixture
def service() -> Iterator[Service]:
    with Service().running() as running:
        yield running


def has_come(client: HTTPConnection) -> bool:
    client.sock.settimeout(0.05)
    try:
        return bool(client.sock.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False
    finally:
        client.sock.settimeout(20)


def answers(clients: list[HTTPConnection]) -> list[tuple[HTTPResponse, bytes]]:
    return [(answer, answer.read()) for answer in (client.getresponse() for client in clients)]


def test_no_write_is_answered_before_all_of_its_group_are_stored(service: Service) -> None:
    with service.asked(range(10)) as clients:
        service.answers_others()
        assert not any(map(has_come, clients))
        service.gate.set()
        told = [(answer.status, body) for answer, body in answers(clients)]
        assert told == [(200, str(number).encode()) for number in range(10)]
        assert service.groups == [list(map(str, range(10)))]
        for client in clients:  # the connections are kept
            client.request("GET", FEED)
            assert client.getresponse().status == 200


def test_where_a_group_is_not_stored_each_of_its_writes_is_told(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.fails = True
    with service.asked(range(10)) as clients:
        service.gate.set()
        for answer, body in answers(clients):
            assert (answer.status, answer.getheader("Retry-After")) == (503, "1")
            told = {"type": "service_unavailable", "message": f"{FAILED}; nothing was stored"}
            assert json.loads(body) == told
    (line,) = caplog.messages
    assert line == f"10 writes were answered with a 503: {FAILED}; nothing was stored"


def test_a_group_goes_on_without_a_client_that_has_left(service: Service) -> None:
    with service.asked(range(10)) as clients:
        clients[4].close()
        service.gate.set()
        remaining = clients[:4] + clients[5:]
        assert {answer.status for answer, _ in answers(remaining)} == {200}
    service.answers_others()
