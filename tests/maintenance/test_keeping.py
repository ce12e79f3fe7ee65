"""How pruning shows: headers, settings, the command, and beside a running server."""

import json
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.analytics.histories import get_user_behavior_histories
from app.analytics.page_statistics import get_page_statistics
from app.config import Settings, load_settings
from app.errors import StartError
from app.maintenance.integrity import CHECKS, find_wrong
from app.maintenance.pruning import prune
from app.maintenance.pruning_thread import pruning_daily
from app.storage.database import Database
from app.storage.page_rule import PageRule
from app.summaries.pages.sealing import rebuild

from ..conftest import NOW, ROOT, SetClock, run, serving
from ..support.calls import BASE, ingest
from .test_erasing import DAY, HOUR, TODAY, feed, view

EXACT, KEPT = "Analysis-Exact-Since", "Analysis-Kept-Since"


def prune_all(database: Database, **since: int) -> int:
    return sum(count for _, count in prune(database, since))


@pytest.mark.slow
def test_an_answer_about_pruned_time_says_so(client: FlaskClient, database: Database) -> None:
    feed(database, *(view("ann", TODAY - day * DAY) for day in range(50)))
    histories, pages = TODAY - 10 * DAY, TODAY - 30 * DAY
    prune_all(database, histories=histories, page_statistics=pages)

    def headers(start: int) -> tuple[str | None, str | None]:
        query = {"start_timestamp": start, "end_timestamp": NOW}
        answer = client.get(f"{BASE}/metrics/page-statistics", query_string=query)
        return answer.headers.get(EXACT), answer.headers.get(KEPT)

    assert headers(histories) == (None, None)
    assert headers(histories - 1) == (str(histories), None)
    assert headers(pages) == (str(histories), None)
    assert headers(pages - 1) == (str(histories), str(pages))


def test_a_server_that_pruned_nothing_says_nothing(client: FlaskClient) -> None:
    query = {"start_timestamp": 0, "end_timestamp": NOW}
    answer = client.get(f"{BASE}/metrics/page-statistics", query_string=query)
    assert not {EXACT, KEPT} & set(answer.headers.keys())


def test_the_headers_are_described(client: FlaskClient) -> None:
    description = client.get("/openapi.json").get_json()
    operation = description["paths"]["/metrics/page-statistics"]["get"]
    assert set(operation["responses"]["200"]["headers"]) == {EXACT, KEPT}


def test_records_are_refused_one_by_one(client: FlaskClient, database: Database) -> None:
    feed(database, view("ann", TODAY - 50 * DAY))
    prune_all(database, event_ids=TODAY - 5 * DAY)
    old, new = view("ann", TODAY - 5 * DAY - 1, id="1"), view("ann", TODAY - 5 * DAY, id="2")
    without_id = view("ann", TODAY - 9 * DAY)
    report = client.post(f"{BASE}/ingest/events", json=[old, new, without_id]).get_json()
    assert report["accepted"] == 2
    message = f"timestamp: must not be before {TODAY - 5 * DAY}: older data were pruned"
    assert report["refused"] == [{"index": 0, "message": message}]


class TestHalfHours:
    """Where a day begins within an hour of UTC, the rest of that hour is still there."""

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"time_zone": "Asia/Kolkata"}

    def test_a_day_is_there_as_a_whole_or_not(self, database: Database) -> None:
        calendar = database.calendar
        begin = calendar.day_start(calendar.day_of(NOW) - 5)
        assert begin % HOUR == HOUR // 2
        feed(database, view("ann", begin - 1), view("ann", begin))
        prune_all(database, histories=begin)
        (day,) = get_user_behavior_histories(database, "ann")["histories"]
        assert day["behaved_at"] == begin
        assert [entry["timestamp"] for entry in day["histories"]] == [begin]
        told = get_page_statistics(database, start_timestamp=begin - 1, end_timestamp=begin)
        assert told["total_page_views"] == 2


@pytest.mark.parametrize(
    "given",
    [
        {"keep_histories": 0},
        {"keep_counts": "-1"},
        {"keep_event_ids": "a week"},
        {"keep_histories": 36_501},
        {"keep_page_statistics": 30},
        {"keep_page_statistics": 30, "keep_histories": 31},
    ],
)
def test_a_time_that_cannot_be_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(StartError, match="keep_"):
        load_settings(given, {})


def test_without_a_setting_nothing_is_pruned(tmp_path: Path) -> None:
    Database(tmp_path / "a.db").close()
    ended = run("prune", "--database", tmp_path / "a.db")
    assert ended.returncode == 2
    assert "say how long to keep data" in ended.stderr


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    now = int(time.time())
    with closing(Database(path)) as database:
        feed(database, *(view("ann", now - day * DAY, id=str(day)) for day in range(20)))
        before = get_page_statistics(database, start_timestamp=0, end_timestamp=now)
        options = ("--keep-histories", "10", "--keep-event-ids", "5", "--database", path)
        told = json.loads(run("prune", *options, "--dry-run", "--json").stdout)
        assert get_page_statistics(database, start_timestamp=0, end_timestamp=now) == before
        assert [one["deleted"] for one in told["pruned"]] == [9, 14]
        done = json.loads(run("prune", *options, "--yes", "--json").stdout)
        assert done == told | {"dry_run": False, "names": 0}
        again = json.loads(run("prune", *options, "--json").stdout)
        assert [one["deleted"] for one in again["pruned"]] == [0, 0]
        after = get_page_statistics(database, start_timestamp=0, end_timestamp=now)
        assert after["total_page_views"] == 20


def test_names_that_nobody_has_any_more_go(database: Database) -> None:
    feed(
        database,
        view("gone", TODAY - 50 * DAY, "/gone?by=gone", tenant="away"),
        view("ann", TODAY - 50 * DAY, "/both?old"),
        view("ann", NOW, "/both?new"),
    )

    def names() -> set[str]:
        with database.reading() as connection:
            return {
                name
                for table in ("user", "tenant")
                for (name,) in connection.execute(f"select name from {table}")
            } | {
                url
                for table in ("referer", "page")
                for (url,) in connection.execute(f"select url from {table}")
            }

    everything = names()
    since = TODAY - 10 * DAY
    prune_all(database, histories=since)
    # Summaries and counts of that time are there, with its users, pages and tenants.
    assert everything - names() == {"/gone?by=gone", "/both?old"}
    prune_all(database, histories=since, page_statistics=since)
    assert everything - names() == {"/gone?by=gone", "/both?old", "/gone", "gone"}
    prune_all(database, counts=since)
    assert names() == {"ann", "t", "/both?new", "/both"}


def total(database: Database, start: int = 0, end: int = NOW) -> tuple[int, int]:
    told = get_page_statistics(database, start_timestamp=start, end_timestamp=end)
    return told["total_page_views"], told["total_unique_users"]


@pytest.mark.slow
def test_summaries_of_pruned_time_are_not_thrown_away(database: Database) -> None:
    feed(database, *(view(f"u{n % 9}", TODAY - n * 5 * HOUR, f"/p?{n}") for n in range(300)))
    since = TODAY - 10 * DAY
    ranges = [(0, NOW), (since - 3 * DAY, since + 3 * DAY), (since - 20 * HOUR, since - 1)]
    before = [total(database, *one) for one in ranges]
    prune_all(database, histories=since)
    assert [total(database, *one) for one in ranges] == before
    for rule in (PageRule(keep_query=True), PageRule(keep_query=True, collapse_ids=True)):
        rebuild(database, rule, lambda spans: spans)
        assert [total(database, *one) for one in ranges] == before
    assert run("summaries", "drop", "--database", database.path).returncode == 0
    assert [total(database, *one) for one in ranges] == before
    pages = get_page_statistics(database, start_timestamp=0, end_timestamp=NOW)["page_statistics"]
    # The pages of pruned time are those of the rule of that time.
    assert pages[0] == {"page_url": "/p", "total_views": 300 - 49, "unique_users": 9}
    assert len(pages) == 1 + 49


@pytest.mark.slow
def test_a_question_makes_longer_spans_of_pruned_time(database: Database) -> None:
    feed(database, *(view("ann", TODAY - n * 5 * HOUR) for n in range(300)))
    prune_all(database, histories=TODAY - 10 * DAY)
    levels = "select distinct level from page_summary order by level"
    with database.reading() as connection:
        assert (3,) not in connection.execute(levels).fetchall()
    assert total(database) == (300, 1)
    with database.reading() as connection:
        assert connection.execute(levels).fetchall() == [(0,), (1,), (2,), (3,)]


@pytest.mark.slow
def test_pruning_that_is_killed_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    now = int(time.time())
    with closing(Database(path)) as database:
        feed(
            database,
            *(
                view(f"u{second % 7}", now - day * DAY - second, f"/{second % 5}")
                for day in range(60)
                for second in range(30)
            ),
        )
        before = get_page_statistics(database, start_timestamp=0, end_timestamp=now)
        command = [sys.executable, "-m", "app", "prune", "--keep-histories", "3", "--yes"]
        for rows in (1500, 900, 300):
            with subprocess.Popen([*command, "--database", path], cwd=ROOT) as process:
                while process.poll() is None and rows_of(database) > rows:
                    pass
                process.send_signal(signal.SIGKILL)
            after = get_page_statistics(database, start_timestamp=0, end_timestamp=now)
            assert after == before
        assert run(*command[3:], "--database", path).returncode == 0
        assert get_page_statistics(database, start_timestamp=0, end_timestamp=now) == before
        assert rows_of(database) <= 4 * 30
        with database.reading() as connection:
            connection.rollback()
            assert list(find_wrong(connection, CHECKS, [])) == []


def rows_of(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute("select count(*) from behavior").fetchone()[0])


@pytest.mark.slow
def test_a_server_prunes_at_its_start(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    now = int(time.time())
    with closing(Database(path)) as database:
        feed(database, *(view("ann", now - day * DAY) for day in range(20)))
        settings = {"ANALYSIS_KEEP_HISTORIES": "5", "ANALYSIS_PRUNE_DAYS": "30"}
        with serving("--database", path, **settings) as server:
            while rows_of(database) > 6:
                time.sleep(0.02)
            url = (
                f"{server.url}{BASE}/metrics/page-statistics?start_timestamp=0&end_timestamp={now}"
            )
            with urlopen(Request(url, headers=server.headers)) as answer:
                assert json.load(answer)["total_page_views"] == 20
                assert answer.headers[EXACT]
            while True:
                with urlopen(f"{server.url}/metrics") as answer:
                    if b'last_action_timestamp_seconds{action="prune"}' in answer.read():
                        break


@pytest.mark.slow
def test_a_server_prunes_when_a_day_has_begun(
    database: Database, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.maintenance.pruning_thread.LOOK_SECONDS", 0.01)
    feed(database, *(view("ann", TODAY - day * DAY) for day in range(20)))
    with pruning_daily(database, Settings(keep_histories=5, prune_days=30)):
        for _ in range(3):
            while rows_of(database) != 6:
                time.sleep(0.01)
            clock.timestamp += DAY
            feed(database, view("ann", clock.timestamp))


def test_a_server_without_a_setting_has_no_thread_for_it(app: Flask, database: Database) -> None:
    feed(database, view("ann", TODAY - 3000 * DAY))
    with pruning_daily(database, app.extensions["settings"]):
        pass
    assert rows_of(database) == 1


def test_a_backup_is_noted(tmp_path: Path, client: FlaskClient, database: Database) -> None:
    assert b"last_action_timestamp_seconds{" not in client.get("/metrics").data
    assert run("backup", tmp_path / "copy.db", "--database", database.path).returncode == 0
    assert b'last_action_timestamp_seconds{action="backup"}' in client.get("/metrics").data
    (action,) = json.loads(run("audit", "--json", "--database", database.path).stdout)
    assert (action["action"], set(action["details"])) == ("backup", {"bytes"})


@pytest.mark.slow
def test_each_thing_that_was_done_is_listed_without_names_and_measured(
    tmp_path: Path, client: FlaskClient, database: Database
) -> None:
    """Those that only a wrong clock needs are in test_schedule.py."""
    names = ("ann", "bob", "carl")
    feed(database, *(view(user, TODAY - day * DAY) for day in range(9) for user in names))
    ingest(client, {"type": "create_tenant", "tenant_id": "acme", "timestamp": TODAY})
    for command in (
        ("backup", tmp_path / "copy.db"),
        ("delete", "--user", "bob", "--yes"),
        ("erase-user", "ann", "--yes"),
        ("erase-tenant", "acme", "--yes"),
        ("prune", "--keep-histories", "5", "--yes"),
    ):
        done = run(*command, "--database", database.path)
        assert done.returncode == 0, done.stderr
        told = run("audit", "--json", "--database", database.path).stdout
        latest = json.loads(told)[-1]
        assert not [name for name in (*names, "acme") if name in told]
        sample = f'last_action_timestamp_seconds{{action="{latest["action"]}"}} '
        (measured,) = client.get("/metrics").text.split(sample)[1:]
        assert float(measured.split()[0]) == latest["at"]
    assert len({action["action"] for action in json.loads(told)}) == 5
