"""Looking over a setup: settings, file, disk, clock, time zone and keys, with what to do."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from .auth import keys
from .config import Settings
from .database import WAL_LIMIT, Database
from .errors import StartError

DAY = 86400
SPARE_BYTES = 100_000_000
HELD_LONG = 10
"""Seconds that a reader may keep the -wal from being emptied."""
EXPIRES_SOON, UNUSED_LONG = 14 * DAY, 90 * DAY

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


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield what is found; stops where nothing more can be looked at."""
    yield Finding("sqlite", OK, f"SQLite {sqlite3.sqlite_version}")
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
        database = Database.open(settings)
    except StartError as error:
        yield Finding("database", PROBLEM, str(error), "mend this before a start")
        return
    try:
        yield Finding("database", OK, f"{settings.database} can be opened, and its schema is right")
        yield from _wal(database)
        yield from _time(database, settings)
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
    if mode & 0o077:
        yield Finding(
            "file", PROBLEM, f"others can read {path} (mode {mode:o})", f"chmod 600 {path}"
        )
    elif not os.access(path, os.W_OK):
        yield Finding("file", PROBLEM, f"{path} cannot be written to", "chown it to the service")
    else:
        yield Finding("file", OK, f"{path} is readable by its owner alone")
    yield from _folder(path.absolute().parent)


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
    if newest is not None and newest > database.clock.now() + DAY:
        yield Finding(
            "clock",
            WARNING,
            "there are histories of more than a day to come",
            "set the clock of this machine, or of what feeds it: signatures need it to the minute",
        )
    else:
        yield Finding("clock", OK, "no history is of a time to come")


def _keys(database: Database, settings: Settings) -> Iterator[Finding]:
    now = database.clock.now()
    valid = [
        key
        for key in keys.list_keys(database)
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
