"""An application to be fuzzed, and a double, with what is seen of them from outside."""

import re
import sqlite3
from http.client import HTTPResponse
from pathlib import Path
from socket import SHUT_WR, create_connection
from threading import Thread
from typing import NamedTuple
from urllib.parse import urlsplit

from werkzeug.test import TestResponse

from app import create_app
from app.auth import keys
from app.config import load_settings
from app.double import application
from app.server import Server, listen

from ..conftest import SetClock
from .reading import everything
from .refusals import check_error

MAX_BODY = 2**20

KEY = {"SAASUS_SAAS_ID": "saas", "SAASUS_API_KEY": "api", "SAASUS_SECRET_KEY": "s" * 32}

EMPTY = """
begin;
delete from behavior;
delete from call_count;
delete from active_user;
delete from active_users;
delete from event_id;
delete from event_id_day;
delete from page_summary;
delete from page_sealing;
delete from period_summary;
delete from referer;
delete from page;
delete from user;
delete from tenant;
commit;
"""

COUNT = """
select (select coalesce(sum(count), 0) from call_count),
       (select count(*) from call_count),
       (select count(*) from behavior),
       (select count(*) from active_user),
       (select count(*) from active_users where put is not null),
       (select coalesce(sum(count), 0) from event_id_day)
"""


class Stored(NamedTuple):
    """What a database holds, in numbers."""

    calls: int
    call_rows: int
    histories: int
    active_users: int
    numbers: int
    ids: int


class Sent(NamedTuple):
    """A request; its query and headers as they stand in a WSGI environment."""

    method: str
    path: str
    body: bytes = b""
    query: str = ""
    headers: dict[str, str] = {}


class Subject:
    """An application on a real file, which it listens for on a real socket."""

    def __init__(self, folder: Path) -> None:
        path = folder / "fuzzed.db"
        config = {"database": path, "synchronous": "off", "max_body": MAX_BODY, "port": 0}
        config |= {"failed_keys": "off"} | KEY
        self.app = create_app(config, clock=SetClock())
        self.database = self.app.extensions["database"]
        self.token = keys.create_bearer_key(self.database, name="fuzz", scopes=keys.SCOPES)
        self.client = self.app.test_client()
        self.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {self.token}"
        everything(self.client)  # notes that the key was used, which is a write
        self._beside = sqlite3.connect(path, isolation_level=None)
        self._server = Server(self.app, listen("127.0.0.1", 0), self.app.extensions["settings"])
        self._thread = Thread(target=self._server.run)
        self._thread.start()
        self._double = application.make_double(load_settings({}, {}))
        self.double = self._double.test_client()

    def close(self) -> None:
        self._server.stop()
        self._thread.join()
        application.close(self._double)
        self._beside.close()
        self.database.close()

    def empty(self) -> None:
        self._beside.executescript(EMPTY)

    def stored(self) -> Stored:
        return Stored(*self._beside.execute(COUNT).fetchone())

    def send(self, sent: Sent) -> TestResponse:
        """Return the answer to a request, which is a 200, or a refusal that has changed nothing."""
        before = self._version()
        answer = self.client.open(
            sent.path,
            method=sent.method,
            data=sent.body,
            environ_overrides={
                "QUERY_STRING": sent.query,
                "REQUEST_URI": f"{sent.path}?{sent.query}",
                **sent.headers,
            },
        )
        assert answer.headers["X-Saasus-Trace-Id"]
        if answer.status_code != 200:
            check_refusal(answer.status_code, answer.headers.get("Content-Type"), answer.data)
            assert self._version() == before
        return answer

    def exchange(self, head: bytes) -> tuple[HTTPResponse, bytes]:
        """Send the head of a request through a socket; return the first answer with its body."""
        address = urlsplit(self._server.url)
        with create_connection((address.hostname, address.port), timeout=30) as connection:
            connection.sendall(head)
            connection.shutdown(SHUT_WR)
            with HTTPResponse(connection) as answer:
                answer.begin()
                return answer, answer.read()

    def _version(self) -> object:
        """Return what each commit of the application changes."""
        return self._beside.execute("pragma data_version").fetchone()


def check_refusal(status: int, content_type: str | None, body: bytes) -> str:
    assert 400 <= status < 500, body
    message = check_error(status, content_type, body)
    check_line(message)
    return message


def check_line(message: str) -> None:
    """Check that a message is one line of text."""
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", message), ascii(message)
