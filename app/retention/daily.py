"""Pruning beside a server: at its start, and whenever a day begins."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Event, Thread

from ..config import Settings
from ..database import Database
from ..errors import ServiceUnavailable
from ..kept import limits

logger = logging.getLogger("saasus_analysis.retention")

LOOK_SECONDS = 600
"""How often it is looked whether a day has begun."""


@contextmanager
def pruning_daily(database: Database, settings: Settings) -> Iterator[None]:
    """Prune in a thread of its own while the block runs, if a setting says what is old."""
    if not limits(settings, database):
        yield
        return
    over = Event()
    thread = Thread(target=_prune_daily, args=(database, settings, over), name="prune")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _prune_daily(database: Database, settings: Settings, over: Event) -> None:
    done: int | None = None
    while not over.is_set():
        today = database.calendar.day_of(database.clock.now())
        if today != done and _prune(database, settings, over):
            done = today
        over.wait(LOOK_SECONDS)


def _prune(database: Database, settings: Settings, over: Event) -> bool:
    """Prune until it is done or the server ends; return whether it needs no other try today."""
    # Bitmaps are loaded here: a start does not wait for them.
    from .pruning import prune

    deleted: Counter[str] = Counter()
    done = False
    try:
        with closing(prune(database, limits(settings, database))) as steps:
            for data, count in steps:
                deleted[data] += count
                if over.is_set():
                    break
        done = True
    except ServiceUnavailable as error:
        logger.warning("pruning goes on later: %s", error.description)
    except Exception:
        logger.exception("pruning failed, and is tried again later")
    if deleted.total():
        told = ", ".join(f"{data} {count}" for data, count in deleted.items())
        logger.info("pruned: %s", told)
    return done
