"""Pruning: what is older than is kept is gone, and all else is answered as before."""

from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from app import create_app
from app.config import load_settings
from app.maintenance.integrity import CHECKS, find_wrong
from app.maintenance.pruning import count_old, prune
from app.storage.cutoffs import limits
from app.storage.database import Database
from app.summaries.pages import sealing

from ..conftest import SetClock
from ..support.calls import BASE
from ..support.examples import examples
from ..support.model import Entry, Model

HOUR = 3600
DAY = 24 * HOUR
TODAY = date(2026, 5, 19)
DATA = ["histories", "page_statistics", "counts", "event_ids"]


class Pruned:
    """A server beside a model, which forgets what is pruned."""

    def __init__(self, zone: str, folder: str) -> None:
        self.clock = SetClock()
        self.model = Model(zone, keep_query=False)
        self.clock.timestamp = self.model.first_second(TODAY) + 5000
        config = {"database": Path(folder, "a.db"), "time_zone": zone, "auth": False}
        config |= {"synchronous": "off", "accept_ahead": 30}
        self.app = create_app(config, clock=self.clock)
        self.client = self.app.test_client()
        self.database: Database = self.app.extensions["database"]
        self.since: dict[str, date] = {}

    def second(self, data: str) -> int:
        return self.model.first_second(self.since[data]) if data in self.since else 0

    def feed(self, back: int, second: int, user: str, env: int, referer: str, id_: str) -> None:
        timestamp = self.model.first_second(TODAY - timedelta(days=back)) + second
        event = {"type": "userinfo", "timestamp": timestamp, "user_id": user, "tenant_id": "t"}
        event |= {"env_id": env, "referer": referer} | ({"id": id_} if id_ else {})
        limiting = ["histories", "counts", *(["event_ids"] if id_ else [])]
        answer = self.client.post(BASE + "/ingest/events", json=event)
        if timestamp < max(map(self.second, limiting)):
            assert answer.status_code == 400
            assert "older data were pruned" in answer.get_json()["message"]
        else:
            report = self.model.ingest([(event, True)], all_or_nothing=False, now=0)
            assert answer.get_json() == report

    def fill(self) -> None:
        """Feed some views of every day, many of them in few hours."""
        end = self.model.first_second(TODAY)
        events: list[dict[str, Any]] = [
            {
                "type": "userinfo",
                "timestamp": at,
                "user_id": user,
                "tenant_id": "t",
                "referer": page,
            }
            for at in range(end - 75 * DAY + 1800, end, 17 * HOUR // 2)
            for user, page in (("ann", f"/old?{at}"), ("bob", "/a"))
        ]
        self.client.post(BASE + "/ingest/events", json=events)
        self.model.ingest([(event, True) for event in events], all_or_nothing=False, now=0)

    def put(self, back: int, user: str, seconds: list[int]) -> None:
        begin = self.model.first_second(TODAY - timedelta(days=back))
        histories = [{"timestamp": begin + second, "referer": "/put"} for second in seconds]
        body: dict[str, Any] = {"timestamp": begin, "user_id": user, "histories": histories}
        answer = self.client.put(BASE + "/user-behavior-day", json=body)
        if begin < self.second("histories"):
            assert (answer.status_code, "timestamp" in answer.get_json()["message"]) == (400, True)
        else:
            assert answer.status_code == 200
            self.model.put_day(**body)

    def put_number(self, back: int, monthly: bool, number: int) -> None:
        day = TODAY - timedelta(days=back)
        body: dict[str, Any] = {"type": "monthly" if monthly else "daily", "tenant_id": "t"}
        body["env_id"] = 1
        body |= {"date": day.isoformat()[: 7 if monthly else 10], "active_users": number}
        answer = self.client.put(BASE + "/active-users", json=body)
        first = self.since.get("counts", date.min).isoformat()
        if body["date"] < first[: 7 if monthly else 10]:
            assert (answer.status_code, "date" in answer.get_json()["message"]) == (400, True)
        else:
            assert answer.status_code == 200
            self.model.put_active_users(body)

    def prune(self, days: dict[str, int], steps: int) -> None:
        """Prune, or begin to and stop after some transactions, and then prune."""
        settings = load_settings({f"keep_{data}": kept for data, kept in days.items()}, {})
        since = limits(settings, self.database)
        with closing(prune(self.database, since)) as begun:
            for _ in zip(range(steps), begun, strict=False):
                pass
        old = count_old(self.database, since)
        deleted = dict.fromkeys((*old, "names"), 0)
        for data, count in prune(self.database, since):
            deleted[data] += count
        del deleted["names"]
        # Sealing beside it makes summaries, and may make some that are to be deleted.
        assert deleted.pop("page_statistics", 0) >= old.pop("page_statistics", 0)
        assert deleted == old
        assert not any(count_old(self.database, since).values())
        for data, kept in days.items():
            today = self.model.day_of(self.clock.timestamp)
            day = today - timedelta(days=kept)
            self.since[data] = max(self.since.get(data, date.min), day)

    def ask(self, path: str, expected: Any, **query: Any) -> None:
        answer = self.client.get(BASE + path, query_string=query)
        assert answer.get_json() == expected, (path, query)

    def ask_pages(self, start: int, end: int) -> None:
        """Where histories are gone, an hour counts for the range that its first second is in."""
        hour = self.second("histories") // HOUR * HOUR
        gone = self.second("page_statistics") // HOUR * HOUR
        model = Model(self.model.zone.key, keep_query=False)
        for entry in self.model.entries:
            if entry.timestamp < hour:
                entry = replace(entry, timestamp=entry.timestamp // HOUR * HOUR)
            if entry.timestamp >= gone:
                model.entries.append(entry)
        query = {"start_timestamp": start, "end_timestamp": end}
        self.ask("/metrics/page-statistics", model.page_statistics(start, end), **query)

    def ask_everything(self) -> None:
        first = self.since.get("histories", date.min)
        kept: list[Entry] = [entry for entry in self.model.entries if entry.day >= first]
        for user in ("ann", "bob", "cleo"):
            model = Model(self.model.zone.key, keep_query=False)
            model.entries = kept
            expected = model.histories(user, self.clock.timestamp)
            self.ask(f"/users/{user}/behavior-histories", expected)
        counted = self.since.get("counts", date.min)
        for type_, length in (("daily", 10), ("monthly", 7)):
            expected = self.model.active_users(type=type_, date_from=counted.isoformat()[:length])
            self.ask("/active-users", expected, type=type_, date_from="0001-01-01"[:length])
        expected = self.model.user_info(start=counted, end=date.max)
        query = {"start_date": "0001-01-01", "end_date": "9999-12-31"}
        self.ask("/userinfo/aggregated", expected, **query)
        self.ask_pages(0, 2**35)
        with self.database.reading() as connection:
            connection.rollback()
            assert list(find_wrong(connection, CHECKS, [])) == []


users = st.sampled_from(["ann", "bob", "cleo"])
backs = st.integers(0, 75)
seconds = st.sampled_from([0, 1, 1799, 1800, 3599, 3600, 40_000, 80_000])
feeds = st.tuples(
    st.just("feed"),
    backs,
    seconds,
    users,
    st.integers(1, 2),
    st.sampled_from(["", "/a", "/b?x=1", "/b"]),
    st.sampled_from(["", "", "1", "2", "3"]),
)
steps = st.one_of(
    feeds,
    feeds,
    st.tuples(st.just("put"), backs, users, st.lists(seconds, max_size=3)),
    st.tuples(st.just("put_number"), backs, st.booleans(), st.integers(0, 9)),
    st.tuples(st.just("ask_pages"), backs, seconds, backs, seconds),
    st.tuples(st.just("ask_few"), backs, seconds, st.integers(0, 5000)),
    st.tuples(st.just("ask_everything")),
    st.tuples(st.just("next_days"), st.integers(1, 30)),
    st.tuples(
        st.just("prune"),
        st.dictionaries(st.sampled_from(DATA), st.integers(1, 60), min_size=1),
        st.integers(0, 5),
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("pays", [1, 256])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/Santiago"])
@settings(max_examples=examples(40))
@given(steps=st.lists(steps, min_size=5, max_size=30))
def test_all_that_is_kept_is_answered_as_before(zone: str, pays: int, steps: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(sealing, "PAYS", pays)
        world = Pruned(zone, folder)
        with closing(world.database):
            world.fill()
            for action, *arguments in steps:
                note(f"{action} {arguments}")
                take(world, action, arguments)
            world.ask_everything()


def take(world: Pruned, action: str, arguments: list[Any]) -> None:
    if action == "ask_pages":
        back, second, other, last = arguments
        first = world.model.first_second
        moments = first(TODAY - timedelta(days=back)) + second
        ends = first(TODAY - timedelta(days=other)) + last
        world.ask_pages(min(moments, ends), max(moments, ends))
    elif action == "ask_few":
        back, second, length = arguments
        start = world.model.first_second(TODAY - timedelta(days=back)) + second
        world.ask_pages(start, start + length)
    elif action == "next_days":
        world.clock.timestamp += arguments[0] * DAY
    elif action == "prune":
        days, steps = dict(arguments[0]), arguments[1]
        if "page_statistics" in days:
            days["histories"] = min(days.get("histories", 60), days["page_statistics"])
        world.prune(days, steps)
    else:
        getattr(world, action)(*arguments)
