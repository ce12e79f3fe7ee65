"""Backing up and restoring, compared with copying the file and with SQLite's own backup."""

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from app.maintenance.backup import back_up, existing, restore
from app.maintenance.integrity import CHECKS, find_wrong

from .data import FOLDER, saas
from .measuring import in_turns, seconds, write

DAYS = 90
REPETITIONS = 3

PEER = "`sqlite3 .backup` and a check"


def run(events: int = 10_000_000) -> None:
    """Measure with a database of 90 days."""
    path = saas(events, DAYS)
    with TemporaryDirectory(dir=FOLDER) as folder:
        ours, copied, plain, new = (Path(folder, f"{name}.db") for name in "abcd")

        def restore_ours() -> None:
            new.unlink(missing_ok=True)
            restore(ours, new, False, _quiet)

        taken = in_turns(
            {
                PEER: lambda: _sqlite3(path, plain),
                "`backup`": lambda: back_up(path, ours, _quiet),
                "`restore`": restore_ours,
                "`cp`, flushed": lambda: _copy(path, copied),
            },
            REPETITIONS,
        )
    taken["`check`"] = seconds(lambda: _check(path))
    size = path.stat().st_size
    rows = [
        [name, f"{time:.2f} s", f"{size / time / 1e6:.0f} MB/s", f"{time / taken[PEER]:.2f}"]
        for name, time in taken.items()
    ]
    write(
        "backup",
        "Backups",
        f"""
A database of {DAYS} days and {events:,} events, {size / 1e6:,.0f} MB, to which nobody writes.
`sqlite3` makes a backup, flushes it and runs `integrity_check` on it, as `backup` and `restore` do.
`cp` checks nothing, and its copy of a database in use would not be a snapshot. `check` was run
once. The ratio compares the time with that of the first row.
""",
        ["", "time", "rate", "ratio"],
        rows,
    )


def _quiet(done: int, total: int) -> None:
    """Show no progress."""


def _copy(path: Path, target: Path) -> None:
    shutil.copyfile(path, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _sqlite3(path: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    subprocess.run(["sqlite3", path, f".backup '{target}'"], check=True)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    subprocess.run(["sqlite3", target, "pragma integrity_check"], check=True, capture_output=True)


def _check(path: Path) -> None:
    with existing(path) as (connection, _):
        if list(find_wrong(connection, CHECKS, [])):
            raise SystemExit(f"{path} is wrong")
