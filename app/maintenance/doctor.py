"""Diagnosis of a setup: settings, file, disk, servers, clock, time zone, retention and keys."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ..auth import keys
from ..config import Settings, service_variables
from ..days import Clock, format_day
from ..errors import StartError
from ..storage.database import WAL_LIMIT, Database
from ..storage.files import rights_of_others
from ..storage.migrations import NEWEST
from ..storage.open_servers import count_servers
from .backup import existing
from .future_cutoffs import future_cutoffs
from .pruning_schedule import find_held_back, newest_day

DAY = 86400
SPARE_BYTES = 100_000_000
HELD_LONG = 10
"""How many seconds a reader may keep the -wal from being emptied without a warning."""
EXPIRES_SOON, UNUSED_LONG = 14 * DAY, 90 * DAY

MOST_KEYS = 1000
"""The most keys that are examined: valid ones first, and the newest first among them."""

OK, WARNING, PROBLEM = "ok", "warning", "problem"

SELECT_NEWEST = """
select max(timestamp)
from behavior
where block = (select max(block) from behavior)
"""


@dataclass(frozen=True)
class Finding:
    """A result of the diagnosis: subject, state, message, and what to do about a problem."""

    subject: str
    state: str
    message: str
    advice: str = ""

    document = asdict


def examine(settings: Settings, clock: Clock | None = None) -> Iterator[Finding]:
    """Yield the findings; stops early if the database cannot be examined."""
    yield Finding("sqlite", OK, f"SQLite {sqlite3.sqlite_version}")
    if passed_over := service_variables(os.environ):
        yield Finding(
            "environment",
            OK,
            f"ignored, since Kubernetes sets them for a service: {', '.join(passed_over)}",
        )
    yield from _exposure(settings)
    if not settings.database.exists():
        yield from _folder(settings.database.absolute().parent)
        yield Finding(
            "database",
            WARNING,
            f"{settings.database} does not exist",
            "the first start of serve creates it",
        )
        return
    yield from _file(settings.database)
    yield from _disk(settings.database)
    try:
        with existing(settings.database) as (_, schema):
            pass
        if schema < NEWEST:
            message = f"{settings.database} has schema {schema}, but this version needs {NEWEST}"
            advice = "saasus-analysis migrate; the next start of serve does the same"
            yield Finding("database", WARNING, message, advice)
            return
        yield from _servers(settings.database)
        database = Database.open(settings, clock, create=False, migrate=False)
    except StartError as error:
        yield Finding("database", PROBLEM, str(error), "solve this before you start the server")
        return
    try:
        yield Finding("database", OK, f"{settings.database} can be opened and has the right schema")
        yield from _wal(database)
        yield from _time(database, settings)
        yield from _retention(database, settings)
        yield from _keys(database, settings)
    finally:
        database.close()


def _exposure(settings: Settings) -> Iterator[Finding]:
    if settings.auth:
        yield Finding("keys", OK, "requests need a key")
    else:
        yield Finding(
            "keys", WARNING, "requests need no key", "do not set ANALYSIS_AUTH, except for a demo"
        )
    if settings.synchronous == "off":
        yield Finding(
            "synchronous",
            PROBLEM,
            "a crash of the machine can damage the database",
            "do not set ANALYSIS_SYNCHRONOUS: off is only for data that you can lose",
        )


def _folder(folder: Path) -> Iterator[Finding]:
    if not os.access(folder, os.W_OK):
        yield Finding(
            "folder",
            PROBLEM,
            f"{folder} is not writable",
            "make the user of the service its owner",
        )


def _file(path: Path) -> Iterator[Finding]:
    mode = path.stat().st_mode & 0o777
    if too_much := mode & rights_of_others(path):
        right = f"chmod {mode & ~too_much:o} {path}"
        yield Finding("file", PROBLEM, f"others can read {path} (mode {mode:o})", right)
    elif not os.access(path, os.W_OK):
        yield Finding(
            "file", PROBLEM, f"{path} is not writable", "make the user of the service its owner"
        )
    else:
        whose = "its group" if mode & 0o070 else "its owner"
        yield Finding("file", OK, f"only {whose} can read {path}")
    yield from _folder(path.absolute().parent)


def _servers(path: Path) -> Iterator[Finding]:
    count = count_servers(path)
    if count > 1:
        yield Finding(
            "servers",
            WARNING,
            f"{count} servers have {path} open and wait for each other's writes",
            "stop all but one, unless this is intended",
        )
    else:
        yield Finding("servers", OK, "one server has it open" if count else "no server has it open")


def _disk(path: Path) -> Iterator[Finding]:
    size = sum(part.stat().st_size for part in (path, Path(f"{path}-wal")) if part.exists())
    free = shutil.disk_usage(path.absolute().parent).free
    state = OK if free >= size + SPARE_BYTES else WARNING
    advice = "" if state == OK else "free some space: a backup or an upgrade copies the database"
    yield Finding(
        "disk", state, f"{free / 1e6:.0f} MB free; the database takes {size / 1e6:.0f} MB", advice
    )


def _wal(database: Database) -> Iterator[Finding]:
    held, size = database.wal_held(), database.wal_bytes()
    told = f"the -wal takes {size / 1e6:.0f} MB"
    if held >= HELD_LONG:
        yield Finding(
            "wal",
            WARNING,
            f"{told}, and a reader has kept it from being emptied for {held:.0f} s",
            "stop the process that reads for so long, such as a backup to a slow disk",
        )
    elif size >= 2 * WAL_LIMIT:
        yield Finding("wal", WARNING, told, "a running server empties it, or the next start")
    else:
        yield Finding("wal", OK, f"{told}, and no reader keeps it from being emptied")


def _time(database: Database, settings: Settings) -> Iterator[Finding]:
    zone = database.calendar.zone
    fixed = "" if settings.time_zone else ", which was set when the database was made"
    yield Finding("time zone", OK, f"days are in the time zone {zone}{fixed}")
    with database.reading() as connection:
        (newest,) = connection.execute(SELECT_NEWEST).fetchone()
    now, day_of = database.clock.now(), database.calendar.day_of
    if newest is not None and newest > now + DAY:
        yield Finding(
            "clock",
            WARNING,
            "there are histories more than a day in the future",
            "correct the clock of this machine or of the machine that sends data; signatures need "
            "clocks that agree to the minute. If the clocks are right, saasus-analysis delete "
            f"--from {format_day(day_of(now + 2 * DAY))} deletes the wrong data",
        )
    else:
        yield Finding("clock", OK, "no history is in the future")


def _retention(database: Database, settings: Settings) -> Iterator[Finding]:
    day_of = database.calendar.day_of
    today = day_of(database.clock.now())
    for data, since in future_cutoffs(database).items():
        yield Finding(
            "retention",
            PROBLEM,
            f"{data} have a retention cutoff in the future, {format_day(day_of(since))}: earlier "
            "data are refused",
            "correct the clock if it is behind; if it is right, run saasus-analysis prune "
            "--reset-cutoffs",
        )
    newest = newest_day(database)
    is_doubtful = newest is not None and newest < today - settings.prune_days
    for data, (oldest, kept) in find_held_back(database, settings).items():
        doubt = f"; the clock says {format_day(today)}" if is_doubtful else ""
        last = f", and nothing is stored after {format_day(newest or today)}" if doubt else ""
        yield Finding(
            "retention",
            WARNING,
            f"{data} from {format_day(oldest)} to {format_day(kept - 1)} are overdue for deletion"
            f"{doubt}{last}",
            f"`serve` deletes {settings.prune_days} days of them a day, as far as the stored data "
            "confirm the clock; saasus-analysis prune deletes all of them now",
        )


def _keys(database: Database, settings: Settings) -> Iterator[Finding]:
    now = database.clock.now()
    valid = [
        key
        for key in keys.list_keys(database, MOST_KEYS)
        if not key["revoked_at"] and (key["expires_at"] is None or key["expires_at"] > now)
    ]
    if settings.auth and not valid and not settings.saasus_secret_key:
        yield Finding("keys", WARNING, "there is no valid key", "saasus-analysis keys create NAME")
    for key in valid:
        expires, since = key["expires_at"], key["last_used_at"] or key["created_at"]
        if expires is not None and expires < now + EXPIRES_SOON:
            days = (expires - now) // DAY
            yield Finding(
                "keys",
                WARNING,
                f"the key {key['name']} expires within {days + 1} days",
                f"saasus-analysis keys rotate {key['name']}",
            )
        elif since < now - UNUSED_LONG:
            yield Finding(
                "keys",
                WARNING,
                f"the key {key['name']} was not used for {(now - since) // DAY} days",
                f"saasus-analysis keys revoke {key['name']}, if nobody needs it",
            )
