"""Namespaces: isolated sets of data within one process."""

import re
from threading import Lock
from typing import Any

from ..auth.signature import SCHEME, Credentials
from ..errors import InvalidRequest, NotFound
from .clock import SettableClock
from .faults import Faults
from .journal import Journal
from .memory_database import MemoryDatabase, Snapshot
from .schemas import NAME, is_name

DEFAULT = "default"
SNAPSHOTS = 100
"""The most snapshots of a namespace."""

_KEY = re.compile(f"ns-({NAME})")


class Namespace:
    """The isolated environment of one test: data, clock, seed, snapshots, faults and journal."""

    def __init__(self, seed: Snapshot, **accepted: Any) -> None:
        self.seed = seed
        self.database = MemoryDatabase(seed, SettableClock(), **accepted)
        self.turn = self.database.turn
        """Lock that each request holds, so that it sees a consistent state."""
        self.faults = Faults()
        self.journal = Journal()
        self.snapshots: dict[str, Snapshot] = {}
        self.life: int | None = 0
        """A number that each reset changes; None after the namespace is deleted."""

    def reset(self) -> None:
        """Restore the seed, remove all faults, and clear the journal. Snapshots stay."""
        with self.turn:
            self.life = (self.life or 0) + 1
            self.database.restore(self.seed)
            self.faults.clear()
            self.journal.clear()

    def save(self, name: str) -> None:
        """Save a snapshot. Raises InvalidRequest if there are too many."""
        if name not in self.snapshots and len(self.snapshots) >= SNAPSHOTS:
            raise InvalidRequest(f"there are already {SNAPSHOTS} snapshots: delete some")
        self.snapshots[name] = self.database.capture()

    def snapshot(self, name: str) -> Snapshot:
        """Return a snapshot. Raises NotFound if it does not exist."""
        if name not in self.snapshots:
            raise NotFound(f"there is no snapshot {name}")
        return self.snapshots[name]

    def close(self) -> None:
        """Release all resources, after the current request has finished."""
        with self.turn:
            self.life = None
            self.faults.clear()
            self.database.close()


class Namespaces:
    """The namespaces of a process; each is created when a request first names it."""

    def __init__(self, seed: Snapshot, limit: int, **accepted: Any) -> None:
        self.limit = limit
        self._accepted = accepted
        self._seed = seed
        self._lock = Lock()
        self._named: dict[str, Namespace] = {}

    def get(self, name: str) -> Namespace:
        """Return a namespace; create it if it does not exist. Raises InvalidRequest as `check`."""
        found = self._named.get(name)
        if found:
            return found
        with self._lock:
            if name not in self._named:
                self.check(name)
                self._named[name] = Namespace(self._seed, **self._accepted)
            return self._named[name]

    def check(self, name: str) -> None:
        """Raise InvalidRequest if the name is invalid, or if there are too many namespaces."""
        if not is_name(name):
            raise InvalidRequest(
                "the namespace must have 1 to 100 characters of A-Z a-z 0-9 . _ - and begin with a "
                "letter or digit"
            )
        if name not in self._named and len(self._named) >= self.limit:
            raise InvalidRequest(
                f"there are already {self.limit} namespaces, so {name} cannot be created: "
                "DELETE /__double/namespaces/{name} deletes one, and "
                "ANALYSIS_DOUBLE_NAMESPACES sets the limit"
            )

    def has(self, name: str) -> bool:
        """Return whether a namespace exists."""
        return name in self._named

    def names(self) -> list[str]:
        """Return the names of the existing namespaces, sorted."""
        return sorted(self._named)

    def delete(self, name: str) -> None:
        """Delete a namespace; a later request creates a new one. Raises NotFound if none exists."""
        with self._lock:
            deleted = self._named.pop(name, None)
        if not deleted:
            raise NotFound(f"there is no namespace {name}")
        deleted.close()

    def close(self) -> None:
        """Delete all namespaces."""
        for name in self.names():
            self.delete(name)


def name_in(authorization: str) -> str | None:
    """Return the name in a token or API key `ns-NAME`; None for any other key."""
    scheme, _, rest = authorization.strip().partition(" ")
    signed = Credentials.parse(rest) if scheme.upper() == SCHEME else None
    key = signed.api_key if signed else rest.strip() if scheme.lower() == "bearer" else ""
    found = _KEY.fullmatch(key)
    return found[1] if found else None
