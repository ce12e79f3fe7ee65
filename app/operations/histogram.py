"""Histograms of times, with the buckets that Prometheus needs."""

from bisect import bisect_left
from threading import Lock

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of the buckets in seconds; one more bucket holds longer times."""


class Histogram:
    """The number of times in each bucket, and the sum of all times."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts = [0] * (len(BUCKETS) + 1)
        self._total = 0.0

    def observe(self, seconds: float) -> None:
        """Count a time."""
        bucket = bisect_left(BUCKETS, seconds)
        with self._lock:
            self._counts[bucket] += 1
            self._total += seconds

    def read(self) -> tuple[list[int], float]:
        """Return the counts by bucket and the sum of all times."""
        with self._lock:
            return list(self._counts), self._total
