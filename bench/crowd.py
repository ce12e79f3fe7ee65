"""The times of a reader during a bulk import, and the memory of the server."""

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from app.days import Calendar, Clock
from app.demo import make_events

from .data import DAY
from .measuring import ms, seconds, times, write
from .processes import BASE, Client, memory, serving

BEFORE, IMPORTED, BATCH = 100_000, 1_000_000, 10_000
DAYS = 90


def run() -> None:
    """Measure a reader alone and during an import of a million events, and the server's memory."""
    now = Clock().now()
    with TemporaryDirectory() as folder, serving(Path(folder, "ours.db")) as (url, process_id):
        _feed(url, now, seed=1, events=BEFORE)
        with Client(url) as client:
            paths = _paths(now)
            for path in paths:
                client.send("GET", path)
            alone = _latencies(client, paths, lambda taken: sum(taken) < 5)
            feeder = get_context("spawn").Process(target=_feed, args=(url, now, 2, IMPORTED))
            feeder.start()
            beside = _latencies(client, paths, lambda _: feeder.is_alive())
            client.send("GET", f"{BASE}/metrics/page-statistics?{_range(now, DAYS)}")
        most = memory(process_id, "VmHWM")
    rows = []
    for name, quantile in (("median", 50), ("p99", 99)):
        one, other = (statistics.quantiles(taken, n=100)[quantile - 1] for taken in (alone, beside))
        rows.append([f"{name} of a read", ms(one), ms(other), times(other / one)])
    rows.append(["peak memory of the server", "", f"{most / 1e6:.0f} MB", ""])
    write(
        "crowd",
        "Crowd",
        f"""
One reader, over one connection to `serve` as a user starts it, requests the histories of a user, a
week of active users, and a day of page statistics in turns: alone, and while another process posts
{IMPORTED:,} events in calls of {BATCH:,}. The memory is the peak of the server after the import and
a query over all {DAYS} days.
""",
        ["", "alone", "during the import", "ratio"],
        rows,
    )


def _feed(url: str, now: int, seed: int, events: int) -> None:
    made = make_events(Calendar("UTC"), now, events=events, days=DAYS, seed=seed)
    with Client(url) as client:
        while batch := list(islice(made, BATCH)):
            body = "\n".join(map(json.dumps, batch)).encode()
            client.send("POST", f"{BASE}/ingest/events", body, "application/x-ndjson")


def _paths(now: int) -> list[str]:
    week = time.strftime("%Y-%m-%d", time.gmtime(now - 7 * DAY))
    made = make_events(Calendar("UTC"), now, events=BEFORE, days=DAYS, seed=1)
    users = {event["user_id"] for event in made if event["type"] == "userinfo"}
    return [
        path
        for user in sorted(users)[:50]
        for path in (
            f"{BASE}/users/{user}/behavior-histories",
            f"{BASE}/active-users?type=daily&date_from={week}",
            f"{BASE}/metrics/page-statistics?{_range(now - DAY, 1)}",
        )
    ]


def _range(now: int, days: int) -> str:
    return f"start_timestamp={now - days * DAY}&end_timestamp={now}"


def _latencies(
    client: Client, paths: list[str], going: Callable[[list[float]], bool]
) -> list[float]:
    taken: list[float] = []
    while going(taken):
        path = paths[len(taken) % len(paths)]
        taken.append(seconds(partial(client.send, "GET", path)))
    return taken
