"""How summaries are sealed: by one thread of a process at a time, without blocking writes."""

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
"""For how many seconds a query waits for other writes before it goes on without sealing."""

Progress = Callable[[list[Any]], Iterable[Any]]
"""Wraps a list of work to do, to show the progress through it."""


@contextmanager
def seal_lock(database: Database, patience: int | None) -> Iterator[bool]:
    """Yield whether this thread may seal; if so, no other thread of the process can meanwhile.

    If the database cannot be written to, sealing ends silently, since an answer needs no summaries.
    Without a patience, the summaries are the purpose, so ServiceUnavailable is raised instead.
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
    """Make a summary without blocking writes, and store it unless its rows changed meanwhile.

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
    """Explain in a ServiceUnavailable what it means that not all summaries could be made."""
    try:
        yield
    except ServiceUnavailable as error:
        reason, _, _ = str(error.description).partition(";")
        raise ServiceUnavailable(
            f"not all summaries were made, since {reason}: answers are correct without them, and a "
            "query makes those that it needs; run this command again to make all"
        ) from error.__cause__
