"""The data of a namespace: a SQLite database in memory, copied and put back as a whole."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from threading import Lock, RLock

from ..days import Calendar
from ..storage import fed_events
from ..storage.connections import open_in_memory
from ..storage.database import Database
from ..storage.migrations import prepare
from ..storage.transactions import transaction, transient_errors
from .clock import ClockSetting, SettableClock


@dataclass(frozen=True)
class Snapshot:
    """All that a namespace holds at one moment. Cheap to put back, any number of times."""

    data: bytes
    calendar: Calendar
    clock: ClockSetting = ClockSetting()


class MemoryDatabase(Database):
    """A database in memory on one connection, which whoever holds `turn` has alone.

    A request holds it from before its view to its answer, so that each is one step for all others.
    """

    def __init__(
        self,
        image: Snapshot,
        clock: SettableClock,
        *,
        accept_ahead: int | None = None,
        accept_from: date | None = None,
    ) -> None:
        self.path = Path(":memory:")
        self.clock: SettableClock = clock
        self.accept_ahead, self.accept_from = accept_ahead, accept_from
        self.sealing = Lock()
        self.turn = RLock()
        self._connection = open_in_memory()
        self.restore(image)

    def capture(self) -> Snapshot:
        """Return all that is here now."""
        with self.turn:
            return Snapshot(self._connection.serialize(), self.calendar, self.clock.setting)

    def restore(self, image: Snapshot) -> None:
        """Put back what was captured, here or in another database."""
        with self.turn:
            self._connection.deserialize(image.data)
            self.calendar = image.calendar
            self.clock.setting = image.clock

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with self.turn, transient_errors():
            yield self._connection

    @contextmanager
    def writing(self, patience: float | None = None) -> Iterator[sqlite3.Connection]:
        with self.turn, transient_errors(), transaction(self._connection):
            yield self._connection

    def close(self) -> None:
        with self.turn:
            self._connection.close()


@lru_cache(maxsize=64)
def blank(time_zone: str, keep_query: str, collapse_ids: str) -> Snapshot:
    """Return a database without data that was made with these settings."""
    fixed = {"time_zone": time_zone, "keep_query": keep_query, "collapse_ids": collapse_ids}
    connection = open_in_memory()
    try:
        prepare(connection, Path(":memory:"), fixed)
        fed_events.create(connection)
        return Snapshot(connection.serialize(), Calendar(time_zone))
    finally:
        connection.close()
