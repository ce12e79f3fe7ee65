"""Storing events and history entries in bulk over HTTP, compared with SQLite alone."""

import json
import sqlite3
import statistics
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from app.days import Calendar
from app.demo import make_events
from app.storage.event_ids import digest_of

from .data import DAY, NOW, TODAY
from .measuring import seconds, write
from .processes import BASE, Client, serving

COUNT = 10_000
REPETITIONS = 9

BARE = """
pragma journal_mode = wal;
pragma synchronous = full;
create table behavior (day, user_id, seq, timestamp, referer_id);
create table event_id (digest, day);
create table active_user (monthly, period, tenant_id, env_id, user_id);
create table call (type, day, tenant_id);
"""


def run() -> None:
    """Measure `POST /ingest/events` and `PUT /user-behavior-day` with 10,000 records."""
    rows = []
    with (
        TemporaryDirectory() as folder,
        closing(sqlite3.connect(Path(folder, "bare.db"), isolation_level=None)) as bare,
        serving(Path(folder, "ours.db")) as (url, _),
        Client(url) as client,
    ):
        bare.executescript(BARE)
        made = make_events(Calendar("UTC"), NOW, events=2 * (REPETITIONS + 1) * COUNT)
        visits = (event for event in made if event["type"] == "userinfo")
        for name, each in (
            ("POST /ingest/events, NDJSON", _events),
            ("PUT /user-behavior-day", _day),
        ):
            ours, alone = [], []
            for repetition in range(REPETITIONS + 1):
                batch = list(islice(visits, COUNT)) if each is _events else _entries(repetition)
                send, insert = each(client, bare, batch, repetition)
                taken = seconds(send), seconds(insert)
                if repetition:
                    ours.append(COUNT / taken[0])
                    alone.append(COUNT / taken[1])
            mine, other = statistics.median(ours), statistics.median(alone)
            rows.append([name, f"{mine:,.0f}/s", f"{other:,.0f}/s", f"{mine / other:.2f}"])
    write(
        "bulk",
        "Bulk",
        f"""
Calls of {COUNT:,} records, one after the other over one connection to `serve`, as a user starts it
(`synchronous=full`), into an initially empty database. Bare SQLite inserts the same rows with
`executemany` in the process of the benchmark, in one transaction, into tables without keys,
indexes, dictionaries or counts. Each event makes a history entry, an id, a call, and a day and a
month of activity. For a user's day, the time of bare SQLite includes `json.loads` of the same body.
""",
        ["records", "ours", "bare SQLite", "ratio"],
        rows,
    )


Pair = tuple[Callable[[], object], Callable[[], object]]


def _events(client: Client, bare: sqlite3.Connection, batch: Any, _: int) -> Pair:
    body = "\n".join(json.dumps(event) for event in batch).encode()

    def send() -> None:
        report = json.loads(
            client.send("POST", f"{BASE}/ingest/events", body, "application/x-ndjson")
        )
        assert report["accepted"] == COUNT, report

    def insert() -> None:
        bare.execute("begin immediate")
        for sql, rows in statements:
            bare.executemany(sql, rows)
        bare.execute("commit")

    digests = [digest_of("client", event["id"]) for event in batch]
    statements: list[tuple[str, list[tuple[object, ...]]]] = [
        (
            "insert into behavior values (?, ?, ?, ?, ?)",
            [(20000, 7, 1, event["timestamp"], 9) for event in batch],
        ),
        ("insert into event_id values (?, ?)", [(id_, 20000) for id_ in digests]),
        ("insert into call values (?, ?, ?)", [(e["type"], 20000, 5) for e in batch]),
        (
            "insert into active_user values (?, ?, ?, ?, ?)",
            [(monthly, 20000, 5, e["env_id"], 7) for e in batch for monthly in (0, 1)],
        ),
    ]
    return send, insert


def _entries(repetition: int) -> list[dict[str, Any]]:
    random = Random(repetition)
    return [
        {"timestamp": TODAY + random.randrange(DAY), "referer": f"/page/{random.randrange(500)}"}
        for _ in range(COUNT)
    ]


def _day(client: Client, bare: sqlite3.Connection, batch: Any, repetition: int) -> Pair:
    given = {"timestamp": TODAY, "user_id": f"user-{repetition}", "histories": batch}
    body = json.dumps(given).encode()

    def send() -> None:
        client.send("PUT", f"{BASE}/user-behavior-day", body, "application/json")

    def insert() -> None:
        histories = json.loads(body)["histories"]
        bare.execute("begin immediate")
        bare.executemany(
            "insert into behavior values (?, ?, ?, ?, ?)",
            [(20000, 7, seq, entry["timestamp"], 9) for seq, entry in enumerate(histories)],
        )
        bare.execute("commit")

    return send, insert
