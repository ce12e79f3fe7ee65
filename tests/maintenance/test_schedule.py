"""A wrong clock deletes nothing, and what it left behind is named and mended."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.analytics.histories import get_user_behavior_histories
from app.analytics.page_statistics import get_page_statistics
from app.config import Settings, load_settings
from app.maintenance import pruning_thread
from app.maintenance.backup import back_up
from app.maintenance.doctor import PROBLEM, WARNING, examine
from app.maintenance.future_cutoffs import reset_cutoffs
from app.maintenance.integrity import CHECKS, find_wrong
from app.maintenance.pruning import prune
from app.maintenance.pruning_schedule import DAY, Schedule, find_held_back
from app.maintenance.pruning_thread import pruning_daily
from app.storage.audit_log import list_actions
from app.storage.cutoffs import cutoffs_of, limits
from app.storage.database import Database

from ..conftest import NOW, ROOT, SetClock, run, run_process
from .test_erasing import TODAY, answers, assert_right, feed, view
from .test_keeping import prune_all, rows_of

YEARS = 3650 * DAY
KEEP = Settings(keep_histories=90, keep_page_statistics=90, keep_counts=90, keep_event_ids=90)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def database(tmp_path: Path, clock: SetClock) -> Iterator[Database]:
    with closing(Database(tmp_path / "a.db", clock=clock, synchronous="off")) as opened:
        yield opened


class Uptime:
    """The time that the process has run, which a test sets."""

    seconds = 0.0


@pytest.fixture
def uptime(monkeypatch: pytest.MonkeyPatch) -> type[Uptime]:
    monkeypatch.setattr(Uptime, "seconds", 0.0)
    monkeypatch.setattr("app.maintenance.pruning_schedule.time.monotonic", lambda: Uptime.seconds)
    return Uptime


def fill(database: Database, days: int, **more: Any) -> None:
    """Feed an event of each of so many days before today, and of today."""
    times = (TODAY - back * DAY for back in range(days, -1, -1))
    feed(database, *(view("ann", at, f"/{at}", id=str(at), **more) for at in times))


def prune_once(database: Database, schedule: Schedule) -> None:
    days = schedule.days()
    for _ in prune(database, schedule.cutoffs(days), schedule.noted_at(days)):
        pass


@pytest.mark.parametrize("moment", ["at a start", "while it runs", "at a start on the day after"])
def test_a_clock_that_is_ahead_for_a_moment_deletes_nothing(
    database: Database, clock: SetClock, uptime: type[Uptime], moment: str
) -> None:
    fill(database, 90)
    schedule = Schedule(database, KEEP)
    prune_once(database, schedule)
    before = answers(database)
    if moment == "at a start on the day after":
        uptime.seconds += DAY
        schedule = Schedule(database, KEEP)
    clock.timestamp += YEARS
    if moment == "at a start":
        schedule = Schedule(database, KEEP)
    prune_once(database, schedule)
    clock.timestamp = NOW
    assert answers(database) == before
    assert max(cutoffs_of(database)) <= NOW
    feed(database, view("ann", NOW, id="new"))


@pytest.mark.slow
def test_a_clock_alone_would_have_deleted_everything(database: Database, clock: SetClock) -> None:
    """What the schedule is against."""
    fill(database, 90)
    clock.timestamp += YEARS
    for _ in prune(database, limits(KEEP, database)):
        pass
    clock.timestamp = NOW
    assert rows_of(database) == 0
    assert min(cutoffs_of(database)) > NOW


def test_an_event_of_that_moment_lets_a_few_days_go(
    database: Database, clock: SetClock, uptime: type[Uptime]
) -> None:
    fill(database, 90)
    clock.timestamp += YEARS
    feed(database, {"type": "userinfo", "user_id": "ann", "referer": "/"})
    schedule = Schedule(database, KEEP)
    for _ in range(10):
        prune_once(database, schedule)
    clock.timestamp = NOW
    assert rows_of(database) == 1 + 91 - KEEP.prune_days
    assert max(cutoffs_of(database)) == TODAY - (90 - KEEP.prune_days) * DAY
    feed(database, view("ann", NOW, id="new"))


def test_starting_again_and_again_in_that_moment_lets_no_more_days_go(
    database: Database, clock: SetClock, uptime: type[Uptime]
) -> None:
    fill(database, 90)
    clock.timestamp += YEARS
    for _ in range(10):
        feed(database, {"type": "userinfo", "user_id": "ann", "referer": "/"})
        prune_once(database, Schedule(database, KEEP))
    assert rows_of(database) == 10 + 91 - KEEP.prune_days
    clock.timestamp += DAY
    feed(database, {"type": "userinfo", "user_id": "ann", "referer": "/"})
    prune_once(database, Schedule(database, KEEP))
    assert rows_of(database) == 11 + 91 - 2 * KEEP.prune_days


def test_a_database_that_is_older_than_a_new_setting_is_pruned_some_days_a_day(
    database: Database, clock: SetClock, uptime: type[Uptime]
) -> None:
    fill(database, 99)
    feed(database, view("ann", 5, id="of 1970"))
    schedule = Schedule(database, KEEP)
    left = []
    for _ in range(6):
        prune_once(database, schedule)
        prune_once(database, schedule)
        left.append(rows_of(database))
        uptime.seconds += DAY
    # Two days are for what is alone in 1970, and its month.
    assert left == [100, 100, 97, 94, 91, 91]
    assert find_held_back(database, KEEP) == {}
    assert_right(database)


def test_a_server_without_new_data_counts_the_days_that_it_runs(
    database: Database, clock: SetClock, uptime: type[Uptime]
) -> None:
    schedule = Schedule(database, KEEP)
    assert schedule.days().believed is None
    fill(database, 90)
    assert schedule.days().believed == TODAY // DAY
    for day in range(1, 4):
        clock.timestamp += DAY
        prune_once(database, schedule)
        assert rows_of(database) == 91 - day + 1
        uptime.seconds += DAY
        prune_once(database, schedule)
        assert rows_of(database) == 91 - day


def test_a_server_that_was_off_for_a_year_waits_for_new_data(
    database: Database, clock: SetClock, uptime: type[Uptime]
) -> None:
    fill(database, 90)
    clock.timestamp += 365 * DAY
    schedule = Schedule(database, KEEP)
    prune_once(database, schedule)
    assert rows_of(database) == 91
    held = {"histories", "page_statistics", "counts", "event_ids"}
    assert set(find_held_back(database, KEEP)) == held
    feed(database, view("ann", clock.timestamp))
    prune_once(database, schedule)
    assert rows_of(database) == 91 + 1 - KEEP.prune_days


@pytest.mark.parametrize("years", [10, -10])
def test_a_clock_that_is_wrong_prunes_nothing_of_an_empty_database(
    database: Database, clock: SetClock, years: int
) -> None:
    clock.timestamp += years * 365 * DAY
    prune_once(database, Schedule(database, KEEP))
    assert max(cutoffs_of(database)) == 0


def test_data_of_a_time_to_come_alone_bear_no_clock_out(
    database: Database, clock: SetClock
) -> None:
    clock.timestamp += YEARS
    fill(database, 0)
    feed(database, view("ann", clock.timestamp))
    clock.timestamp = NOW - YEARS
    prune_once(database, Schedule(database, KEEP))
    clock.timestamp = NOW + 2 * YEARS
    schedule = Schedule(database, Settings(keep_histories=90, prune_days=1))
    prune_once(database, schedule)
    assert rows_of(database) == 1


def test_a_backup_that_is_put_back_is_pruned_by_what_is_in_it(
    database: Database, tmp_path: Path, clock: SetClock
) -> None:
    fill(database, 90)
    copy = tmp_path / "copy.db"
    back_up(database.path, copy, lambda _done, _all: None)
    clock.timestamp += 200 * DAY
    with closing(Database(copy, clock=clock)) as restored:
        prune_once(restored, Schedule(restored, KEEP))
        assert rows_of(restored) == 91


def test_what_is_held_back_is_logged_once(
    database: Database,
    clock: SetClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(pruning_thread, "LOOK_SECONDS", 0.01)
    fill(database, 120)
    with pruning_daily(database, Settings(keep_histories=90)):
        while rows_of(database) > 118:
            time.sleep(0.01)
        time.sleep(0.1)
    told = [record.message for record in caplog.records if "holds back" in record.message]
    assert told == [
        "pruning holds back histories from 2026-01-22 to 2026-02-17; `saasus-analysis doctor` "
        "says why"
    ]


FAKE_CLOCK = """
import time
real, offset = time.time, {offset}
time.time = lambda: real() + offset
"""


def with_clock(folder: Path, offset: int) -> dict[str, str]:
    """Return the environment of processes whose clock is so many seconds ahead."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(FAKE_CLOCK.format(offset=offset))
    return {"PYTHONPATH": str(folder)}


@pytest.mark.slow
def test_a_served_database_outlives_a_clock_that_is_ten_years_ahead(tmp_path: Path) -> None:
    now = int(time.time())
    path = tmp_path / "a.db"
    with closing(Database(path)) as database:
        feed(database, *(view("ann", now - day * DAY) for day in range(50)))
    keep = {"ANALYSIS_KEEP_HISTORIES": "60", "ANALYSIS_KEEP_COUNTS": "60"}
    environment = os.environ | keep | with_clock(tmp_path / "ahead", YEARS)
    command = [sys.executable, "-m", "app", "serve", "--port", "0", "--database", str(path)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        try:
            assert any(b"pruning holds back counts" in line for line in process.stderr)
        finally:
            process.terminate()
    refused = run_process("prune", "--database", path, env=environment, input="")
    assert refused.returncode == 1
    assert "The clock says 203" in refused.stderr
    with closing(Database(path)) as database:
        assert rows_of(database) == 50
        assert max(cutoffs_of(database)) == 0


def test_what_a_server_prunes_itself_does_not_bear_its_clock_out(tmp_path: Path) -> None:
    """It notes when it was done: by the same clock, which the next start would believe."""
    now = int(time.time())
    path = tmp_path / "a.db"
    with closing(Database(path)) as database:
        feed(database, *(view("ann", now - day * DAY) for day in range(50)))
    environment = os.environ | {"ANALYSIS_KEEP_HISTORIES": "48"} | with_clock(tmp_path / "c", YEARS)
    command = [sys.executable, "-m", "app", "serve", "--port", "0", "--database", str(path)]
    for _ in range(3):
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            assert process.stderr is not None
            try:
                assert any(b"pruning holds back histories" in line for line in process.stderr)
            finally:
                process.terminate()
        with closing(Database(path)) as database:
            assert rows_of(database) == 49
            assert [done["action"] for done in list_actions(database)] == ["prune"]
            assert list_actions(database)[0]["at"] <= now + DAY


def found(path: Path, clock: SetClock, **settings: Any) -> dict[tuple[str, str], str]:
    loaded = load_settings({"database": path} | settings, {})
    return {
        (finding.state, finding.message.split()[0]): finding.message
        for finding in examine(loaded, clock)
        if finding.subject == "retention"
    }


def test_doctor_names_what_is_held_back_and_why(database: Database, clock: SetClock) -> None:
    fill(database, 120)
    told = found(database.path, clock, keep_histories=90)
    assert told == {
        (WARNING, "histories"): "histories from 2026-01-19 to 2026-02-17 are overdue for deletion"
    }
    clock.timestamp += 10 * DAY
    (told_by_clock,) = found(database.path, clock, keep_histories=90).values()
    assert "the clock says 2026-05-29, and nothing is stored after 2026-05-19" in told_by_clock
    assert found(database.path, clock) == {}


def prune_by_a_wrong_clock(database: Database, clock: SetClock, **days: int) -> None:
    """Do what an older version did at a start with a clock that is ten years ahead."""
    clock.timestamp += YEARS
    for _ in prune(database, limits(load_settings(days, {}), database)):
        pass
    clock.timestamp -= YEARS


@pytest.mark.slow
@pytest.mark.parametrize("days", [0, 3])
def test_cutoffs_that_a_wrong_clock_left_are_named_and_set_back(
    database: Database, clock: SetClock, days: int
) -> None:
    fill(database, 20)
    before = get_page_statistics(database, start_timestamp=0, end_timestamp=NOW)
    prune_by_a_wrong_clock(database, clock, keep_histories=90, keep_event_ids=90)
    clock.timestamp += days * DAY
    now = clock.timestamp
    assert set(found(database.path, clock)) == {(PROBLEM, "histories"), (PROBLEM, "event_ids")}
    dry = reset_cutoffs(database, dry_run=True)
    assert set(found(database.path, clock)) == {(PROBLEM, "histories"), (PROBLEM, "event_ids")}
    assert reset_cutoffs(database) == dry
    assert found(database.path, clock) == {}
    # What is sealed of the pruned time stays, and nothing of it is counted twice.
    assert dry == dict.fromkeys(dry, TODAY + DAY if days else NOW)
    assert get_page_statistics(database, start_timestamp=0, end_timestamp=NOW) == before
    feed(database, view("ann", now, "/new", id="new"), view("ann", dry["histories"], "/new"))
    told = get_page_statistics(database, start_timestamp=0, end_timestamp=now)
    assert told["total_page_views"] == before["total_page_views"] + 2
    assert len(get_user_behavior_histories(database, "ann")["histories"]) == (2 if days else 1)
    assert reset_cutoffs(database) == {}
    assert_right(database)


def test_a_summary_of_this_hour_keeps_its_views(database: Database, clock: SetClock) -> None:
    database.accept_ahead = None
    feed(database, view("ann", NOW - 60), view("ann", NOW + YEARS // 2))
    prune_by_a_wrong_clock(database, clock, keep_histories=90)
    assert reset_cutoffs(database) == {"histories": (NOW // 3600 + 1) * 3600}
    clock.timestamp += 3600
    feed(database, view("bob", clock.timestamp))
    told = get_page_statistics(database, start_timestamp=0, end_timestamp=clock.timestamp)
    assert (told["total_page_views"], told["total_unique_users"]) == (2, 2)
    assert_right(database)


def test_where_everything_was_deleted_everything_is_taken_in_again(
    database: Database, clock: SetClock
) -> None:
    fill(database, 20)
    before = answers(database)
    keep = ("histories", "page_statistics", "counts", "event_ids")
    prune_by_a_wrong_clock(database, clock, **{f"keep_{data}": 90 for data in keep})
    assert reset_cutoffs(database) == dict.fromkeys(keep, 0)
    fill(database, 20)
    assert answers(database) == before


def test_the_command_sets_cutoffs_back_and_notes_it(tmp_path: Path) -> None:
    path, now = tmp_path / "a.db", int(time.time())
    with closing(Database(path, clock=SetClock(now + YEARS))) as database:
        feed(database, view("ann", now))
        prune_all(database, histories=now + YEARS // 2)
    command = ("prune", "--reset-cutoffs", "--database", path)
    assert "no cutoff" not in run(*command, "--dry-run").stdout
    assert run(*command, input="n\n").returncode == 1
    told = json.loads(run(*command, "--yes", "--json").stdout)
    assert set(told["cutoffs"]) == {"histories"}
    assert now <= told["cutoffs"]["histories"] <= now + 3660
    assert run(*command).stdout == "no cutoff is in the future\n"
    assert "reset-cutoffs" in run("audit", "--database", path).stdout
    assert run("prune", "--reset-cutoffs", "--database", path, "--json").returncode == 0


@pytest.mark.parametrize(
    ("given", "left"), [("", 20), ("n\n", 20), ("y\n", 6)], ids=["nobody", "no", "yes"]
)
def test_the_command_asks_before_it_deletes_much(tmp_path: Path, given: str, left: int) -> None:
    path, now = tmp_path / "a.db", int(time.time())
    with closing(Database(path)) as database:
        feed(database, *(view("ann", now - day * DAY) for day in range(20)))
        ended = run("prune", "--keep-histories", "5", "--database", path, input=given)
        assert ended.returncode == (0 if left == 6 else 1)
        assert "Delete these for ever?" in ended.stderr
        assert rows_of(database) == left


def test_the_command_does_not_ask_about_what_is_usual(tmp_path: Path) -> None:
    path, now = tmp_path / "a.db", int(time.time())
    with closing(Database(path)) as database:
        feed(database, *(view("ann", now - day * DAY) for day in range(8)))
        assert run("prune", "--keep-histories", "5", "--database", path, input="").stderr == ""
        assert rows_of(database) == 6
        with database.reading() as connection:
            connection.rollback()
            assert list(find_wrong(connection, CHECKS, [])) == []
