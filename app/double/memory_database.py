"""The data of a namespace: a SQLite database in memory, saved and restored as a whole."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from threading import Lock, RLock

from ..days import Calendar
from ..storage import double_events
from ..storage.connections import open_in_memory
from ..storage.database import Database
from ..storage.migrations import prepare
from ..storage.transactions import transaction, transient_errors
from .clock import ClockSetting, SettableClock


@dataclass(frozen=True)
class Snapshot:
    """All data of a namespace at one moment. Restoring it is cheap, any number of times."""

    data: bytes
    calendar: Calendar
    clock: ClockSetting = ClockSetting()


class MemoryDatabase(Database):
    """A database in memory with a single connection; the lock `turn` gives exclusive access.

    A request holds the lock from before its view until its response, so requests are atomic.
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
        """Return a snapshot of all data."""
        with self.turn:
            return Snapshot(self._connection.serialize(), self.calendar, self.clock.setting)

    def restore(self, image: Snapshot) -> None:
        """Replace all data by a snapshot of this or another database."""
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
    """Return a snapshot without data of a database with these settings."""
    fixed = {"time_zone": time_zone, "keep_query": keep_query, "collapse_ids": collapse_ids}
    connection = open_in_memory()
    try:
        prepare(connection, Path(":memory:"), fixed)
        double_events.create(connection)
        return Snapshot(connection.serialize(), Calendar(time_zone))
    finally:
        connection.close()
