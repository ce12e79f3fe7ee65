"""Pruning beside a server: at its start, and whenever a day begins."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Event, Thread

from ..config import Settings
from ..database import Database
from ..days import format_day
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
    # Bitmaps are loaded here: a start does not wait for them.
    from .pruning import prune
    from .schedule import Schedule

    schedule: Schedule | None = None
    is_told = False
    while not over.is_set():
        deleted: Counter[str] = Counter()
        try:
            schedule = schedule or Schedule(database, settings)
            if schedule.begins_day():
                is_told = False
            with closing(prune(database, schedule.cutoffs())) as steps:
                for data, count in steps:
                    deleted[data] += count
                    if over.is_set():
                        break
            is_told = is_told or _tell_what_is_held_back(database, settings)
        except ServiceUnavailable as error:
            logger.warning("pruning goes on later: %s", error.description)
        except Exception:
            logger.exception("pruning failed, and is tried again later")
        if deleted.total():
            told = ", ".join(f"{data} {count}" for data, count in deleted.items())
            logger.info("pruned: %s", told)
        over.wait(LOOK_SECONDS)


def _tell_what_is_held_back(database: Database, settings: Settings) -> bool:
    """Log which data are there still that are older than is kept; return whether any are."""
    from .schedule import find_held_back

    held = find_held_back(database, settings)
    for data, (oldest, kept) in held.items():
        logger.warning(
            "pruning holds back %s from %s to %s; `saasus-analysis doctor` tells more",
            data,
            format_day(oldest),
            format_day(kept - 1),
        )
    return bool(held)
