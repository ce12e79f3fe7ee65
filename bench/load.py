"""Many connections, compared with the same application on waitress with its own loop and threads.

waitress is measured with 8 threads, as `serve` has them, and with one: threads that write take the
interpreter and the lock of the database from each other, which can cost it most of its speed.
"""

import http.client
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from .attacks import GIVE_UP, KINDS, asked_beside
from .measuring import ms, times, write
from .processes import BASE, memory, running, serving
from .rates import fill, free_port, wrk

CONNECTIONS, SECONDS, WARM_UP = 200, 60, 5
NUMBERS, NUMBER_SECONDS, REPETITIONS = (1, 16, 50, 200, 500), 2, 3
ATTACK_SECONDS = 5
ATTACKS = [(kind, number) for kind in ("readers", "chunks", "mixed") for number in (8, 50, 200)]
ATTACKS += [("bodies", 200), ("questions", 30)]
Start = Callable[[Path], AbstractContextManager[tuple[str, int | None]]]


@dataclass
class Load:
    """The results of the requests to one server."""

    rate: float
    statuses: Counter[int]
    quantiles: list[float]
    memory: str

    @property
    def others(self) -> str:
        others = {status: count for status, count in self.statuses.items() if status != 200}
        return ", ".join(f"{count} of {status}" for status, count in others.items()) or "none"


def run() -> None:
    """Measure attacks, a load, and numbers of connections."""
    _run_attacks()
    _run_load(CONNECTIONS, SECONDS)
    _run_numbers()


def _run_load(connections: int, duration: float) -> None:
    with TemporaryDirectory() as folder:
        loads = [
            _load(start, Path(folder, f"{name}.db"), connections, duration)
            for name, start in SERVERS.items()
        ]
    rows: list[list[object]] = [
        _beside("requests", [f"{one.rate:,.0f}/s" for one in loads], [one.rate for one in loads]),
        ["responses other than 200", *(one.others for one in loads)],
    ]
    for name, at in (("median", 499), ("p99", 989), ("p99.9", 998)):
        taken = [one.quantiles[at] for one in loads]
        rows.append(_beside(name, list(map(ms, taken)), taken))
    rows.append(["memory before, after", *(one.memory for one in loads)])
    write(
        "load",
        "Load",
        f"""
{connections} connections for {duration:.0f} seconds, each with one request after the other. Half of
the requests are reads (active users, a user's histories) and half are writes (a number, a user's
day), each write a transaction on the disk (`synchronous=full`). The clients share the machine with
the server. The other columns show the same application on waitress in its default form, with 8
threads and with one; in parentheses, the ratio of ours to theirs. Its 8 threads are slow here,
since each write waits for the lock of the database in its own thread, and the threads constantly
take the interpreter from each other; a single thread waits for no other. Ours answers waiting
writes in one thread, with one commit.
""",
        ["", "ours", "waitress, 8 threads", "waitress, 1 thread"],
        rows,
        ["waitress"],
    )


def _beside(name: str, shown: list[str], figures: list[float]) -> list[object]:
    """Return a row with our figure, and the others with the ratio of ours to theirs."""
    others = zip(shown[1:], figures[1:], strict=True)
    return [name, shown[0], *(f"{text} ({times(figures[0] / figure)})" for text, figure in others)]


def _load(start: Start, database: Path, connections: int, duration: float) -> Load:
    with start(database) as (url, process_id), ThreadPoolExecutor(connections) as pool:
        netloc = urlsplit(url).netloc
        _ask(netloc, 0, time.monotonic() + WARM_UP)
        early = memory(process_id, "VmRSS") if process_id else 0
        until = time.monotonic() + duration
        asked = [pool.submit(_ask, netloc, number, until) for number in range(connections)]
        statuses: Counter[int] = Counter()
        taken = []
        for future in asked:
            found, seconds = future.result()
            statuses += found
            taken += seconds
        late = memory(process_id, "VmRSS") if process_id else 0
    grown = f"{early / 1e6:.0f} MB, {late / 1e6:.0f} MB" if process_id else ""
    return Load(len(taken) / duration, statuses, statistics.quantiles(taken, n=1000), grown)


def _run_numbers() -> None:
    rates: dict[tuple[str, str, int], list[float]] = {}
    with TemporaryDirectory() as folder, ExitStack() as stack:
        urls = {
            name: stack.enter_context(start(Path(folder, f"{name}.db")))[0]
            for name, start in SERVERS.items()
        }
        for url in urls.values():
            fill(url)
        for repetition in range(REPETITIONS + 1):
            for number in NUMBERS:
                for method in ("GET", "PUT"):
                    for name, url in urls.items():
                        rate = wrk(url + BASE, method, number, NUMBER_SECONDS)
                        if repetition:
                            rates.setdefault((name, method, number), []).append(rate)
    rows = []
    for number in NUMBERS:
        row: list[object] = [number]
        for method in ("GET", "PUT"):
            ours, *plain = (statistics.median(rates[name, method, number]) for name in SERVERS)
            row.append(f"{ours:,.0f}/s")
            row += [f"{rate:,.0f}/s ({ours / rate:.2f})" for rate in plain]
        rows.append(row)
    write(
        "load",
        "Connections",
        f"""
`wrk` with this number of connections for {NUMBER_SECONDS} seconds at a time, in turns, requests a
week of active users of one tenant, and sets one value. The other columns show the same application
on waitress in its default form, with 8 threads and with one; in parentheses, the ratio of ours to
theirs.
""",
        [
            *("connections", "`GET`", "waitress, 8 threads", "waitress, 1 thread"),
            *("`PUT`", "waitress, 8 threads", "waitress, 1 thread"),
        ],
        rows,
        ["waitress"],
    )


def _run_attacks() -> None:
    """Measure the health checks of each server while clients attack it."""
    rows = []
    with TemporaryDirectory() as folder:
        for kind, number in ATTACKS:
            row: list[object] = [f"{number} {KINDS[kind]}"]
            for name, start in list(SERVERS.items())[:2]:
                with start(Path(folder, f"{kind}{number}{name}.db")) as (url, _):
                    taken = asked_beside(url, kind, number, ATTACK_SECONDS)
                worst = statistics.quantiles(taken, n=100)[98]
                row += [ms(worst), sum(seconds >= GIVE_UP for seconds in taken)]
            rows.append(row)
    write(
        "load",
        "Attacks",
        f"""
The p99 of `GET /healthz`, each on its own connection, during {ATTACK_SECONDS} seconds in which
other clients attack the server, and how many requests got no response within {GIVE_UP} seconds. The
attackers have receive buffers of 4 kB, and share the machine's two cores with the server. The other
columns show the same application on waitress in its default form.
""",
        ["attackers", "p99, ours", "no response", "p99, plain waitress", "no response"],
        rows,
        ["waitress"],
    )


def _plain(threads: int) -> Start:
    """Return a context manager that runs the application on plain waitress and yields its URL."""

    @contextmanager
    def start(database: Path) -> Iterator[tuple[str, int | None]]:
        port = free_port()
        command = [sys.executable, "-m", "bench.plain", str(port), str(threads)]
        environment = {"ANALYSIS_DATABASE": str(database), "ANALYSIS_AUTH": "off"}
        with running(command, port, environment) as url:
            yield url, None

    return start


SERVERS: dict[str, Start] = {"ours": serving, "plain": _plain(8), "one": _plain(1)}


def _ask(netloc: str, number: int, until: float) -> tuple[Counter[int], list[float]]:
    """Send requests on one connection until a time; return the statuses and the response times."""
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
