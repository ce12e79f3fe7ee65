"""The test double compared with others: start, a small job, control, fixture, memory, fidelity.

Needs the peers that are listed at the top of doubles.py.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from . import fidelity
from .data import DAY
from .doubles import NUMBER, Peer, make_bare, make_mocks, make_moto, make_ours, started
from .measuring import Actions, in_turns, ms, times, write
from .processes import BASE, ROOT, Client, memory

REPETITIONS = 7
REQUESTS = 100
CONTROLS = 200
ENTRIES = 10_000
FIXTURE, TESTS = "saasus_analysis", 300
GOALS = ["1 ms", "1 ms", "10 ms", "10 ms", "2 ms"]
CONNECTIONS = 4
EARLY, LATE = 50_000, 500_000

JSON = "application/json"
ACTIVE_USERS, BEHAVIOR_DAY = f"{BASE}/active-users", f"{BASE}/user-behavior-day"
TODAY = int(time.time()) // DAY * DAY


def run() -> None:
    """Measure everything."""
    with TemporaryDirectory() as folder:
        _measure_starts(Path(folder))
        _measure_control(Path(folder))
        _measure_memory()
        fidelity.run(Path(folder))


def _measure_starts(folder: Path) -> None:
    peers = [make_ours(), make_bare(folder), make_moto(), *make_mocks(folder, keys=False)]
    taken: dict[str, list[tuple[float, float]]] = {peer.name: [] for peer in peers}
    for repetition in range(REPETITIONS + 1):
        for peer in peers:
            measured = _job(peer)
            if repetition:
                taken[peer.name].append(measured)
    medians = {
        name: [statistics.median(one) for one in zip(*jobs, strict=True)]
        for name, jobs in taken.items()
    }
    rows = [
        [name, *(_beside(one, ours) for one, ours in zip(median, medians["ours"], strict=True))]
        for name, median in medians.items()
    ]
    write(
        "double",
        "A double's start",
        f"""
The time from the start of the process to its first 200 for `GET /active-users`, requested every
2 ms, and to the end of {REQUESTS} `PUT` and {REQUESTS} `GET` after it on one connection, as a small
CI job sends them. The mocks have a description of the 8 official operations that requires no key,
and WireMock has a stub for each of them. moto's server has another API, and gets requests for its
own state and settings. In parentheses: how many times as long as ours it takes.
""",
        ["server", "first response", f"and {REQUESTS} + {REQUESTS} requests"],
        rows,
        ["flask", "waitress", "connexion"],
    )


def _beside(taken: float, ours: float) -> str:
    return ms(taken) if taken == ours else f"{ms(taken)} ({times(taken / ours)})"


def _job(peer: Peer) -> tuple[float, float]:
    """Return the seconds until a server first answers, and until a small job is done."""
    method, path, document = peer.put
    body = json.dumps(document).encode()
    begin = time.perf_counter()
    with started(peer) as (url, _):
        first = time.perf_counter() - begin
        with Client(url) as client:
            for _ in range(REQUESTS):
                client.send(method, path, body, JSON)
            for _ in range(REQUESTS):
                client.send("GET", peer.get)
            return first, time.perf_counter() - begin


def _measure_control(folder: Path) -> None:
    seed = {
        "events": [
            {"type": "userinfo", "timestamp": TODAY, "user_id": f"u{number}", "tenant_id": "acme"}
            for number in range(10)
        ],
        "active_users": [NUMBER | {"env_id": env_id} for env_id in range(5)],
        "histories": [_day(f"u{number}", 1) for number in range(2)],
    }
    names = count()
    with started(make_ours("--seed", json.dumps(seed))) as (url, _), Client(url) as client:
        for number in range(10):
            day = json.dumps(_day(f"many{number}", ENTRIES // 10)).encode()
            client.send("PUT", f"/ns/large{BEHAVIOR_DAY}", day, JSON)
        control: Actions = {
            "reset to a small seed": lambda: client.send("POST", "/ns/small/__double/reset"),
            "first request to a new namespace": lambda: client.send(
                "GET", f"/ns/new{next(names)}{ACTIVE_USERS}?type=daily&date_from=2026-05-13"
            ),
            f"snapshot with {ENTRIES:,} history entries": lambda: client.send(
                "POST", "/ns/large/__double/snapshots/one"
            ),
            f"restore of {ENTRIES:,} history entries": lambda: client.send(
                "POST", "/ns/large/__double/snapshots/one/restore"
            ),
        }
        taken = in_turns(control, CONTROLS)
    taken[f"fixture `{FIXTURE}`, per test"] = _fixture(folder)
    rows = [[name, ms(taken[name]), goal] for name, goal in zip(taken, GOALS, strict=True)]
    write(
        "double",
        "Control of a double",
        f"""
What a test costs in addition to its own requests. Each call of the control API is a whole request
on an open connection; its time is the median of {CONTROLS} in turns. The small seed has 10 events,
5 numbers of active users and 2 days of histories. The fixture's cost is how much longer {TESTS}
tests of `pass` take with it than with a fixture that does nothing, per test; the time of a run with
a single test is subtracted.
""",
        ["", "time", "goal"],
        rows,
    )


def _day(user_id: str, entries: int) -> dict[str, object]:
    """Return a body of `PUT /user-behavior-day`."""
    histories = [
        {"timestamp": TODAY + number, "referer": f"/pages/{number % 50}"}
        for number in range(entries)
    ]
    return {"user_id": user_id, "timestamp": TODAY, "histories": histories}


def _fixture(folder: Path) -> float:
    """Return the seconds that the fixture adds to a test."""
    trivial = "import pytest\n\n\n@pytest.fixture\ndef nothing():\n    yield\n"
    actions: Actions = {}
    for fixture in (FIXTURE, "nothing"):
        for tests in (1, TESTS):
            file = folder / f"test_{fixture}_{tests}.py"
            lines = [f"\n\ndef test_{number}({fixture}):\n    pass\n" for number in range(tests)]
            file.write_text(trivial + "".join(lines))
            actions[file.stem] = partial(_pytest, file)
    taken = in_turns(actions, REPETITIONS)
    ours, nothing = (
        taken[f"test_{fixture}_{TESTS}"] - taken[f"test_{fixture}_1"]
        for fixture in (FIXTURE, "nothing")
    )
    return (ours - nothing) / (TESTS - 1)


def _pytest(file: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    command += ["-p", "app.pytest_plugin", file.name]
    environment = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    told = subprocess.run(
        command, cwd=file.parent, env=os.environ | environment, capture_output=True, text=True
    )
    if told.returncode:
        raise SystemExit(told.stdout[-2000:])


def _measure_memory() -> None:
    with started(make_ours()) as (url, process_id), ThreadPoolExecutor(CONNECTIONS) as threads:

        def send(begin: int, end: int) -> float:
            parts = [range(begin + part, end, CONNECTIONS) for part in range(CONNECTIONS)]
            list(threads.map(partial(_send, url), parts))
            return memory(process_id, "VmRSS") / 1e6

        early, late = send(0, EARLY), send(EARLY, LATE)
    rows = [
        [f"{EARLY:,}", f"{early:.1f} MB", "80 MB"],
        [f"{LATE:,}", f"{late:.1f} MB", "80 MB"],
        ["growth", f"{late - early:+.1f} MB", "0 MB"],
    ]
    write(
        "double",
        "Memory of a double",
        f"""
Resident memory of `double` after this number of requests over {CONNECTIONS} connections: in turns
`PUT /active-users`, `PUT /user-behavior-day`, `GET /active-users` and a user's histories. They
repeat the same 20 tenants, 50 users and 28 dates, so the stored data do not grow.
""",
        ["requests", "memory", "goal, at most"],
        rows,
    )


def _send(url: str, numbers: range) -> None:
    """Send the requests of these numbers over one connection."""
    with Client(url) as client:
        for number in numbers:
            turn = number // 4
            date, tenant_id, user_id = f"2026-05-{turn % 28 + 1:02}", f"t{turn % 20}", turn % 50
            kind = number % 4
            if kind == 0:
                record = {"date": date, "tenant_id": tenant_id, "active_users": number}
                client.send("PUT", ACTIVE_USERS, json.dumps(NUMBER | record).encode(), JSON)
            elif kind == 1:
                day = json.dumps(_day(f"u{user_id}", 10)).encode()
                client.send("PUT", BEHAVIOR_DAY, day, JSON)
            elif kind == 2:
                query = f"type=daily&date_from={date}&date_to={date}&tenant_id={tenant_id}"
                client.send("GET", f"{ACTIVE_USERS}?{query}")
            else:
                client.send("GET", f"{BASE}/users/u{user_id}/behavior-histories")
