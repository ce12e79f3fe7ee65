"""Many connections at the limit of the server, for a minute: errors, latencies, memory."""

import http.client
import json
import statistics
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from .measuring import ms, write
from .processes import BASE, memory, serving

CONNECTIONS, SECONDS, WARM_UP = 200, 60, 10


def run(connections: int = CONNECTIONS, duration: float = SECONDS) -> None:
    """Measure it."""
    statuses: Counter[int] = Counter()
    with TemporaryDirectory() as folder, serving(Path(folder, "load.db")) as (url, process_id):
        netloc = urlsplit(url).netloc
        _ask(netloc, 0, time.monotonic() + WARM_UP)
        early = memory(process_id, "VmRSS")
        until = time.monotonic() + duration
        with ThreadPoolExecutor(connections) as pool:
            asked = [pool.submit(_ask, netloc, number, until) for number in range(connections)]
        taken = []
        for future in asked:
            found, times = future.result()
            statuses += found
            taken += times
        late = memory(process_id, "VmRSS")
    quantiles = statistics.quantiles(taken, n=1000)
    others = ", ".join(
        f"{count} of {status}" for status, count in statuses.items() if status != 200
    )
    write(
        "load",
        "Load",
        f"""
{connections} connections for {duration:.0f} seconds, each with one request after the other: half
of them reads (active users, a user's histories), half writes (a number, a user's day), each write a
transaction on the disk (`synchronous=full`). The clients share the machine with the server.
""",
        ["", ""],
        [
            ["requests answered", f"{len(taken):,} ({len(taken) / duration:,.0f}/s)"],
            ["of them not with 200", others or "none"],
            ["median", ms(quantiles[499])],
            ["p99", ms(quantiles[989])],
            ["p99.9", ms(quantiles[998])],
            ["memory before, after", f"{early / 1e6:.0f} MB, {late / 1e6:.0f} MB"],
        ],
        ["waitress"],
    )


def _ask(netloc: str, number: int, until: float) -> tuple[Counter[int], list[float]]:
    """Send requests on one connection until a time; return statuses and times to an answer."""
    connection = http.client.HTTPConnection(netloc, timeout=60)
    statuses: Counter[int] = Counter()
    taken = []
    now = int(time.time())
    day = {"timestamp": now, "user_id": f"u{number}"}
    histories = [{"timestamp": now, "referer": f"/{entry}"} for entry in range(5)]
    users = {"type": "daily", "date": "2026-05-19", "tenant_id": f"t{number % 20}", "env_id": 3}
    requests = [
        ("GET", "/active-users?type=daily&date_from=2026-05-19&tenant_id=t1", None),
        ("PUT", "/active-users", json.dumps(users | {"active_users": number})),
        ("GET", f"/users/u{number}/behavior-histories", None),
        ("PUT", "/user-behavior-day", json.dumps(day | {"histories": histories})),
    ]
    turn = number
    while time.monotonic() < until:
        method, path, body = requests[turn % len(requests)]
        turn += 1
        headers = {"Content-Type": "application/json"} if body else {}
        begin = time.perf_counter()
        connection.request(method, BASE + path, body, headers)
        answer = connection.getresponse()
        answer.read()
        taken.append(time.perf_counter() - begin)
        statuses[answer.status] += 1
    connection.close()
    return statuses, taken
