"""A thread of the server that empties the -wal when no write does."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from ..errors import ServiceUnavailable
from ..storage.database import WAL_LIMIT, Database

LOOK_SECONDS = 5
"""How often the thread checks the size of the -wal."""

IDLE_SECONDS = 60
"""After this time without a write, the -wal is emptied, whatever its size."""


@contextmanager
def emptying_wal(database: Database) -> Iterator[None]:
    """Empty the -wal in a separate thread while the block runs, whenever it is large or idle.

    An idle -wal still contains erased data until other writes overwrite them.
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
