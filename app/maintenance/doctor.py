"""Looking over a setup: settings, file, disk, servers, clock, time zone, keys; what to do."""

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
"""Seconds that a reader may keep the -wal from being emptied."""
EXPIRES_SOON, UNUSED_LONG = 14 * DAY, 90 * DAY

MOST_KEYS = 1000
"""The most keys that are looked over: those that hold before others, the newest first."""

OK, WARNING, PROBLEM = "ok", "warning", "problem"

SELECT_NEWEST = """
select max(timestamp)
from behavior
where block = (select max(block) from behavior)
"""


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do if it is not well."""

    subject: str
    state: str
    message: str
    advice: str = ""

    document = asdict


def examine(settings: Settings, clock: Clock | None = None) -> Iterator[Finding]:
    """Yield what is found; stops where nothing more can be looked at."""
    yield Finding("sqlite", OK, f"SQLite {sqlite3.sqlite_version}")
    if passed_over := service_variables(os.environ):
        yield Finding(
            "environment", OK, f"passed over, as made for a service: {', '.join(passed_over)}"
        )
    yield from _exposure(settings)
    if not settings.database.exists():
        yield from _folder(settings.database.absolute().parent)
        yield Finding(
            "database", WARNING, f"{settings.database} is not there", "the first start makes it"
        )
        return
    yield from _file(settings.database)
    yield from _disk(settings.database)
    try:
        with existing(settings.database) as (_, schema):
            pass
        if schema < NEWEST:
            message = f"{settings.database} has schema {schema}, and this version {NEWEST}"
            advice = "saasus-analysis migrate; the next start of serve does the same"
            yield Finding("database", WARNING, message, advice)
            return
        yield from _servers(settings.database)
        database = Database.open(settings, clock, create=False, migrate=False)
    except StartError as error:
        yield Finding("database", PROBLEM, str(error), "mend this before a start")
        return
    try:
        yield Finding("database", OK, f"{settings.database} can be opened, and its schema is right")
        yield from _wal(database)
        yield from _time(database, settings)
        yield from _retention(database, settings)
        yield from _keys(database, settings)
    finally:
        database.close()


def _exposure(settings: Settings) -> Iterator[Finding]:
    if settings.auth:
        yield Finding("keys", OK, "keys are asked for")
    else:
        yield Finding(
            "keys", WARNING, "no key is asked for", "leave ANALYSIS_AUTH out, unless for a demo"
        )
    if settings.synchronous == "off":
        yield Finding(
            "synchronous",
            PROBLEM,
            "a crash of the machine can damage the database",
            "leave ANALYSIS_SYNCHRONOUS out: off is for throw-away data",
        )


def _folder(folder: Path) -> Iterator[Finding]:
    if not os.access(folder, os.W_OK):
        yield Finding(
            "folder", PROBLEM, f"{folder} cannot be written to", "give it to the service's user"
        )


def _file(path: Path) -> Iterator[Finding]:
    mode = path.stat().st_mode & 0o777
    if too_much := mode & rights_of_others(path):
        right = f"chmod {mode & ~too_much:o} {path}"
        yield Finding("file", PROBLEM, f"others can read {path} (mode {mode:o})", right)
    elif not os.access(path, os.W_OK):
        yield Finding("file", PROBLEM, f"{path} cannot be written to", "chown it to the service")
    else:
        whose = "its group" if mode & 0o070 else "its owner"
        yield Finding("file", OK, f"{path} is readable by {whose} alone")
    yield from _folder(path.absolute().parent)


def _servers(path: Path) -> Iterator[Finding]:
    count = count_servers(path)
    if count > 1:
        yield Finding(
            "servers",
            WARNING,
            f"{count} servers have {path} open, and wait for each other's writes",
            "end all but one, unless this is meant",
        )
    else:
        yield Finding("servers", OK, "one has it open" if count else "none has it open")


def _disk(path: Path) -> Iterator[Finding]:
    size = sum(part.stat().st_size for part in (path, Path(f"{path}-wal")) if part.exists())
    free = shutil.disk_usage(path.absolute().parent).free
    state = OK if free >= size + SPARE_BYTES else WARNING
    advice = "" if state == OK else "make room: a backup or an upgrade needs as much again"
    yield Finding("disk", state, f"{free / 1e6:.0f} MB free beside {size / 1e6:.0f} MB", advice)


def _wal(database: Database) -> Iterator[Finding]:
    held, size = database.wal_held(), database.wal_bytes()
    told = f"the -wal takes {size / 1e6:.0f} MB"
    if held >= HELD_LONG:
        yield Finding(
            "wal",
            WARNING,
            f"{told}, and a reader has kept it from being emptied for {held:.0f} s",
            "end what reads the database for so long, such as a backup to a slow disk",
        )
    elif size >= 2 * WAL_LIMIT:
        yield Finding("wal", WARNING, told, "a server that runs, or its next start, empties it")
    else:
        yield Finding("wal", OK, f"{told}, and no reader keeps it from being emptied")


def _time(database: Database, settings: Settings) -> Iterator[Finding]:
    zone = database.calendar.zone
    fixed = "" if settings.time_zone else ", as it was made"
    yield Finding("time zone", OK, f"days are those of {zone}{fixed}")
    with database.reading() as connection:
        (newest,) = connection.execute(SELECT_NEWEST).fetchone()
    now, day_of = database.clock.now(), database.calendar.day_of
    if newest is not None and newest > now + DAY:
        yield Finding(
            "clock",
            WARNING,
            "there are histories of more than a day to come",
            "set the clock of this machine, or of what feeds it: signatures need it to the minute; "
            f"if it is right, saasus-analysis delete --from {format_day(day_of(now + 2 * DAY))} "
            "deletes what is wrong",
        )
    else:
        yield Finding("clock", OK, "no history is of a time to come")


def _retention(database: Database, settings: Settings) -> Iterator[Finding]:
    day_of = database.calendar.day_of
    today = day_of(database.clock.now())
    for data, since in future_cutoffs(database).items():
        yield Finding(
            "retention",
            PROBLEM,
            f"{data} are kept from {format_day(day_of(since))} on, which is to come: what is fed "
            "of an earlier time is refused",
            "set the clock right if it is behind; if it is right, saasus-analysis prune "
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
            f"{data} from {format_day(oldest)} to {format_day(kept - 1)} are older than is kept, "
            f"and are there still{doubt}{last}",
            f"`serve` deletes {settings.prune_days} days of them a day, as far as what is stored "
            "bears the clock out; saasus-analysis prune deletes all of them now",
        )


def _keys(database: Database, settings: Settings) -> Iterator[Finding]:
    now = database.clock.now()
    valid = [
        key
        for key in keys.list_keys(database, MOST_KEYS)
        if not key["revoked_at"] and (key["expires_at"] is None or key["expires_at"] > now)
    ]
    if settings.auth and not valid and not settings.saasus_secret_key:
        yield Finding("keys", WARNING, "no key is valid", "saasus-analysis keys create NAME")
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
