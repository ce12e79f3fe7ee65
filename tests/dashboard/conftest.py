"""A server with the data of a made-up SaaS, and a visitor who is signed in."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, StorageState

from app.analytics.event_reader import event_reader
from app.auth import keys
from app.days import Calendar
from app.demo import make_events
from app.ingest.files import import_records
from app.storage.database import Database

from ..conftest import RunningServer, serving
from ..support.browser import visiting

ZONE = "Asia/Tokyo"
EVENTS, DAYS = 15_000, 70


@pytest.fixture(scope="session")
def saas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with what users did in the last days; its token has every scope."""
    path = tmp_path_factory.mktemp("saas") / "saas.db"
    with closing(Database(path, time_zone=ZONE, synchronous="off")) as database:
        token = keys.create_bearer_key(database, name="boss", scopes=keys.SCOPES)
        events = make_events(Calendar(ZONE), database.clock.now(), events=EVENTS, days=DAYS)
        for report in import_records(database, events, event_reader(database.clock.now)):
            assert not report.refused
    with serving("--database", path) as server:
        yield RunningServer(server.url, token, server.process)


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server without any data."""
    with serving("--database", tmp_path_factory.mktemp("blank") / "blank.db") as server:
        yield server


@contextmanager
def signed_in(browser: Browser, server: RunningServer, **options: Any) -> Iterator[Page]:
    """Give the overview in a browser whose user has signed in; see `visiting`."""
    state = state_of(browser, server)
    with visiting(browser, server.url, storage_state=state, **options) as page:
        page.goto(f"{server.url}/dashboard")
        yield page


_states: dict[str, StorageState] = {}


def state_of(browser: Browser, server: RunningServer) -> StorageState:
    """Return what a browser keeps of somebody who has signed in to a server."""
    if server.url not in _states:
        with visiting(browser, server.url) as page:
            page.goto(f"{server.url}/dashboard/sign-in")
            page.locator("#key").fill(server.token)
            page.locator("form.stack button").click()
            page.wait_for_url("**/dashboard")
            _states[server.url] = page.context.storage_state()
    return _states[server.url]
