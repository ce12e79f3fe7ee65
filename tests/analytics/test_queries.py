"""What the dashboard asks: the cases at the edges. The model beside it is in test_queries_model."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.analytics import (
    active_users,
    calls,
    data_range,
    exclusive_users,
    page_statistics,
    page_views,
    tenants,
)
from app.analytics.active_user_counts import update_active_users
from app.analytics.events import Event, Place, Report
from app.analytics.histories import update_user_behavior_histories_by_day
from app.analytics.page_statistics import Page
from app.analytics.page_views import Action
from app.analytics.recording import record_events
from app.analytics.selection import Days, Scope
from app.analytics.users import (
    Cursor,
    Entry,
    find_users,
    user_entries,
    user_exists,
    user_extent,
    user_tenants,
)
from app.days import LAST_DAY, month_of
from app.maintenance.pruning import prune
from app.storage.database import Database
from app.storage.dictionary import NO_TENANT
from app.summaries.pages import sealing as page_sealing
from app.summaries.periods import sealing as period_sealing
from app.validation.fields import MAX_INTEGER

from ..conftest import NOW, SetClock
from ..summaries.test_pages import edit

DAY = 24 * 3600
TODAY = NOW // DAY
WEEK = Days(TODAY - 6, TODAY)


@pytest.fixture(autouse=True)
def _seal_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_sealing, "PAYS", 1)
    monkeypatch.setattr(period_sealing, "PAYS", 1)


@pytest.fixture
def zone() -> str:
    return "UTC"


@pytest.fixture
def database(tmp_path: Path, zone: str) -> Iterator[Database]:
    path = tmp_path / "a.db"
    with closing(Database(path, time_zone=zone, clock=SetClock(), synchronous="off")) as opened:
        yield opened


def visit(
    database: Database,
    at: int,
    user: str = "ann",
    tenant: str = "acme",
    env: int | None = 3,
    referer: str | None = "/home",
) -> None:
    place = Place(tenant, () if env is None else (env,))
    record_events(database, [Event("userinfo", at, user, (place,), referer)], Report())


def put_number(
    database: Database, number: int, tenant: str, env: int = 3, day: int = TODAY
) -> None:
    update_active_users(
        database, type="daily", date=day, tenant_id=tenant, env_id=env, active_users=number
    )


def everything(database: Database, days: Days, tenant: str | None = None) -> dict[str, Any]:
    """Return what all functions tell of some days."""
    months = Days(month_of(days.first), month_of(days.last))
    return {
        "active_by_day": active_users.active_by_day(database, days, Scope(tenant)),
        "active_by_month": active_users.active_by_month(database, *months, Scope(tenant)),
        "active_in": active_users.active_in(database, days, Scope(tenant)),
        "calls_by_day": calls.calls_by_day(database, days, tenant),
        "views_by_day": page_views.views_by_day(database, days),
        "page_totals": page_views.page_totals(database, days, tenant),
        "page_by_day": page_views.page_by_day(database, "/home", days, tenant),
        "page_users": page_views.page_users(database, "/home", days, tenant),
        "page_actions": page_views.page_actions(database, "/home", days),
        "tenants": tenants.tenants(database, days),
        "tenant_environments": tenants.tenant_environments(database, tenant or "acme", days),
        "environments": tenants.environments(database, days),
        "tenant_ids": tenants.tenant_ids(database, days, 9),
        "fading": tenants.fading(database, days, 9),
        "user_entries": user_entries(database, "ann", days, limit=9),
    }


NOTHING = {
    "active_by_day": {},
    "active_by_month": {},
    "active_in": 0,
    "calls_by_day": {
        "userinfo": {},
        "create_tenant": {},
        "create_saas_user": {},
        "create_tenant_user": {},
    },
    "views_by_day": {},
    "page_totals": page_statistics.PageTotals(0, 0, []),
    "page_by_day": {},
    "page_users": 0,
    "page_actions": [],
    "tenants": [],
    "tenant_environments": ([], 0),
    "environments": [],
    "tenant_ids": [],
    "fading": [],
    "user_entries": ([], None),
}


class TestNothing:
    def test_an_empty_database_has_nothing(self, database: Database) -> None:
        assert everything(database, WEEK) == NOTHING
        assert data_range.first_day(database) is None
        assert not data_range.has_data(database)
        assert find_users(database, "", 9) == []
        assert not user_exists(database, "ann")
        assert user_tenants(database, "ann") == []
        assert user_extent(database, "ann") is None

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "days",
        [Days(-40_000, -1), Days(-1, 0), Days(TODAY + 1, TODAY + 1), Days(LAST_DAY - 9, LAST_DAY)],
    )
    @pytest.mark.parametrize("tenant", [None, "acme", "unheard"])
    @pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
    def test_days_without_data_have_nothing(
        self, database: Database, days: Days, tenant: str | None
    ) -> None:
        visit(database, NOW - 2 * DAY)
        told = everything(database, days, tenant)
        (of_acme,) = told.pop("tenants")
        assert of_acme[3:7] == (0, 0, 0, 0)
        expected = dict(NOTHING)
        del expected["tenants"]
        if tenant is not None:
            expected["calls_by_day"] = {
                type_: {} for type_ in ("userinfo", "create_tenant", "create_tenant_user")
            }
        if month_of(TODAY) in range(month_of(days.first), month_of(days.last) + 1):
            expected["active_by_month"] = {} if tenant == "unheard" else {month_of(TODAY): 1}
        if tenant != "unheard":
            environment = tenants.Environment(3, 0, 1, 0, 0)
            expected["tenant_environments"] = [environment], 1
        assert told == expected

    def test_another_user_tenant_or_page_has_nothing(self, database: Database) -> None:
        visit(database, NOW)
        assert page_views.page_by_day(database, "/unheard", WEEK) == {}
        assert page_views.page_users(database, "/unheard", WEEK) == 0
        assert page_views.page_actions(database, "/unheard", WEEK) == []
        assert active_users.active_in(database, WEEK, Scope("unheard")) == 0
        assert active_users.active_by_day(database, WEEK, Scope("acme", 1)) == {}
        assert page_views.page_totals(database, WEEK, "unheard") == page_statistics.PageTotals(
            0, 0, []
        )
        assert user_entries(database, "unheard", WEEK, limit=9) == ([], None)


# Clocks changed on 2026-04-05 in the last two; a day of theirs has 25 and 24.5 hours.
ZONES = ["UTC", "Asia/Tokyo", "Asia/Kolkata", "America/Santiago", "Australia/Lord_Howe"]


class TestDays:
    @pytest.mark.slow
    @pytest.mark.parametrize("zone", ZONES)
    @pytest.mark.parametrize("day", [TODAY - 45, TODAY - 44, TODAY - 1, TODAY])
    def test_both_ends_of_a_day_are_in_it(self, database: Database, day: int) -> None:
        first, last = Days(day, day).seconds(database.calendar)
        for at in (first - 1, first, last, last + 1):
            visit(database, at)
        one = Days(day, day)
        assert page_views.views_by_day(database, one) == {day: 2}
        assert page_views.page_totals(database, one) == page_statistics.PageTotals(
            2, 1, [Page("/home", 2, 1)]
        )
        assert page_views.page_by_day(database, "/home", one) == {day: (2, 1)}
        assert page_views.page_by_day(database, "/home", one, "acme") == {day: (2, 1)}
        assert calls.calls_by_day(database, one)["userinfo"] == {day: 2}
        entries, _ = user_entries(database, "ann", one, limit=9)
        assert [entry.timestamp for entry in entries] == [last, first]
        around = Days(day - 1, day + 1)
        assert page_views.views_by_day(database, around) == {day - 1: 1, day: 2, day + 1: 1}
        assert page_views.page_by_day(database, "/home", around, "acme") == {
            day - 1: (1, 1),
            day: (2, 1),
            day + 1: (1, 1),
        }

    @pytest.mark.slow
    def test_damaged_summaries_are_not_believed(self, database: Database) -> None:
        for at in range(NOW - 5 * DAY, NOW, 5000):
            visit(
                database, at, f"u{at % 7}", ["acme", "umbrella"][at % 3 % 2], referer=f"/{at % 2}"
            )
        of_all = everything(database, WEEK), everything(database, WEEK, "acme")
        edit(database, "update page_summary set views = x'' where level = 1")
        edit(database, "update page_summary set users = x'', visitors = x'' where level = 0")
        edit(database, "update period_summary set content = x''")
        assert (everything(database, WEEK), everything(database, WEEK, "acme")) == of_all


class TestNumbers:
    def test_a_number_that_was_put_stands_for_its_place_alone(self, database: Database) -> None:
        for user in ("ann", "bob"):
            visit(database, NOW, user, "acme", 3)
            visit(database, NOW, user, "acme", 1)
            visit(database, NOW, user, "umbrella", 3)
        assert active_users.active_by_day(database, WEEK, Scope()) == {TODAY: 2}
        put_number(database, 10, "acme", 3)
        assert active_users.active_by_day(database, WEEK, Scope()) == {TODAY: 12}
        assert active_users.active_by_day(database, WEEK, Scope(None, 3)) == {TODAY: 12}
        assert active_users.active_by_day(database, WEEK, Scope("acme")) == {TODAY: 12}
        assert active_users.active_by_day(database, WEEK, Scope("acme", 3)) == {TODAY: 10}
        assert active_users.active_by_day(database, WEEK, Scope("acme", 1)) == {TODAY: 2}
        assert active_users.active_by_day(database, WEEK, Scope("umbrella")) == {TODAY: 2}

    def test_who_was_active_is_not_known_where_a_number_was_put(self, database: Database) -> None:
        visit(database, NOW)
        visit(database, NOW, "bob", "umbrella", 1)
        put_number(database, 10, "acme", day=TODAY - 1)
        assert active_users.active_in(database, WEEK, Scope()) is None
        assert active_users.active_in(database, WEEK, Scope("acme")) is None
        assert active_users.active_in(database, WEEK, Scope(None, 3)) is None
        assert active_users.active_in(database, WEEK, Scope("umbrella")) == 1
        assert active_users.active_in(database, WEEK, Scope("acme", 1)) == 0
        assert active_users.active_in(database, Days(TODAY, TODAY), Scope()) == 2
        active = {each.tenant_id: each.active for each in tenants.tenants(database, WEEK)}
        assert active == {"acme": None, "umbrella": 1}

    def test_sums_may_be_more_than_an_integer_of_the_database_holds(
        self, database: Database
    ) -> None:
        for tenant in ("acme", "umbrella"):
            put_number(database, MAX_INTEGER, tenant, 1)
            put_number(database, MAX_INTEGER, tenant, 3)
        edit(database, f"insert into call_count values (0, {TODAY}, 1, {MAX_INTEGER})")
        edit(database, f"insert into call_count values (0, {TODAY}, 2, {MAX_INTEGER})")
        edit(database, f"insert into call_count values (0, {TODAY - 1}, 1, {MAX_INTEGER})")
        assert active_users.active_by_day(database, WEEK, Scope()) == {TODAY: 4 * MAX_INTEGER}
        assert calls.calls_by_day(database, WEEK)["userinfo"] == {
            TODAY - 1: MAX_INTEGER,
            TODAY: 2 * MAX_INTEGER,
        }
        acme = tenants.tenants(database, WEEK)[0]
        assert (acme.today, acme.calls) == (2 * MAX_INTEGER, 2 * MAX_INTEGER)
        assert tenants.tenant_ids(database, WEEK, 9) == ["acme", "umbrella"]

    def test_a_number_of_nobody_makes_no_last_day(self, database: Database) -> None:
        put_number(database, 0, "acme")
        put_number(database, 1, "umbrella", day=TODAY - 3)
        acme, umbrella = tenants.tenants(database, WEEK)
        assert (acme.last_day, umbrella.last_day) == (None, TODAY - 3)
        put_number(database, 0, "acme", 2)
        assert tenants.tenant_ids(database, WEEK, 9) == ["umbrella"]
        assert tenants.environments(database, WEEK) == [3]


class TestAlone:
    """Of a tenant, nothing may be told of another: these numbers are shown to its people."""

    MAY, APRIL = TODAY * DAY, (TODAY - 25) * DAY

    @pytest.mark.parametrize(
        ("elsewhere", "days", "is_told"),
        [
            ({}, WEEK, True),
            ({"tenant": "umbrella", "at": MAY}, WEEK, False),
            ({"tenant": "umbrella", "at": MAY - 10 * DAY}, WEEK, False),
            ({"tenant": "umbrella", "at": APRIL}, WEEK, True),
            ({"tenant": "umbrella", "at": APRIL}, Days(TODAY - 24, TODAY), False),
            ({"tenant": "umbrella", "at": MAY, "env": None}, WEEK, False),
            ({"tenant": "umbrella", "at": MAY, "referer": None}, WEEK, False),
            ({"tenant": NO_TENANT, "at": MAY}, WEEK, True),
            ({"tenant": NO_TENANT, "at": MAY, "env": None}, WEEK, True),
            ({"tenant": "acme", "at": MAY, "env": None}, WEEK, True),
        ],
    )
    @pytest.mark.parametrize("more", [0, 5])
    def test_only_users_of_no_other_tenant_are_counted(
        self, database: Database, elsewhere: dict[str, Any], days: Days, is_told: bool, more: int
    ) -> None:
        visit(database, self.MAY, "ann", referer="/own")
        if elsewhere:
            visit(database, **{"user": "ann", "referer": "/secret"} | elsewhere)
        # With more users of the tenant than others, and with fewer.
        for number in range(more):
            visit(database, self.MAY, f"u{number}", referer="/other")
        totals = page_views.page_totals(database, days, "acme")
        by_day = page_views.page_by_day(database, "/own", days, "acme")
        users = page_views.page_users(database, "/own", days, "acme")
        if is_told:
            assert (totals.users, totals.left_out) == (1 + more, 0)
            assert (by_day, users) == ({TODAY: (1, 1)}, 1)
        else:
            assert (totals.users, totals.left_out) == (more, 1)
            assert {page.url for page in totals.pages} <= {"/other"}
            assert (by_day, users) == ({}, 0)
            assert page_views.page_by_day(database, "/secret", days, "acme") == {}

    def test_who_has_no_environment_anywhere_is_no_user_of_the_tenant(
        self, database: Database
    ) -> None:
        visit(database, NOW, env=None)
        assert page_views.page_totals(database, WEEK, "acme") == page_statistics.PageTotals(
            0, 0, []
        )

    def test_who_was_only_created_elsewhere_was_not_there(self, database: Database) -> None:
        visit(database, NOW)
        created = Event("create_tenant_user", NOW, "ann", (Place("umbrella"),))
        record_events(database, [created], Report())
        assert page_views.page_totals(database, WEEK, "acme").views == 1

    @pytest.mark.parametrize(
        "ask",
        [
            lambda database: page_views.page_totals(database, WEEK, "acme").views,
            lambda database: sum(
                views
                for views, _ in page_views.page_by_day(database, "/home", WEEK, "acme").values()
            ),
            lambda database: page_views.page_users(database, "/home", WEEK, "acme"),
        ],
    )
    @pytest.mark.parametrize("env", [None, 3])
    def test_who_goes_elsewhere_meanwhile_is_not_seen_there(
        self,
        database: Database,
        monkeypatch: pytest.MonkeyPatch,
        ask: Callable[[Database], int],
        env: int | None,
    ) -> None:
        visit(database, NOW, "ann")
        find_exclusive_users = exclusive_users.find_exclusive_users

        def go_before(
            database: Database, tenant_id: str, days: Days
        ) -> exclusive_users.ExclusiveUsers:
            visit(database, NOW, "ann", "umbrella", env)
            return find_exclusive_users(database, tenant_id, days)

        def go_after(
            database: Database, tenant_id: str, days: Days
        ) -> exclusive_users.ExclusiveUsers:
            found = find_exclusive_users(database, tenant_id, days)
            visit(database, NOW, "ann", "umbrella", env)
            return found

        monkeypatch.setattr(exclusive_users, "find_exclusive_users", go_after)
        assert ask(database) == 1
        monkeypatch.setattr(exclusive_users, "find_exclusive_users", go_before)
        assert ask(database) == 0


class TestPruned:
    @pytest.mark.slow
    @pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
    def test_of_pruned_days_there_are_views_and_numbers(self, database: Database) -> None:
        since, _ = Days(TODAY - 1, TODAY).seconds(database.calendar)
        # In half an hour's zone, the first two are in the hour that the day begins in.
        for at in (since - 2, since - 1, since, since + DAY):
            visit(database, at)
        visit(database, since - 2, "bob", "umbrella")
        list(prune(database, {"histories": since}))
        assert active_users.active_by_day(database, WEEK, Scope()) == {
            TODAY - 2: 2,
            TODAY - 1: 1,
            TODAY: 1,
        }
        assert active_users.active_in(database, WEEK, Scope()) is None
        assert active_users.active_in(database, Days(TODAY - 1, TODAY), Scope()) == 1
        assert sum(page_views.views_by_day(database, WEEK).values()) == 5
        assert page_views.page_totals(database, WEEK).users == 2
        # Who views were of, and in which tenants those were, is not known before.
        assert page_views.page_totals(database, WEEK, "acme").views == 2
        assert page_views.page_by_day(database, "/home", WEEK, "acme") == {
            TODAY - 1: (1, 1),
            TODAY: (1, 1),
        }
        entries, _ = user_entries(database, "ann", WEEK, limit=9)
        assert [entry.timestamp for entry in entries] == [since + DAY, since]
        assert user_extent(database, "ann") == (since, since + DAY, 2)
        assert user_extent(database, "bob") is None

    def test_where_counts_were_pruned_who_was_active_is_not_known(self, database: Database) -> None:
        visit(database, NOW)
        list(prune(database, {"counts": (TODAY - 3) * DAY}))
        days = Days(TODAY - 3, TODAY)
        assert active_users.active_in(database, days, Scope()) == 1
        assert active_users.active_in(database, days.before(), Scope()) is None
        (acme,) = tenants.tenants(database, days)
        assert (acme.active, acme.active_before) == (1, None)

    def test_the_first_day_may_be_known_by_page_statistics_alone(self, database: Database) -> None:
        first = TODAY - 60
        visit(database, first * DAY + DAY // 2)
        since = (TODAY - 9) * DAY
        list(prune(database, {"histories": since, "counts": since}))
        assert page_views.views_by_day(database, Days(0, TODAY)) == {first: 1}
        assert data_range.first_day(database) == first
        assert data_range.has_data(database)


class TestActions:
    @pytest.mark.parametrize(
        ("referer", "names"),
        [
            ("/home", []),
            ("/home?action=", []),
            ("/home?action=save", ["save"]),
            ("/home?action=save&action=close", ["close", "save"]),
            ("/home?action=save&action=save", ["save"]),
            ("/home?tab=1&action=%E4%BF%9D%E5%AD%98+1#end", ["保存 1"]),
            ("/home?action=a?b=c", ["a?b=c"]),
            ("/home?reaction=save", []),
            ("/home#?action=save", []),
            ("/home?Action=save", []),
        ],
    )
    def test_an_action_is_what_the_query_names(
        self, database: Database, referer: str, names: list[str]
    ) -> None:
        for _ in range(2):
            visit(database, NOW, referer=referer)
        assert page_views.page_actions(database, "/home", WEEK) == [
            Action(name, 2) for name in names
        ]
        assert page_views.page_actions(database, "/", WEEK) == []

    def test_the_most_frequent_comes_first(self, database: Database) -> None:
        for name in ("b", "a", "c", "c"):
            visit(database, NOW - DAY, referer=f"/home?action={name}")
        found = page_views.page_actions(database, "/home", WEEK)
        assert found == [Action("c", 2), Action("a", 1), Action("b", 1)]
        assert page_views.page_actions(database, "/home", Days(TODAY, TODAY)) == []


class TestFindingUsers:
    NAMES = ("Ann", "ann", "annika", "Joann", "100%", "100", "a_b", "aXb", "a\\b", "利用者", "ÄNN")

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("ann", ["ann", "Ann", "annika", "Joann"]),
            ("Ann", ["Ann", "ann", "annika", "Joann"]),
            ("ANN", ["Ann", "ann", "annika", "Joann"]),
            ("100", ["100", "100%"]),
            ("%", ["100%"]),
            ("_", ["a_b"]),
            ("\\", ["a\\b"]),
            ("用", ["利用者"]),
            ("änn", []),
            ("ÄNN", ["ÄNN"]),
            ("x", ["aXb"]),
            ("'", []),
            ("unheard", []),
        ],
    )
    def test_the_very_one_comes_first_then_those_that_begin_so(
        self, database: Database, text: str, found: list[str]
    ) -> None:
        for name in self.NAMES:
            visit(database, NOW, name)
        assert find_users(database, text, 9) == found
        assert find_users(database, text, 1) == found[:1]

    def test_no_text_finds_all(self, database: Database) -> None:
        for name in self.NAMES:
            visit(database, NOW, name)
        assert find_users(database, "", 99) == sorted(self.NAMES)

    def test_a_user_without_anything_exists(self, database: Database) -> None:
        update_user_behavior_histories_by_day(database, timestamp=NOW, user_id="ann", histories=[])
        assert user_exists(database, "ann")
        assert not user_exists(database, "Ann")
        assert user_extent(database, "ann") is None


class TestEntries:
    YEAR = Days(TODAY - 365, TODAY)

    def read(self, database: Database, limit: int, between: Callable[[], None]) -> list[Entry]:
        """Return all entries, page by page; something happens between two pages."""
        entries, older = user_entries(database, "ann", self.YEAR, limit=limit)
        while older:
            between()
            more, older = user_entries(database, "ann", self.YEAR, limit=limit, before=older)
            assert len(more) <= limit
            entries += more
        return entries

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 9, MAX_INTEGER])
    def test_pages_hold_every_entry_once(self, database: Database, limit: int) -> None:
        times = [NOW, NOW, NOW, NOW - 1, NOW - 20 * DAY, NOW - 40 * DAY, NOW - 300 * DAY]
        for number, at in enumerate(times):
            visit(database, at, referer=f"/{number}")
            visit(database, at, "bob")
        visit(database, NOW - 366 * DAY)
        entries = self.read(database, limit, lambda: visit(database, NOW, referer="/new"))
        old = [entry for entry in entries if entry.referer != "/new"]
        assert [entry.referer for entry in old] == ["/2", "/1", "/0", "/3", "/4", "/5", "/6"]
        assert [entry.timestamp for entry in old] == times

    def test_entries_that_come_later_are_on_no_page_behind(self, database: Database) -> None:
        for number in range(3):
            visit(database, NOW, referer=f"/{number}")
        entries = self.read(database, 1, lambda: visit(database, NOW, referer="/new"))
        assert [entry.referer for entry in entries] == ["/2", "/1", "/0"]

    def test_a_full_last_page_leads_nowhere(self, database: Database) -> None:
        visit(database, NOW)
        visit(database, NOW - DAY)
        entries, older = user_entries(database, "ann", WEEK, limit=2)
        assert (len(entries), older) == (2, None)
        assert user_entries(database, "ann", WEEK, limit=1)[1] == Cursor(NOW, 0)

    @pytest.mark.parametrize(
        ("text", "found"), [("SAVE", 1), ("%", 1), ("_", 0), ("", 3), ("/HOME", 2), ("Ä", 0)]
    )
    def test_entries_are_found_by_text(self, database: Database, text: str, found: int) -> None:
        for referer in ("/home?action=save", "/home?q=100%", "/ä"):
            visit(database, NOW, referer=referer)
        entries, _ = user_entries(database, "ann", WEEK, text, limit=9)
        assert len(entries) == found
