"""Page summaries: exact whatever is written, sealed, damaged or killed (app/summaries)."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import Request, urlopen

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from app.analytics.events import Event, Report
from app.analytics.histories import update_user_behavior_histories_by_day
from app.analytics.page_statistics import get_page_statistics
from app.analytics.recording import record_events
from app.storage.database import Database
from app.storage.page_rule import read_page_rule
from app.summaries.pages import sealing
from app.summaries.pages.reading import SELECT_SUMMARIES
from app.summaries.pages.summary import decode, encode
from app.summaries.spans import LENGTHS

from ..conftest import NOW, ROOT, SetClock, run, serving
from ..storage.test_database import locked_by_another_process
from ..support.examples import cases, examples

HOUR = 3600
DAY = 24 * HOUR
TODAY = NOW // DAY * DAY

TOTALS = """
select count(*), count(distinct user_id)
from behavior
where timestamp between :start and :end
"""

PAGES = """
select page.url, count(*) as views, count(distinct behavior.user_id)
from behavior
join referer on referer.id = behavior.referer_id
join page on page.id = referer.page_id
where behavior.timestamp between :start and :end
group by page.id
order by views desc, page.url
"""


@pytest.fixture(autouse=True)
def _seal_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "PAYS", 1)


def view(database: Database, at: int, user: str = "ann", page: str = "/home") -> None:
    record_events(database, [Event("userinfo", at, user, referer=page)], Report())


def ask(database: Database, start: int, end: int) -> Any:
    """Return page statistics, which must be those that the rows alone tell."""
    answer = get_page_statistics(database, start_timestamp=start, end_timestamp=end)
    with database.reading() as connection:
        parameters = {"start": start, "end": end}
        totals = connection.execute(TOTALS, parameters).fetchone()
        pages = connection.execute(PAGES, parameters).fetchall()
    assert [tuple(page.values()) for page in answer["page_statistics"]] == pages
    assert (answer["total_page_views"], answer["total_unique_users"]) == totals
    return answer


def edit(database: Database, sql: str, *parameters: object) -> None:
    """Change the database by hand, as with the command sqlite3."""
    with closing(sqlite3.connect(database.path, isolation_level=None)) as connection:
        connection.execute(sql, parameters)


def sealed(database: Database) -> set[tuple[int, int]]:
    with database.reading() as connection:
        return set(connection.execute(sealing.SELECT_ALL_SPANS))


def wrong(database: Database) -> list[tuple[int, int, str]]:
    with database.reading() as connection:
        return list(sealing.check(connection, iter))


def fill(database: Database, days: int, users: int = 3) -> None:
    """Record views in every hour of some days before today."""
    events = [
        Event("userinfo", at + user, f"u{(at // HOUR * 7 + user) % 40}", referer=f"/p{user}?q={at}")
        for at in range(TODAY - days * DAY, TODAY, HOUR)
        for user in range(users)
    ]
    record_events(database, events, Report())


# Eight weeks: one span of every length is in it.
moments = st.builds(
    lambda day, hour, second: TODAY - day * DAY + hour * HOUR + second,
    st.integers(0, 56),
    st.integers(0, 23),
    st.sampled_from([0, 0, 1, 1800, 3599]),
)
users = st.sampled_from(["ann", "bob", "cleo"])
entries = st.lists(
    st.tuples(st.integers(0, DAY - 1), st.sampled_from(["/a", "/b?x=1", "/b"])), max_size=5
)
steps = st.one_of(
    st.tuples(st.just("ask"), moments, moments),
    st.tuples(st.just("ask"), moments, st.integers(1, 2 * HOUR).map(lambda length: -length)),
    st.tuples(st.just("ask"), st.just(0), st.just(2**35)),
    st.tuples(st.just("put"), moments, users, entries),
    st.tuples(st.just("add"), st.lists(st.tuples(moments, users), min_size=1, max_size=4)),
    st.tuples(st.just("next day")),
    st.tuples(st.just("damage"), st.integers(0, 3), st.booleans()),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "zone", ["UTC", "Asia/Kolkata", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu"]
)
@settings(max_examples=examples(60))
@given(steps=st.lists(steps, min_size=4, max_size=20))
def test_every_answer_is_what_the_rows_tell(zone: str, steps: list[Any]) -> None:
    # Clocks change on 2026-04-05 in two of the zones; TODAY is 2026-05-19.
    with (
        TemporaryDirectory() as folder,
        closing(
            Database(Path(folder, "a.db"), time_zone=zone, clock=SetClock(), synchronous="off")
        ) as database,
    ):
        fill(database, 50, users=1)
        for step in steps:
            note(str(step))
            take(database, *step)
        take(database, "ask", 0, 2**35)
        assert all(reason == "damaged" for _, _, reason in wrong(database))


def take(database: Database, action: str, *arguments: Any) -> None:
    calendar, clock = database.calendar, database.clock
    if action == "ask":
        start, end = arguments
        if end < 0:
            end = start - end
        ask(database, min(start, end), max(start, end))
    elif action == "put":
        at, user, given = arguments
        begin = calendar.day_start(calendar.day_of(at))
        until = calendar.day_start(calendar.day_of(at) + 1)
        history = [
            {"timestamp": begin + second, "referer": referer}
            for second, referer in given
            if begin + second < until
        ]
        update_user_behavior_histories_by_day(
            database, timestamp=at, user_id=user, histories=history
        )
    elif action == "add":
        (given,) = arguments
        events = [Event("userinfo", at, user, referer="/a?late") for at, user in given]
        record_events(database, events, Report())
    elif action == "next day":
        assert isinstance(clock, SetClock)
        clock.timestamp += DAY
    elif action == "damage":
        level, whole = arguments
        if whole:
            edit(database, "delete from page_summary where level = ?", level)
        else:
            edit(database, "update page_summary set users = x'00' where level = ?", level)


@pytest.mark.slow
def test_a_question_seals_spans_of_every_length(database: Database) -> None:
    fill(database, 90)
    ask(database, TODAY - 90 * DAY, TODAY - 1)
    assert {level for level, _ in sealed(database)} == {0, 1, 2, 3}
    assert wrong(database) == []


@pytest.mark.slow
def test_the_next_question_reads_summaries_only(database: Database) -> None:
    fill(database, 90)
    answer = ask(database, TODAY - 90 * DAY, TODAY - 1)
    # Rows that vanish by hand, past the server, are not missed: nobody looks at them.
    edit(database, "delete from behavior")
    again = get_page_statistics(database, start_timestamp=TODAY - 90 * DAY, end_timestamp=TODAY - 1)
    assert again["total_page_views"] == answer["total_page_views"]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "Asia/Kolkata", "America/New_York"])
def test_today_is_never_sealed(tmp_path: Path, zone: str) -> None:
    clock = SetClock(TODAY)
    with closing(Database(tmp_path / "a.db", time_zone=zone, clock=clock)) as database:
        calendar = database.calendar
        for at in range(TODAY - 3 * DAY, TODAY + 2 * DAY, HOUR // 2):
            view(database, at)
        for now in (TODAY, TODAY + 7 * HOUR, TODAY + 15 * HOUR, TODAY + DAY):
            clock.timestamp = now
            ask(database, TODAY - 3 * DAY, TODAY + 2 * DAY)
            ends = [(span + 1) * LENGTHS[level] * HOUR for level, span in sealed(database)]
            today = calendar.day_start(calendar.day_of(now))
            assert max(ends) == today // HOUR * HOUR


def test_few_rows_are_not_sealed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "PAYS", 65)
    piece = TODAY // HOUR // 64 - 1
    for hour in range(piece * 64, piece * 64 + 64):
        view(database, hour * HOUR)
    ask(database, 0, TODAY)
    assert sealed(database) == set()
    view(database, piece * 64 * HOUR)
    ask(database, 0, TODAY)
    assert len(sealed(database)) == 64 + 8 + 1


@pytest.mark.slow
def test_a_write_drops_what_covers_it_and_no_more(database: Database) -> None:
    fill(database, 90)
    ask(database, 0, TODAY)
    before = sealed(database)
    late = TODAY - 50 * DAY + 5
    for histories in ([{"timestamp": late, "referer": "/"}], []):
        update_user_behavior_histories_by_day(
            database, timestamp=late, user_id="ann", histories=histories
        )
        covering = {(level, late // HOUR // length) for level, length in enumerate(LENGTHS)}
        assert before - sealed(database) == covering & before
        ask(database, 0, TODAY)
        assert sealed(database) == before


def test_a_day_that_is_replaced_drops_old_and_new_hours(database: Database) -> None:
    fill(database, 10)
    view(database, TODAY - DAY)
    ask(database, 0, TODAY)
    before = sealed(database)
    update_user_behavior_histories_by_day(
        database,
        timestamp=TODAY - DAY,
        user_id="ann",
        histories=[{"timestamp": TODAY - 1, "referer": "/"}],
    )
    dropped = {span for level, span in before - sealed(database) if level == 0}
    assert dropped == {TODAY // HOUR - 24, TODAY // HOUR - 1}
    ask(database, 0, TODAY)


def during_sealing(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Let something happen once, when a span was read and is not stored yet."""
    happened: list[bool] = []

    def encode_late(*summary: Any) -> Any:
        if not happened:
            happened.append(True)
            thread = threading.Thread(target=act)
            thread.start()
            thread.join()
        return encode(*summary)

    monkeypatch.setattr(sealing, "encode", encode_late)


def test_a_write_during_sealing_is_not_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, 2)
    at = TODAY - 30 * HOUR
    during_sealing(monkeypatch, lambda: view(database, at, "late"))
    ask(database, 0, TODAY)
    assert not any(level == 0 and span == at // HOUR for level, span in sealed(database))
    assert wrong(database) == []
    ask(database, 0, TODAY)
    assert (0, at // HOUR) in sealed(database)


def test_a_question_during_sealing_is_answered_from_the_rows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, 2)
    answers: list[Any] = []
    during_sealing(monkeypatch, lambda: answers.append(ask(database, 0, TODAY)))
    assert ask(database, 0, TODAY) == answers[0]


def test_two_processes_that_seal_at_once_do_no_harm(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, 2)
    with closing(Database(database.path, clock=SetClock(), synchronous="off")) as other:
        during_sealing(monkeypatch, lambda: sealing.seal(other, 0, TODAY))
        ask(database, 0, TODAY)
    assert wrong(database) == []


@contextmanager
def locked_by_another_thread(database: Database) -> Iterator[None]:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with database.writing():
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    yield
    done.set()
    thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("by", ["process", "thread"])
def test_a_database_that_cannot_be_written_to_still_answers(tmp_path: Path, by: str) -> None:
    with closing(Database(tmp_path / "a.db", clock=SetClock(), busy_seconds=600)) as database:
        fill(database, 2)
        with (
            locked_by_another_process(database.path)
            if by == "process"
            else locked_by_another_thread(database)
        ):
            ask(database, 0, TODAY)
        assert sealed(database) == set()
        with database.writing() as connection:
            assert connection.execute("pragma busy_timeout").fetchone() == (600_000,)
        ask(database, 0, TODAY)
        assert sealed(database)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sql",
    [
        "delete from page_summary",
        "delete from page_summary where level = 0",
        "delete from page_summary where level > 0",
        "delete from page_summary where span % 3 = 0",
        "update page_summary set views = x''",
        "update page_summary set visitors = x'3a30'",
        "update page_summary set users = zeroblob(1000)",
        "update page_summary set checksum = checksum + 1 where level in (0, 2)",
        "update page_summary set checksum = -1 where level > 1",
        "update page_summary set span = -span",
        "update page_summary set level = 3 - level where level in (1, 2) and span < 0",
        "delete from page_sealing",
    ],
)
def test_summaries_that_were_changed_by_hand_change_no_answer(database: Database, sql: str) -> None:
    fill(database, 60)
    ask(database, TODAY - 60 * DAY, TODAY)
    edit(database, sql)
    for start, end in [(0, TODAY), (TODAY - 50 * DAY - 5, TODAY - 5), (TODAY - DAY, TODAY)]:
        ask(database, start, end)
    view(database, TODAY - 40 * DAY)
    ask(database, 0, TODAY)
    assert all(reason == "damaged" for _, _, reason in wrong(database))


class TestCommands:
    @pytest.fixture(autouse=True)
    def filled(self, database: Database) -> None:
        fill(database, 60, users=20)
        ask(database, 0, TODAY)

    def command(self, database: Database, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run("summaries", *arguments, "--database", database.path)

    @pytest.mark.slow
    def test_check_finds_nothing_wrong(self, database: Database) -> None:
        checked = self.command(database, "check")
        assert (checked.returncode, checked.stdout) == (0, "all summaries are right\n")

    @pytest.mark.slow
    def test_check_lists_what_is_damaged_and_what_differs(self, database: Database) -> None:
        hour = TODAY // HOUR - 30
        edit(database, "update page_summary set views = x'' where level = 0 and span = ?", hour)
        with database.reading() as connection:
            (row,) = connection.execute(
                SELECT_SUMMARIES, {"level": 1, "first": hour // 8, "last": hour // 8}
            )
        summary = decode(row)
        assert summary is not None
        summary.views[next(iter(summary.views))] += 1
        with database.writing() as connection:
            connection.execute(sealing.INSERT_SUMMARY, encode(1, hour // 8, summary))
        checked = self.command(database, "check")
        assert checked.returncode == 1
        assert checked.stdout.splitlines() == [
            "2026-05-17T18:00Z, 1 hours: damaged",
            "2026-05-17T16:00Z, 8 hours: differs",
        ]
        assert "2 summaries are wrong" in checked.stderr
        assert self.command(database, "rebuild").returncode == 0
        assert self.command(database, "check").returncode == 0

    @pytest.mark.slow
    def test_drop_leaves_none(self, database: Database) -> None:
        assert self.command(database, "drop").returncode == 0
        assert sealed(database) == set()
        ask(database, 0, TODAY)

    @pytest.mark.slow
    def test_rebuild_makes_pages_by_another_rule(self, database: Database) -> None:
        view(database, TODAY, page="/users/5?a=1")
        changed = self.command(database, "rebuild", "--keep-query", "on", "--collapse-ids", "on")
        assert changed.returncode == 0, changed.stderr
        pages = ask(database, TODAY, TODAY)["page_statistics"]
        assert [page["page_url"] for page in pages] == ["/users/{id}?a=1"]
        view(database, TODAY, page="/users/6?a=1")
        assert len(ask(database, TODAY, TODAY)["page_statistics"]) == 1
        assert wrong(database) == []
        refused = run(
            "summaries",
            "check",
            env=os.environ
            | {"ANALYSIS_COLLAPSE_IDS": "off", "ANALYSIS_DATABASE": str(database.path)},
        )
        assert refused.returncode == 1
        assert "collapse_ids: " in refused.stderr
        assert "was made with on, which a start does not change to off" in refused.stderr

    @pytest.mark.slow
    def test_rebuild_keeps_the_rule_if_none_is_given(self, database: Database) -> None:
        assert self.command(database, "rebuild", "--collapse-ids", "on").returncode == 0
        assert self.command(database, "rebuild").returncode == 0
        with database.reading() as connection:
            rule = read_page_rule(connection)
        assert (rule.keep_query, rule.collapse_ids) == (False, True)


@pytest.mark.slow
@pytest.mark.parametrize("spans", cases([1, 500, 1000], [500]))
def test_a_process_that_is_killed_while_it_seals_changes_no_answer(
    database: Database, spans: int
) -> None:
    fill(database, 90, users=40)
    command = [sys.executable, "-m", "app", "summaries", "rebuild", "--database"]
    with subprocess.Popen(
        [*command, str(database.path)], cwd=ROOT, stderr=subprocess.DEVNULL
    ) as process:
        while len(sealed(database)) < spans:
            assert process.poll() is None
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert wrong(database) == []
    ask(database, TODAY - 85 * DAY - 7, TODAY - 5)
    view(database, TODAY - 40 * DAY)
    ask(database, 0, TODAY)
    assert wrong(database) == []


@pytest.mark.slow
def test_a_server_that_is_killed_between_write_and_seal_answers_as_before(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    late = [
        {"type": "userinfo", "user_id": f"u{n % 7}", "timestamp": at, "referer": f"/p{n % 5}"}
        for n, at in enumerate(range(TODAY - 9 * DAY, TODAY - DAY, 600))
    ]
    with closing(Database(path, clock=SetClock())) as database:
        fill(database, 20)
        ask(database, 0, TODAY)
        assert sealed(database)
    with serving("--database", path, "--no-auth") as server:
        request = Request(
            f"{server.url}/v1/analysis/ingest/events",
            json.dumps(late).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(request) as answer:
            assert json.load(answer)["accepted"] == len(late)
        server.process.kill()
    with closing(Database(path, clock=SetClock())) as database:
        assert wrong(database) == []
        answer = ask(database, 0, TODAY)
        assert answer["total_page_views"] == 20 * 24 * 3 + len(late)
        assert wrong(database) == []
