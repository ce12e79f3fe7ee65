"""Emptying the -wal beside a server, where writes do not."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from ..errors import ServiceUnavailable
from ..storage.database import WAL_LIMIT, Database

LOOK_SECONDS = 5
"""How often the size of the -wal is looked at."""

IDLE_SECONDS = 60
"""After how long without a write the -wal is emptied, however small it is."""


@contextmanager
def emptying_wal(database: Database) -> Iterator[None]:
    """Empty the -wal in a thread of its own while the block runs: a large one, and an idle one.

    In an idle one there is what was erased, until other writes take its place.
    """
    over = Event()
    thread = Thread(target=_empty, args=(database, over), name="wal")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _empty(database: Database, over: Event) -> None:
    while not over.wait(LOOK_SECONDS):
        size = database.wal_bytes()
        if size >= WAL_LIMIT or (size and _is_idle(Path(f"{database.path}-wal"))):
            with suppress(ServiceUnavailable):
                database.empty_wal(patience=0)


def _is_idle(wal: Path) -> bool:
    try:
        return time.time() - wal.stat().st_mtime > IDLE_SECONDS
    except OSError:
        return False
