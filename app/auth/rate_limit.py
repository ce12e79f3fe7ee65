"""How often something may be done: rates in the notation of flask-limiter, counted in memory.

This module loads `limits`, which a plain start does without: load it where a rate is used.
"""

import math
from threading import Lock

from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from ..config_values import parse_rate
from ..days import Clock

REMEMBERED = 10_000
"""How many counts are kept at once; where there would be more, counting begins anew."""


class Rate:
    """Counts what each of many does, in windows that begin with the first count.

    Time is that of the system, as `limits` has it.
    """

    def __init__(self, notation: str) -> None:
        self._limits = parse_rate(notation)
        # The storage is not safe to be used by threads at once: it can start a timer twice.
        self._lock = Lock()
        self._begin()

    def wait(self, name: str) -> int:
        """Return after how many seconds one more of a name is within the rate; 0: now.

        They are whole, and up to one more than it takes.
        """
        with self._lock:
            return self._wait(name)

    def take(self, name: str) -> int:
        """Count one more of a name if that is within the rate; return what `wait` does before."""
        with self._lock:
            seconds = self._wait(name)
            if not seconds:
                self._count(name)
            return seconds

    def _begin(self) -> None:
        self._storage = MemoryStorage()
        self._windows = FixedWindowRateLimiter(self._storage)

    def _wait(self, name: str) -> int:
        ends = [
            self._windows.get_window_stats(limit, name).reset_time
            for limit in self._limits
            if not self._windows.test(limit, name)
        ]
        return max(1, math.ceil(max(ends) - Clock().now())) if ends else 0

    def _count(self, name: str) -> None:
        if len(self._storage.storage) >= REMEMBERED:
            self._begin()
        for limit in self._limits:
            self._windows.hit(limit, name)
