"""Who seals: one thread of a process at a time."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import ServiceUnavailable
from ..storage.database import Database

logger = logging.getLogger("saasus_analysis.summaries")

PATIENCE = 1
"""How many seconds a question waits for others who write before it does without sealing."""

Progress = Callable[[list[Any]], Iterable[Any]]
"""Wraps the list of what is to be done, to show how far it is."""


@contextmanager
def seal_lock(database: Database, patience: int | None) -> Iterator[bool]:
    """Return whether this thread may seal; no other one does meanwhile.

    Sealing ends where the database cannot be written to: an answer needs no summaries. Without
    a patience, summaries are all that is wanted, and ServiceUnavailable is raised.
    """
    if not database.sealing.acquire(blocking=False):
        yield False
        return
    try:
        yield True
    except ServiceUnavailable as error:
        if patience is None:
            raise
        logger.info("summaries are not stored: %s", error.description)
    finally:
        database.sealing.release()


@contextmanager
def left_to_questions() -> Iterator[None]:
    """Say in a ServiceUnavailable what holds when not all summaries could be made."""
    try:
        yield
    except ServiceUnavailable as error:
        reason, _, _ = str(error.description).partition(";")
        raise ServiceUnavailable(
            f"not all summaries were made, since {reason}: answers are right without them, and a "
            "question makes those that it needs; run it again to make all"
        ) from error.__cause__
