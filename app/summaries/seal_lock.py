"""How summaries are sealed: by one thread of a process at a time, beside those who write."""

import logging
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ..errors import ServiceUnavailable
from ..storage.database import Database

logger = logging.getLogger("saasus_analysis.summaries")

Made = TypeVar("Made")

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


def seal_one(
    database: Database,
    patience: int | None,
    begin: Callable[[sqlite3.Connection, int], None],
    make: Callable[[sqlite3.Connection], Made],
    end: Callable[[sqlite3.Connection, int, Made], None],
) -> None:
    """Make a summary beside those who write, and store it unless its rows changed meanwhile.

    `begin` stores a token for the summary. A write of its rows deletes the token in the same
    transaction. `end` stores what was made if the token is still there.
    """
    token = secrets.randbits(63)
    with database.writing(patience) as connection:
        begin(connection, token)
    with database.reading() as connection:
        made = make(connection)
    with database.writing(patience) as connection:
        end(connection, token, made)


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
