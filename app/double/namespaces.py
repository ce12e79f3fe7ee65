"""Namespaces: complete isolation inside one process."""

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
"""How many snapshots a namespace can have."""

_KEY = re.compile(f"ns-({NAME})")


class Namespace:
    """What one test has for itself: data, clock, seed, snapshots, faults and journal."""

    def __init__(self, seed: Snapshot, **accepted: Any) -> None:
        self.seed = seed
        self.database = MemoryDatabase(seed, SettableClock(), **accepted)
        self.turn = self.database.turn
        """Held through each request, so that all of it sees one state."""
        self.faults = Faults()
        self.journal = Journal()
        self.snapshots: dict[str, Snapshot] = {}
        self.life: int | None = 0
        """Another number after each reset; None: it is deleted."""

    def reset(self) -> None:
        """Go back to the seed, without faults and with an empty journal. Snapshots stay."""
        with self.turn:
            self.life = (self.life or 0) + 1
            self.database.restore(self.seed)
            self.faults.clear()
            self.journal.clear()

    def save(self, name: str) -> None:
        """Take a snapshot. Raises InvalidRequest for one too many."""
        if name not in self.snapshots and len(self.snapshots) >= SNAPSHOTS:
            raise InvalidRequest(f"there are {SNAPSHOTS} snapshots already: delete some")
        self.snapshots[name] = self.database.capture()

    def snapshot(self, name: str) -> Snapshot:
        """Return a snapshot. Raises NotFound."""
        if name not in self.snapshots:
            raise NotFound(f"there is no snapshot {name}")
        return self.snapshots[name]

    def close(self) -> None:
        """Let go of everything, once no request has its turn."""
        with self.turn:
            self.life = None
            self.faults.clear()
            self.database.close()


class Namespaces:
    """The namespaces of a process, each made when it is first named."""

    def __init__(self, seed: Snapshot, limit: int, **accepted: Any) -> None:
        self.limit = limit
        self._accepted = accepted
        self._seed = seed
        self._lock = Lock()
        self._named: dict[str, Namespace] = {}

    def get(self, name: str) -> Namespace:
        """Return a namespace, which is made if it is not there. Raises as `check` does."""
        found = self._named.get(name)
        if found:
            return found
        with self._lock:
            if name not in self._named:
                self.check(name)
                self._named[name] = Namespace(self._seed, **self._accepted)
            return self._named[name]

    def check(self, name: str) -> None:
        """Raise InvalidRequest for a bad name, and for one too many."""
        if not is_name(name):
            raise InvalidRequest(
                "the namespace must be 1 to 100 of A-Z a-z 0-9 . _ - and begin with one of the "
                "first 62"
            )
        if name not in self._named and len(self._named) >= self.limit:
            raise InvalidRequest(
                f"there are {self.limit} namespaces already, so {name} cannot be made: "
                "DELETE /__double/namespaces/{name} deletes one, and "
                "ANALYSIS_DOUBLE_NAMESPACES is the limit"
            )

    def has(self, name: str) -> bool:
        """Return whether a namespace is there."""
        return name in self._named

    def names(self) -> list[str]:
        """Return the names of those that are there."""
        return sorted(self._named)

    def delete(self, name: str) -> None:
        """Delete a namespace; when it is named again, it is a new one. Raises NotFound."""
        with self._lock:
            deleted = self._named.pop(name, None)
        if not deleted:
            raise NotFound(f"there is no namespace {name}")
        deleted.close()

    def close(self) -> None:
        """Let go of all of them."""
        for name in self.names():
            self.delete(name)


def name_in(authorization: str) -> str | None:
    """Return the name in a token or API key `ns-NAME`, or None if it is no such key."""
    scheme, _, rest = authorization.strip().partition(" ")
    signed = Credentials.parse(rest) if scheme.upper() == SCHEME else None
    key = signed.api_key if signed else rest.strip() if scheme.lower() == "bearer" else ""
    found = _KEY.fullmatch(key)
    return found[1] if found else None
