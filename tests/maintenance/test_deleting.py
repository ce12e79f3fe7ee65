"""Deleting a selection: answers are those of a plain model that has forgotten it."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from app import create_app
from app.analytics.events import CREATIONS
from app.analytics.page_statistics import get_page_statistics
from app.auth import keys
from app.config import Settings
from app.days import FIRST_DAY, LAST_DAY, MAX_TIMESTAMP, parse_day
from app.maintenance.deletion import delete
from app.maintenance.integrity import CHECKS, find_wrong
from app.maintenance.pruning_schedule import find_held_back
from app.maintenance.schemas import DeleteParam
from app.storage.database import Database
from app.storage.dictionary import NO_TENANT
from app.storage.event_ids import digest_of, read_ids
from app.summaries.pages import sealing as page_sealing
from app.summaries.periods import sealing as period_sealing

from ..conftest import NOW, SetClock, run
from ..support.calls import BASE
from ..support.examples import examples
from ..support.model import Model
from .test_erasing import DAY, HOUR, TODAY, answers, assert_right, feed, view
from .test_keeping import prune_all

DELETE = BASE + "/retention/delete"
NOON = date(2026, 5, 19)
NAMES = {
    "users": "select name from user",
    "tenants": "select name from tenant",
    "referers": "select url from referer",
    "pages": "select url from page",
}


class World:
    """A server beside a model that forgets what is deleted."""

    def __init__(self, zone: str, folder: str) -> None:
        self.model = Model(zone, keep_query=False)
        self.days_of_ids: dict[str, date] = {}
        clock = SetClock(self.model.first_second(NOON) + 5000)
        config = {"database": Path(folder, "a.db"), "time_zone": zone, "auth": False}
        self.app = create_app(config | {"synchronous": "off"}, clock=clock)
        self.client = self.app.test_client()
        self.database: Database = self.app.extensions["database"]
        self.now = clock.timestamp

    def feed(self, back: int, second: int, event: dict[str, Any]) -> None:
        day = NOON - timedelta(days=back)
        timestamp = self.model.first_second(day) + second
        event = {name: value for name, value in event.items() if value is not None}
        if event["type"] == "create_tenant":
            del event["user_id"]  # which such an event does not have
        event |= {"timestamp": timestamp}
        report = self.model.ingest([(event, True)], all_or_nothing=False, now=0)
        assert self.client.post(BASE + "/ingest/events", json=event).get_json() == report
        if "id" in event:
            self.days_of_ids.setdefault(event["id"], self.model.day_of(timestamp))

    def put(self, back: int, second: int, user: str) -> None:
        day = NOON - timedelta(days=back)
        if any((entry.user, entry.day) == (user, day) for entry in self.model.entries):
            return  # what is replaced leaves its names behind
        timestamp = self.model.first_second(day)
        histories = [{"timestamp": timestamp + second, "referer": "/put"}]
        body: dict[str, Any] = {"timestamp": timestamp, "user_id": user, "histories": histories}
        assert self.client.put(BASE + "/user-behavior-day", json=body).status_code == 200
        self.model.put_day(**body)

    def put_number(self, back: int, monthly: bool, tenant: str, number: int) -> None:
        day = (NOON - timedelta(days=back)).isoformat()
        body: dict[str, Any] = {"type": "monthly" if monthly else "daily"}
        body["date"] = day[: 7 if monthly else 10]
        body |= {"tenant_id": tenant, "env_id": 1, "active_users": number}
        assert self.client.put(BASE + "/active-users", json=body).status_code == 200
        self.model.put_active_users(body)

    def delete(self, back: int | None, length: int | None, names: dict[str, str]) -> None:
        first = last = None
        if back is not None:
            first = NOON - timedelta(days=back)
        if length is not None:
            last = (first or NOON - timedelta(days=75)) + timedelta(days=length)
        body: dict[str, Any] = dict(names)
        body |= {"date_from": first.isoformat()} if first else {}
        body |= {"date_to": last.isoformat()} if last else {}
        if not body:
            assert self.client.post(DELETE, json=body).status_code == 400
            return
        before = self.numbers()
        period_sealing.seal_all(self.database, iter)
        dry = self.client.post(DELETE, json=body | {"dry_run": True}).get_json()
        assert self.numbers() == before
        told = self.client.post(DELETE, json=body).get_json()
        assert told == dry
        entries, calls = len(self.model.entries), len(self.model.calls)
        self.forget(first or date.min, last or date.max, **names)
        gone = entries - len(self.model.entries), calls - len(self.model.calls)
        assert (told["histories"], told["calls"]) == gone

    def forget(
        self,
        first: date,
        last: date,
        user_id: str | None = None,
        tenant_id: str | None = None,
        page_url: str | None = None,
    ) -> None:
        model = self.model

        def fits(day: date, user: str | None, tenant: str | None, page: str | None) -> bool:
            return (
                first <= day <= last
                and user_id in (None, user)
                and tenant_id in (None, tenant)
                and page_url in (None, page)
            )

        if tenant_id is None:
            model.entries = [
                entry
                for entry in model.entries
                if not fits(entry.day, entry.user, None, entry.referer.split("?")[0])
            ]
        if page_url is not None:
            return
        model.calls = [
            call for call in model.calls if not fits(call.day, call.user, call.tenant, None)
        ]
        if user_id is not None:
            return
        model.puts = [
            put
            for put in model.puts
            if not (
                put["tenant_id"] == (tenant_id or put["tenant_id"]) and within(put, first, last)
            )
        ]
        if tenant_id is None:
            for id_, day in self.days_of_ids.copy().items():
                if first <= day <= last:
                    del self.days_of_ids[id_]
                    model.ids.discard(id_)

    def numbers(self) -> dict[str, list[str]]:
        with self.database.reading() as connection:
            names = {
                name: sorted(value for (value,) in connection.execute(sql))
                for name, sql in NAMES.items()
            }
            return names | {"ids": [digest.hex() for digest, _ in read_ids(connection)]}

    def check(self) -> None:
        model = self.model
        for user in ("ann", "bob", "cleo"):
            self.ask(f"/users/{user}/behavior-histories", model.histories(user, self.now))
        for type_, first in (("daily", "0001-01-01"), ("monthly", "0001-01")):
            expected = model.active_users(type=type_, date_from=first)
            self.ask("/active-users", expected, type=type_, date_from=first)
        ever = {"start_date": "0001-01-01", "end_date": "9999-12-31"}
        self.ask("/userinfo/aggregated", model.user_info(start=date.min, end=date.max), **ever)
        for type_ in CREATIONS:
            expected = model.metrics(metrics_type=type_, start=date.min, end=date.max)
            self.ask("/metrics/aggregated", expected, metrics_type=type_, **ever)
        for start, end in ((0, 2**35), (self.now - 40 * DAY, self.now - 2 * DAY)):
            query = {"start_timestamp": start, "end_timestamp": end}
            self.ask("/metrics/page-statistics", model.page_statistics(start, end), **query)
        referers = {entry.referer for entry in model.entries}
        calls = model.calls
        assert self.numbers() == {
            "users": sorted(
                {entry.user for entry in model.entries} | {call.user for call in calls if call.user}
            ),
            "tenants": sorted(
                {call.tenant for call in calls} | {put["tenant_id"] for put in model.puts}
            ),
            "referers": sorted(referers),
            "pages": sorted({referer.split("?")[0] for referer in referers}),
            "ids": sorted(digest_of("client", id_).hex() for id_ in self.days_of_ids),
        }
        assert_right(self.database)

    def ask(self, path: str, expected: Any, **query: Any) -> None:
        answer = self.client.get(BASE + path, query_string=query)
        assert answer.get_json() == expected, (path, query)


def within(put: dict[str, Any], first: date, last: date) -> bool:
    if put["type"] == "daily":
        return first <= date.fromisoformat(put["date"]) <= last
    begin = date.fromisoformat(put["date"] + "-01")
    end = (begin + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return first <= begin and end <= last


people = st.sampled_from(["ann", "bob", "cleo"])
tenants = st.sampled_from(["acme", "umbrella"])
backs = st.integers(0, 75)
seconds = st.sampled_from([0, 1, 1800, 3599, 40_000, 86_399])
events = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["userinfo"] * 4 + [*CREATIONS]),
        "user_id": people,
        "tenant_id": tenants,
        "env_id": st.sampled_from([1, 2, None]),
        "referer": st.sampled_from(["/", "/a?x", "/a?y", "/b", None]),
        "id": st.sampled_from(["1", "2", "3", None, None, None, None]),
    }
)
names = st.one_of(
    st.fixed_dictionaries({}, optional={"user_id": people, "tenant_id": tenants}),
    st.fixed_dictionaries(
        {"page_url": st.sampled_from(["/", "/a", "/put", "/gone"])}, optional={"user_id": people}
    ),
)
steps = st.one_of(
    *[st.tuples(st.just("feed"), backs, seconds, events)] * 3,
    st.tuples(st.just("put"), backs, seconds, people),
    st.tuples(st.just("put_number"), backs, st.booleans(), tenants, st.integers(0, 9)),
    st.tuples(
        st.just("delete"), st.none() | backs, st.none() | st.sampled_from([0, 3, 31, 60]), names
    ),
    st.tuples(st.just("check")),
)


@pytest.mark.slow
@pytest.mark.parametrize(("zone", "pays"), [("UTC", 1), ("Asia/Kolkata", 256)])
@settings(max_examples=examples(20), phases=[Phase.explicit, Phase.generate])
@given(steps=st.lists(steps, min_size=6, max_size=30), last=st.tuples(backs, st.just(31), names))
def test_what_is_deleted_was_never_there(
    zone: str, pays: int, steps: list[Any], last: tuple[int, int, dict[str, str]]
) -> None:
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(page_sealing, "PAYS", pays)
        patch.setattr(period_sealing, "PAYS", 1)
        world = World(zone, folder)
        with closing(world.database):
            for action, *arguments in [*steps, ("delete", *last), ("check",)]:
                note(f"{action} {arguments}")
                getattr(world, action)(*arguments)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(tmp_path / "a.db", clock=SetClock(), synchronous="off")) as made:
        yield made


def pages_of(database: Database, start: int = 0, end: int = NOW) -> dict[str, tuple[int, int]]:
    told = get_page_statistics(database, start_timestamp=start, end_timestamp=end)
    return {
        page["page_url"]: (page["total_views"], page["unique_users"])
        for page in told["page_statistics"]
    }


OLD = TODAY - 50 * DAY


@pytest.fixture
def pruned(opened: Database) -> Database:
    feed(
        opened,
        *(
            view(user, OLD + hour * HOUR, page)
            for user in ("ann", "bob")
            for hour in range(9)
            for page in ("/a", "/b")
        ),
        view("ann", OLD + DAY, "/a"),
        view("ann", NOW, "/a"),
        view("cleo", OLD + DAY, "/a"),
    )
    prune_all(opened, histories=TODAY - 10 * DAY)
    assert pages_of(opened) == {"/a": (21, 3), "/b": (18, 2)}
    return opened


@pytest.mark.slow
def test_a_page_of_pruned_time_goes_exactly(pruned: Database) -> None:
    assert delete(pruned, page_url="/a").stays == [
        "calls and active users: they have no page",
        "event ids: they have only a day, so an event with the same id stays a duplicate",
    ]
    assert pages_of(pruned) == {"/b": (18, 2)}
    assert_right(pruned)


def test_days_of_pruned_time_go_exactly(pruned: Database) -> None:
    day = OLD // DAY
    done = delete(pruned, date_from=day, date_to=day)
    assert done.calls == 36
    assert pages_of(pruned) == {"/a": (3, 2)}
    assert pages_of(pruned, OLD, OLD + DAY - 1) == {}
    assert_right(pruned)
    with pruned.reading() as connection:
        names = connection.execute("select name from user order by name").fetchall()
    assert names == [("ann",), ("cleo",)]  # summaries of the day after refer to them


def test_what_cannot_be_told_apart_in_pruned_time_is_said_to_stay(pruned: Database) -> None:
    day = OLD // DAY
    told = delete(pruned, user_id="ann", date_to=day)
    since = TODAY - 10 * DAY
    assert (
        f"counts before {since}, and views of pages that others viewed in the same hour"
        in (told.stays[-1])
    )
    assert pages_of(pruned, OLD, OLD + DAY - 1) == {"/a": (18, 1), "/b": (18, 1)}
    assert pages_of(pruned, OLD + DAY, NOW) == {"/a": (3, 2)}


def test_a_month_of_which_days_were_pruned_keeps_its_users(opened: Database) -> None:
    feed(opened, view("ann", TODAY - 8 * DAY), view("ann", TODAY - 2 * DAY))
    prune_all(opened, histories=TODAY - 5 * DAY)
    before = answers(opened)
    told = delete(opened, date_from=TODAY // DAY - 2)
    assert told.active_users == 1
    assert "1 users active in a month: days of that month were pruned" in told.stays
    assert answers(opened)[4] == before[4]
    assert_right(opened)


def test_a_deleted_event_of_days_alone_may_be_fed_again(opened: Database) -> None:
    feed(opened, view("ann", id="1"), view("bob", id="2"))
    before = answers(opened)
    told = delete(opened, date_from=TODAY // DAY)
    assert (told.event_ids, told.histories) == (2, 2)
    feed(opened, view("ann", id="1"), view("bob", id="2"))
    assert answers(opened) == before


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Pacific/Kiritimati", "America/Adak"])
def test_events_at_the_ends_of_time_go(tmp_path: Path, zone: str) -> None:
    path = tmp_path / "a.db"
    with closing(Database(path, time_zone=zone, clock=SetClock(), accept_ahead=None)) as database:
        feed(database, view("ann"))
        before = answers(database)
        times = (0, 1, MAX_TIMESTAMP - DAY, MAX_TIMESTAMP)
        feed(database, *(view("ann", at, f"/{at}", id=str(at)) for at in times))
        assert find_held_back(database, Settings(keep_histories=1)).keys() == {"histories"}
        assert delete(database, date_to=FIRST_DAY).histories == 0
        assert DeleteParam().load({"date_to": "0001-01-01"})["date_to"] == FIRST_DAY
        assert delete(database, user_id="ann", date_from=LAST_DAY).histories >= 1
        assert delete(database, date_from=NOW // DAY + 30).numbers == 0
        assert delete(database, date_to=300).event_ids == 2
        assert answers(database) == before
        assert_right(database)


def test_a_database_of_the_last_month_alone_is_late_with_nothing(opened: Database) -> None:
    opened.accept_ahead = None
    feed(opened, view("ann", MAX_TIMESTAMP))
    settings = Settings(keep_histories=1, keep_counts=1, keep_event_ids=1)
    assert find_held_back(opened, settings) == {}
    assert delete(opened, date_from=LAST_DAY).active_users == 2
    assert_right(opened)


BAD = [
    ({}, "one of user_id, tenant_id, page_url, date_from and date_to must be given"),
    ({"dry_run": True}, "one of user_id"),
    ({"usr_id": "ann", "date_from": "2026-01-01"}, "usr_id: is not known here"),
    ({"user_id": ""}, "user_id: must be 1 to 128 characters long"),
    ({"user_id": None, "date_to": "2026-01-01"}, "user_id: must not be null"),
    ({"date_from": "2026-02-30"}, "date_from: must be a date that exists"),
    ({"date_from": "2026-02-02", "date_to": "2026-02-01"}, "date_from: must not be after date_to"),
    ({"page_url": "/", "tenant_id": "t"}, "page_url: must not be given with tenant_id"),
    ({"date_to": "2026-02-01", "dry_run": "yes"}, "dry_run: must be true or false"),
    ([], "must be an object"),
]


@pytest.mark.parametrize(("body", "message"), BAD)
def test_what_is_not_clear_deletes_nothing(
    client: FlaskClient, app: Any, body: Any, message: str
) -> None:
    database = app.extensions["database"]
    feed(database, view("ann"))
    before = answers(database)
    answer = client.post(DELETE, json=body)
    assert answer.status_code == 400
    assert message in answer.get_json()["message"]
    assert answers(database) == before


def test_only_a_key_of_scope_admin_may(app: Any) -> None:
    opened = app.extensions["database"]
    token = keys.create_bearer_key(opened, name="all but", scopes=("read", "write", "ingest"))
    headers = {"Authorization": f"Bearer {token}"}
    answer = app.test_client().post(DELETE, json={"user_id": "ann"}, headers=headers)
    assert answer.status_code == 403


def test_what_a_request_deletes_is_in_no_file_any_more(
    client: FlaskClient, database: Database
) -> None:
    """Beside a server that others write to, no minute may come in which the -wal is emptied."""
    feed(database, view("distinctive-user", NOW, "/distinctive-page"), view("bob", NOW))
    for body in ({"user_id": "distinctive-user"}, {"user_id": "nobody"}):
        assert client.post(DELETE, json=body | {"dry_run": True}).status_code == 200
        assert client.post(DELETE, json=body).status_code == 200
        files = database.path.parent.glob(f"{database.path.name}*")
        assert [file.name for file in files if b"distinctive" in file.read_bytes()] == []
    with database.reading():  # a deletion does not fail because of a reader
        assert client.post(DELETE, json={"user_id": "bob"}).status_code == 200


def test_a_deletion_is_noted_without_names(opened: Database) -> None:
    feed(opened, view("ann-b", NOW - DAY), view("ann-b"), view("bob"))
    asked = run("delete", "--user", "ann-b", "--database", opened.path, input="n\n")
    assert (asked.returncode, "history entries 2, calls 2, active users 3" in asked.stderr) == (
        1,
        True,
    )
    options = ("--user", "ann-b", "--from", "2026-05-19", "--yes", "--json")
    told = json.loads(run("delete", *options, "--database", opened.path).stdout)
    assert (told["histories"], told["calls"], told["active_users"]) == (1, 1, 1)
    assert told["emptied_wal"] is True
    with opened.reading() as connection:
        ((action, details),) = connection.execute("select action, details from audit").fetchall()
        connection.rollback()
        assert list(find_wrong(connection, CHECKS, [])) == []
    assert (action, "ann" in details) == ("delete", False)
    assert parse_day("2026-05-19") == NOW // DAY
    assert NO_TENANT not in details
