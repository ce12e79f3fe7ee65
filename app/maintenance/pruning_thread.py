"""Pruning in a thread of the server: when it starts, and whenever a day begins."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

from ..config import Settings
from ..days import format_day
from ..errors import ServiceUnavailable
from ..storage.cutoffs import limits
from ..storage.database import Database

if TYPE_CHECKING:
    from .pruning_schedule import Late

logger = logging.getLogger("saasus_analysis.retention")

LOOK_SECONDS = 600
"""How often the thread checks whether a new day has begun."""


@contextmanager
def pruning_daily(database: Database, settings: Settings) -> Iterator[None]:
    """Prune in a separate thread while the block runs, if settings limit how long data are kept."""
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
    # These take 8 ms, mostly for bitmaps, which the start need not wait for.
    from .pruning import prune
    from .pruning_schedule import Schedule, find_held_back

    schedule: Schedule | None = None
    done = held = None
    while not over.is_set():
        deleted: Counter[str] = Counter()
        try:
            schedule = schedule or Schedule(database, settings)
            days = schedule.days()
            if days != done:
                cutoffs, at = schedule.cutoffs(days), schedule.noted_at(days)
                with closing(prune(database, cutoffs, at)) as steps:
                    for data, count in steps:
                        deleted[data] += count
                        if over.is_set():
                            break
                held = _tell_what_is_held_back(find_held_back(database, settings), held)
                done = days
        except ServiceUnavailable as error:
            logger.warning("pruning stopped and will continue later: %s", error.description)
        except Exception:
            logger.exception("pruning failed and will be tried again later")
        if deleted.total():
            told = ", ".join(f"{data} {count}" for data, count in deleted.items())
            logger.info("pruned: %s", told)
        over.wait(LOOK_SECONDS)


def _tell_what_is_held_back(
    held: "dict[str, Late]", told: "dict[str, Late] | None"
) -> "dict[str, Late]":
    """Log the overdue data that pruning holds back, unless already logged; return them.

    `held` is what is held back now, `told` what was logged last.
    """
    if held != told:
        for data, (oldest, kept) in held.items():
            logger.warning(
                "pruning holds back %s from %s to %s; `saasus-analysis doctor` says why",
                data,
                format_day(oldest),
                format_day(kept - 1),
            )
    return held
