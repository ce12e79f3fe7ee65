"""The data for the benchmarks: made once by the server's own code, and kept in `bench/.data`."""

import csv
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from app.analytics.event_reader import event_reader
from app.days import Calendar, Clock
from app.demo import make_events
from app.ingest.files import import_records
from app.storage.database import Database

FOLDER = Path(__file__).parent / ".data"

HOUR, DAY = 3600, 86400
NOW = 1_779_157_378  # 2026-05-19T02:22:58Z
TODAY = NOW // DAY * DAY

SELECT_VIEWS = """
select behavior.timestamp, referer.page_id, behavior.user_id
from behavior
join referer on referer.id = behavior.referer_id
order by behavior.block, behavior.timestamp
"""


class Then(Clock):
    """A clock that stands still at the end of the data."""

    def now(self) -> int:
        return NOW


def opened(path: Path) -> Database:
    """Open a database of benchmark data."""
    return Database(path, clock=Then(), synchronous="off")


def visits(events: int, days: int) -> Iterator[dict[str, Any]]:
    """Yield the events of a demo SaaS, without ids, with some thousands of pages."""
    for event in make_events(Calendar("UTC"), NOW, events=events, days=days):
        del event["id"]
        if "referer" in event:
            numbers_below_40 = re.sub("[0-9]{2,}", lambda n: str(int(n[0]) % 40), event["referer"])
            event["referer"] = numbers_below_40
        yield event


def visits_of_many_pages(events: int, days: int, pages: int) -> Iterator[dict[str, Any]]:
    """Yield the same events on a number of pages, all equally frequent."""
    for number, event in enumerate(visits(events, days)):
        if "referer" in event:
            event["referer"] = f"/items/{number * 7919 % pages}?from=list"
        yield event


def saas(events: int, days: int) -> Path:
    """Return a database of a demo SaaS with some thousands of pages."""
    return _kept(f"saas-{events}-{days}", visits(events, days))


def saas_of_many_pages(events: int, days: int, pages: int) -> Path:
    """Return a database of the same events on a number of pages."""
    return _kept(f"pages-{events}-{days}-{pages}", visits_of_many_pages(events, days, pages))


def fill(database: Database, events: Iterator[dict[str, Any]]) -> None:
    """Store events as `POST /ingest/events` does."""
    for report in import_records(database, events, event_reader(database.clock.now)):
        if report.refused:
            raise SystemExit(f"refused: {report.refused[0]}")


def actives(events: int, days: int, tenants: int) -> tuple[Path, Path]:
    """Return a database of a demo SaaS with a number of tenants and no histories, and its calls.

    The calls are a CSV file: timestamp, tenant, environment and user as integers of the database.
    """
    path = _kept(f"actives-{events}-{days}-{tenants}", _calls(events, days, tenants))
    file = path.with_suffix(".csv")
    if not file.exists():
        with closing(opened(path)) as database, database.reading() as connection:
            users = dict(connection.execute("select name, id from user"))
            ids = dict(connection.execute("select name, id from tenant"))
        rows = (
            (call["timestamp"], ids[call["tenant_id"]], call["env_id"], users[call["user_id"]])
            for call in _calls(events, days, tenants)
        )
        _write_csv(file, rows)
    return path, file


def _calls(events: int, days: int, tenants: int) -> Iterator[dict[str, Any]]:
    for event in make_events(Calendar("UTC"), NOW, events=events, days=days):
        if event["type"] == "userinfo":
            del event["id"], event["referer"]
            event["tenant_id"] = f"tenant-{int(event['tenant_id'][:8], 16) % tenants}"
            yield event


def views_csv(path: Path) -> Path:
    """Return a CSV file of the views of a database by time: timestamp, page and user."""
    file = path.with_suffix(".csv")
    if not file.exists():
        with closing(opened(path)) as database, database.reading() as connection:
            _write_csv(file, connection.execute(SELECT_VIEWS))
    return file


def _write_csv(file: Path, rows: Iterable[Iterable[int]]) -> None:
    unfinished = file.with_suffix(".part")
    with unfinished.open("w", newline="") as out:
        csv.writer(out).writerows(rows)
    unfinished.rename(file)


def _kept(name: str, events: Iterator[dict[str, Any]]) -> Path:
    path = FOLDER / f"{name}.db"
    if not path.exists():
        FOLDER.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".part")
        for left in FOLDER.glob(f"{unfinished.name}*"):
            left.unlink()
        with closing(opened(unfinished)) as database:
            fill(database, iter(tqdm(events, desc=name, unit="event", disable=None)))
        unfinished.rename(path)
    return path
