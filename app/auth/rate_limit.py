"""Rate limits in the notation of flask-limiter, counted in memory.

This module imports `limits`, which slows the start: import it only where a rate is used.
"""

import math
from threading import Lock

from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from ..config_values import parse_rate
from ..days import Clock

REMEMBERED = 10_000
"""How many counts are kept at once; when there would be more, all counts are reset."""


class Rate:
    """Counts requests by name (a key or an address), in windows that begin with the first request.

    It uses the system time, because `limits` does.
    """

    def __init__(self, notation: str) -> None:
        self._limits = parse_rate(notation)
        # The storage is not thread-safe: it can start a timer twice.
        self._lock = Lock()
        self._begin()

    def wait(self, name: str) -> int:
        """Return how many seconds until another request of a name is within the rate; 0: now.

        They are rounded up, to at most one second too many.
        """
        with self._lock:
            return self._wait(name)

    def take(self, name: str) -> int:
        """Count a request of a name if it is within the rate; return the seconds to wait if not.

        The seconds are those of `wait`; 0 if the request was counted.
        """
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
