"""A generated SaaS (app/demo.py) and the command that serves it."""

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from app.analytics.event_reader import event_reader
from app.days import Calendar
from app.demo import make_events

from .conftest import NOW, ROOT, run

UTC = Calendar("UTC")
WEEK = 7 * 86400


@pytest.fixture(scope="module")
def made() -> list[dict[str, Any]]:
    return list(make_events(UTC, NOW, events=50_000))


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize(("events", "days"), [(0, 90), (1, 90), (7, 1), (999, 2), (2000, 400)])
def test_there_are_exactly_as_many_events_as_asked_for(zone: str, events: int, days: int) -> None:
    calendar = Calendar(zone)
    made = list(make_events(calendar, NOW, events=events, days=days))
    assert len(made) == events
    first = calendar.day_start(calendar.day_of(NOW) - days + 1)
    assert all(first <= event["timestamp"] <= NOW for event in made)


def test_a_day_that_has_just_begun_is_enough() -> None:
    midnight = NOW // 86400 * 86400
    made = list(make_events(UTC, midnight, events=10, days=1))
    assert [event["timestamp"] for event in made] == [midnight] * 10


@pytest.mark.slow
def test_events_come_in_order_with_ids_of_their_own(made: list[dict[str, Any]]) -> None:
    assert all(one["timestamp"] <= other["timestamp"] for one, other in pairwise(made))
    assert len({event["id"] for event in made}) == len(made)


@pytest.mark.slow
def test_every_event_is_a_good_one(made: list[dict[str, Any]]) -> None:
    read = event_reader(lambda: NOW)
    assert all(read(event) for event in made)


def test_a_seed_makes_the_same_events_again_and_another_one_others() -> None:
    def few(seed: int) -> list[dict[str, Any]]:
        return list(islice(make_events(UTC, NOW, events=5000, seed=seed), 500))

    assert few(1) == few(1)
    assert few(1) != few(2)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_events() -> None:
    def peak(make: Callable[[Iterator[Any]], object]) -> int:
        tracemalloc.start()
        make(make_events(UTC, NOW, events=20_000))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(lambda events: deque(events, maxlen=0)) < peak(list) / 8


def test_the_saas_grows_and_has_weekends_and_nights(made: list[dict[str, Any]]) -> None:
    visits = [event["timestamp"] for event in made if event["type"] == "userinfo"]
    weeks = Counter((NOW - at) // WEEK for at in visits)
    assert weeks[0] > 1.5 * weeks[11]
    weekdays = Counter((at // 86400 + 3) % 7 for at in visits)
    assert max(weekdays[5], weekdays[6]) < min(weekdays[day] for day in range(5)) / 2
    hours = Counter(at // 3600 % 24 for at in visits)
    assert hours[10] > 20 * hours[3] > 0


@pytest.mark.slow
def test_tenants_differ_and_join_before_their_users_come(made: list[dict[str, Any]]) -> None:
    visits = Counter(event["tenant_id"] for event in made if event["type"] == "userinfo")
    assert max(visits.values()) > 20 * min(visits.values())
    created: dict[str, int] = {}
    for event in made:
        if event["type"] in ("create_tenant", "create_saas_user"):
            created[event.get("user_id") or event["tenant_id"]] = event["timestamp"]
    for event in made:
        if event["type"] == "userinfo":
            for id_ in (event["user_id"], event["tenant_id"]):
                assert created.get(id_, 0) <= event["timestamp"]
    types = Counter(event["type"] for event in made)
    assert types["create_saas_user"] == types["create_tenant_user"] > types["create_tenant"] > 0


def test_users_stay_fade_and_return(made: list[dict[str, Any]]) -> None:
    weeks: dict[str, set[int]] = {}
    for event in made:
        if event["type"] == "userinfo":
            weeks.setdefault(event["user_id"], set()).add((NOW - event["timestamp"]) // WEEK)
    there = weeks.values()
    assert any(len(seen) >= 12 for seen in there)
    assert any(min(seen) >= 6 for seen in there)
    assert any({0, 12} <= seen and not {4, 5, 6} & seen for seen in there)


def test_few_pages_are_used_a_lot_and_environments_differ(made: list[dict[str, Any]]) -> None:
    referers = Counter(event["referer"] for event in made if event["type"] == "userinfo")
    assert referers.most_common(1)[0][1] > 5000
    assert sum(count == 1 for count in referers.values()) > 100
    assert any("?action=" in referer for referer in referers)
    envs = Counter(event["env_id"] for event in made if event["type"] == "userinfo")
    assert envs[3] > envs[2] > envs[1] > 0


@pytest.mark.slow
def test_events_are_written_out_and_can_be_imported(tmp_path: Path) -> None:
    file, database = tmp_path / "events.ndjson", tmp_path / "a.db"
    assert run("demo", "--write", file, "--events", "3000", "--seed", "7").returncode == 0
    lines = file.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3000
    assert "/プラン" in {json.loads(line).get("referer") for line in lines}
    imported = run("import", "events", file, "--database", database)
    assert imported.stdout == "3000 accepted, 0 duplicates, 0 ignored, 0 refused\n"


@contextmanager
def demo(
    *arguments: str | Path, **environment: str
) -> Iterator[tuple[list[str], subprocess.Popen[str]]]:
    """Run `demo` on a free port; give the URLs that it prints, and the process."""
    command = [sys.executable, "-m", "app", "demo", "--port", "0", *map(str, arguments)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        printed = []
        for line in process.stdout:
            printed.append(line.strip())
            if line.startswith("Listening"):
                break
        try:
            yield printed[:-1], process
        finally:
            process.terminate()


def read(url: str) -> Any:
    with urlopen(url) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_the_urls_that_it_prints_are_worth_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with demo("--events", "20000") as (urls, process):
        pages, active, created, calls = map(read, urls)
        assert len(list(tmp_path.iterdir())) == 1
        process.terminate()
        assert process.wait() == 0
    assert pages["total_page_views"] > 19_000
    assert len(pages["page_statistics"]) == 10
    assert active["data"]
    assert created["metrics"]
    assert "metrics" in calls
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "opens"), [(["--open"], True), (["--no-open"], False), ([], False)]
)
def test_it_opens_the_dashboard_where_somebody_looks(
    tmp_path: Path, options: list[str], opens: bool
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f"""#!{sys.executable}
import pathlib, sys, urllib.request
page = urllib.request.urlopen(sys.argv[1]).read().decode()
pathlib.Path({str(tmp_path)!r}, "part").write_text(page)
pathlib.Path({str(tmp_path)!r}, "part").rename({str(tmp_path / "seen")!r})
""")
    browser.chmod(0o755)
    with demo("--events", "100", *options, BROWSER=str(browser)) as (urls, _):
        deadline = time.monotonic() + 30
        while opens and not (tmp_path / "seen").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        read(urls[0])
    assert (tmp_path / "seen").exists() is opens
    if opens:
        assert "<h1>Overview</h1>" in (tmp_path / "seen").read_text()


@pytest.mark.slow
def test_a_database_that_is_given_is_kept_and_served_as_it_is(tmp_path: Path) -> None:
    for events in ("500", "900"):
        with demo("--events", events, "--database", tmp_path / "kept.db") as (urls, _):
            assert 300 < read(urls[0])["total_page_views"] <= 500


def test_it_does_not_listen_to_others(tmp_path: Path) -> None:
    refused = run("demo", "--host", "0.0.0.0", "--events", "10", "--database", tmp_path / "a.db")
    assert refused.returncode == 1
    assert "must be a loopback address" in refused.stderr


@pytest.mark.slow
def test_it_ends_while_it_makes_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-m", "app", "demo", "--port", "0", "--events", "10000000"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        while not list(tmp_path.glob("*/demo.db")):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait() != 0
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_is_one_line() -> None:
    done = run("demo", "--write", "/dev/full", "--events", "30000")
    assert done.returncode == 1
    assert "/dev/full cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_no_standard_error_is_no_reason_to_fail(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    command = f"{sys.executable} -m app demo --write {file} --events 10 2>&-"
    assert subprocess.run(["sh", "-c", command], cwd=ROOT).returncode == 0
    assert len(file.read_text().splitlines()) == 10
