"""The data that benchmarks ask about: made once by the server's own code, kept in `bench/.data`."""

import csv
import re
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from app.database import Database
from app.days import Calendar, Clock
from app.demo import make_events
from app.ingest.files import import_records
from app.ingest.schemas import event_reader

FOLDER = Path(__file__).parent / ".data"

HOUR, DAY = 3600, 86400
NOW = 1_779_157_378  # 2026-05-19T02:22:58Z
TODAY = NOW // DAY * DAY

SELECT_VIEWS = """
select behavior.timestamp, referer.page_id, behavior.user_id
from behavior
join referer on referer.id = behavior.referer_id
order by behavior.day, behavior.timestamp
"""


class Then(Clock):
    """A clock that stands where the data ends."""

    def now(self) -> int:
        return NOW


def opened(path: Path) -> Database:
    """Open a database of benchmark data."""
    return Database(path, clock=Then(), synchronous="off")


def saas(events: int, days: int) -> Path:
    """Return a database of a demo SaaS.

    Numbers in its paths are below 40, which leaves some thousands of pages.
    """
    made = make_events(Calendar("UTC"), NOW, events=events, days=days)
    return _kept(f"saas-{events}-{days}", events, map(_with_fewer_pages, made))


def actives(events: int, days: int) -> tuple[Path, Path]:
    """Return a database of a demo SaaS with a hundred tenants and without histories, and its calls.

    The calls are CSV: timestamp, tenant, environment and user as the integers of the database.
    """
    made = partial(make_events, Calendar("UTC"), NOW, events=events, days=days)
    name = f"actives-{events}-{days}"
    path = _kept(name, events, map(_with_fewer_tenants, made()))
    file = path.with_suffix(".csv")
    if not file.exists():
        with closing(opened(path)) as database, database.reading() as connection:
            users = dict(connection.execute("select name, id from user"))
            tenants = dict(connection.execute("select name, id from tenant"))
        calls = map(_with_fewer_tenants, made())
        rows = (
            (call["timestamp"], tenants[call["tenant_id"]], call["env_id"], users[call["user_id"]])
            for call in calls
            if call["type"] == "userinfo"
        )
        _write_csv(file, rows)
    return path, file


def many_pages(events: int, referers: int) -> Path:
    """Return a database of 30 days with so many distinct referers, each a page of its own."""
    made = make_events(Calendar("UTC"), NOW, events=events, days=30)
    numbered = (
        event | {"referer": f"/items/{number * 7919 % referers}?from=list"}
        for number, event in enumerate(made)
    )
    return _kept(f"pages-{events}-{referers}", events, numbered)


def views_csv(path: Path) -> Path:
    """Return the views of a database, in the order of time, as timestamp, page and user."""
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


def _kept(name: str, count: int, events: Iterable[dict[str, Any]]) -> Path:
    path = FOLDER / f"{name}.db"
    if not path.exists():
        FOLDER.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".part")
        for left in FOLDER.glob(f"{unfinished.name}*"):
            left.unlink()
        with closing(opened(unfinished)) as database:
            records = tqdm(map(_without_id, events), total=count, desc=name, unit="event")
            for report in import_records(database, iter(records), event_reader(lambda: NOW)):
                if report.refused:
                    raise SystemExit(f"{name}: {report.refused[0]}")
        unfinished.rename(path)
    return path


def _without_id(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "id"}


def _with_fewer_tenants(event: dict[str, Any]) -> dict[str, Any]:
    fewer = {name: value for name, value in event.items() if name != "referer"}
    if "tenant_id" in event:
        fewer["tenant_id"] = f"tenant-{int(event['tenant_id'][:8], 16) % 100}"
    return fewer


def _with_fewer_pages(event: dict[str, Any]) -> dict[str, Any]:
    if "referer" not in event:
        return event
    return event | {"referer": re.sub("[0-9]{2,}", lambda n: str(int(n[0]) % 40), event["referer"])}
