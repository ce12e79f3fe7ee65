"""Metrics for operators: counts and times since the start, in Prometheus' format."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from http import HTTPStatus
from itertools import accumulate
from threading import Lock
from typing import TYPE_CHECKING

from flask import Flask, Response, current_app, g, request

from ..auth import public
from ..config import Settings
from ..storage.audit_log import latest_actions
from ..summaries.spans import count_by_level
from ..web.browser_security import require_loopback
from ..web.context import DATABASE
from .histogram import BUCKETS, Histogram

if TYPE_CHECKING:
    from prometheus_client import Metric


class Monitor:
    """Counts the requests of an application."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.requests: Counter[tuple[str, int]] = Counter()
        self.durations: defaultdict[str, Histogram] = defaultdict(Histogram)
        self.records: Counter[str] = Counter()
        self.write_waits = Histogram()

    def note(self, response: Response) -> Response:
        """Count an answered request."""
        if response.status_code == HTTPStatus.CONTINUE:
            return response
        view = current_app.view_functions.get(request.endpoint or "")
        operation = getattr(view, "operation_id", None) or "other"
        with self._lock:
            self.requests[operation, response.status_code] += 1
            durations = self.durations[operation]
            if "report" in g:
                self.records.update(g.report)
        if "started" in g:
            durations.observe(time.perf_counter() - g.started)
        return response

    def collect(self) -> "Iterator[Metric]":
        """Yield the counts since the start, and the current state of the database."""
        # The imports from this library take 8 ms, so they wait for the first request.
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        database = DATABASE.current()
        with self._lock:
            requests, records = dict(self.requests), dict(self.records)
            durations = dict(self.durations)
        counted = CounterMetricFamily(
            "saasus_analysis_requests",
            "Requests that were answered",
            labels=["operation", "status"],
        )
        for (operation, status), count in sorted(requests.items()):
            counted.add_metric([operation, str(status)], count)
        yield counted
        yield _histogram("request_seconds", "Time to an answer", durations)
        fed = CounterMetricFamily(
            "saasus_analysis_ingested_records", "Records that were fed", labels=["outcome"]
        )
        for outcome, count in sorted(records.items()):
            fed.add_metric([outcome], count)
        yield fed
        waits = {"": self.write_waits}
        yield _histogram("write_wait_seconds", "Time that writes waited for others", waits)
        held = database.wal_held()  # before the sizes, because this can make the file larger
        size = database.path.stat().st_size if database.path.exists() else 0
        for name, of_file in (("database", size), ("wal", database.wal_bytes())):
            yield GaugeMetricFamily(f"saasus_analysis_{name}_bytes", "Size of the file", of_file)
        yield GaugeMetricFamily(
            "saasus_analysis_wal_held_seconds",
            "How long a reader has kept the -wal from being checkpointed into the database",
            held,
        )
        spans = GaugeMetricFamily(
            "saasus_analysis_page_summaries", "Sealed spans", labels=["level"]
        )
        latest = GaugeMetricFamily(
            "saasus_analysis_last_action_timestamp_seconds",
            "When the database was last backed up, pruned or erased from",
            labels=["action"],
        )
        with database.reading() as connection:
            for level, count in count_by_level(connection):
                spans.add_metric([str(level)], count)
            for action, at in latest_actions(connection).items():
                latest.add_metric([action], at)
        yield spans
        yield latest


def init_app(app: Flask, settings: Settings) -> None:
    """Count the requests of an application and serve `/metrics`, unless `metrics` is off."""
    if settings.metrics == "off":
        return
    monitor = Monitor()
    app.after_request(monitor.note)
    DATABASE.of(app).on_write_wait = monitor.write_waits.observe

    @app.get("/metrics")
    def metrics() -> Response:
        if settings.metrics == "loopback":
            require_loopback("/metrics is shown to clients on the server's own machine only")
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

        registry = CollectorRegistry()
        registry.register(monitor)
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    if settings.metrics == "key":
        metrics.scope = "read"  # type: ignore[attr-defined]
    else:
        public(metrics)


def _histogram(name: str, about: str, histograms: dict[str, Histogram]) -> "Metric":
    from prometheus_client.core import HistogramMetricFamily

    labels = ["operation"] if "" not in histograms else []
    family = HistogramMetricFamily(f"saasus_analysis_{name}", about, labels=labels)
    bounds = [*map(str, BUCKETS), "+Inf"]
    for label, histogram in sorted(histograms.items()):
        counts, total = histogram.read()
        buckets = list(zip(bounds, accumulate(counts), strict=True))
        family.add_metric([label] if labels else [], buckets, total)
    return family
