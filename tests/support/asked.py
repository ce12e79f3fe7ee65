"""What the dashboard must be told, in plain Python: each answer counted from all that happened."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from app.analytics import active_users, data_range, page_views, tenants
from app.analytics.calls import calls_by_day
from app.analytics.page_statistics import Page, PageTotals
from app.analytics.page_views import Action
from app.analytics.selection import Days, Scope
from app.analytics.tenants import Environment, Fading, Tenant
from app.analytics.users import Entry, Membership, user_entries, user_extent, user_tenants
from app.days import first_day_of, month_of, parse_day

from ..maintenance.test_pruning import HOUR, TODAY, Pruned
from . import model
from .calls import BASE, NO_TENANT

TENANTS = ["acme", "umbrella", "hooli", NO_TENANT]
ENVIRONMENTS = [1, 3]
USERS = ["ann", "bob", "cleo", "dan"]
REFERERS = ["", "/a", "/b", "/b?action=x", "/b?action=y&action=x#z", "/a?tab=action=1#?action=z"]
PAGES = ["/a", "/b", "/never"]
TYPES = ["userinfo", "create_tenant", "create_saas_user", "create_tenant_user"]

Cell = tuple[int, str, int]
"""Day or month, tenant and environment."""


def number_of(day: date) -> int:
    return parse_day(day.isoformat())


def in_scope(cell: Cell, scope: Scope) -> bool:
    return scope.tenant_id in (None, cell[1]) and scope.env_id in (None, cell[2])


class Asked(Pruned):
    """A server beside the model; each `ask_…` compares what some functions return."""

    # What happens ------------------------------------------------------------------------------

    def happen(
        self,
        type_: str,
        back: int,
        second: int,
        user: str,
        tenant: str,
        env: int | None,
        referer: str,
    ) -> None:
        timestamp = self.model.first_second(TODAY - timedelta(days=back)) + second
        event: dict[str, Any] = {"type": type_, "timestamp": timestamp, "tenant_id": tenant}
        if type_ != "create_tenant":
            event["user_id"] = user
        if type_ == "userinfo":
            event |= {"env_id": env} if env is not None else {}
            event |= {"referer": referer} if referer else {}
        answer = self.client.post(BASE + "/ingest/events", json=event)
        limiting = ["counts", *(["histories"] if "user_id" in event else [])]
        if timestamp >= max(map(self.second, limiting)):
            assert answer.get_json()["accepted"] == 1, answer.text
            self.model.ingest([(event, True)], all_or_nothing=False, now=0)

    def put_active(self, back: int, monthly: bool, tenant: str, env: int, number: int) -> None:
        length = 7 if monthly else 10
        body = {
            "type": "monthly" if monthly else "daily",
            "date": (TODAY - timedelta(days=back)).isoformat()[:length],
            "tenant_id": tenant,
            "env_id": env,
            "active_users": number,
        }
        answer = self.client.put(BASE + "/active-users", json=body)
        if str(body["date"]) >= self.since.get("counts", date.min).isoformat()[:length]:
            assert answer.status_code == 200
            self.model.put_active_users(body)

    def move_clock(self, days: int) -> None:
        self.clock.timestamp += days * 24 * HOUR

    # What is known -----------------------------------------------------------------------------

    @property
    def today(self) -> int:
        return number_of(self.model.day_of(self.clock.timestamp))

    def first(self, *data: str, monthly: bool = False) -> int:
        """Return the first day or month that is kept of data, of which the least is kept."""
        days = [number_of(self.since[each]) for each in data if each in self.since]
        if not days:
            return -(2**31)
        return month_of(max(days)) if monthly else max(days)

    def calls(self) -> Iterator[tuple[int, model.Call]]:
        for call in self.model.calls:
            if number_of(call.day) >= self.first("counts"):
                yield number_of(call.day), call

    def users(self, monthly: bool) -> dict[Cell, set[str]]:
        """Return who was active in each cell that is kept, also where it is forgotten who."""
        cells: defaultdict[Cell, set[str]] = defaultdict(set)
        for call in self.model.calls:
            day = number_of(call.day)
            period = month_of(day) if monthly else day
            kept = period >= self.first("counts", monthly=monthly)
            if kept and call.type == "userinfo" and call.env is not None:
                cells[period, call.tenant, call.env].add(str(call.user))
        return dict(cells)

    def known_users(self, monthly: bool) -> dict[Cell, set[str]]:
        """Return who was active where it is not forgotten."""
        first = self.first("histories", "counts", monthly=monthly)
        return {cell: users for cell, users in self.users(monthly).items() if cell[0] >= first}

    def puts(self, monthly: bool) -> dict[Cell, int]:
        """Return the numbers that were put, and those that pruning has left."""
        first = self.first("histories", monthly=monthly)
        users = self.users(monthly)
        numbers = {cell: len(found) for cell, found in users.items() if cell[0] < first}
        for put in self.model.puts:
            if (put["type"] == "monthly") == monthly:
                day = parse_day(f"{put['date']}-01"[:10])
                period = month_of(day) if monthly else day
                if period >= self.first("counts", monthly=monthly):
                    numbers[period, put["tenant_id"], put["env_id"]] = put["active_users"]
        return numbers

    def cells(self, monthly: bool) -> dict[Cell, int]:
        """Return the number of each cell."""
        counted = {cell: len(users) for cell, users in self.users(monthly).items()}
        return counted | self.puts(monthly)

    def numbers(self, monthly: bool, scope: Scope) -> dict[int, int]:
        """Return how many were active in each day or month."""
        puts = self.puts(monthly)
        numbers: Counter[int] = Counter()
        for cell, number in puts.items():
            if in_scope(cell, scope):
                numbers[cell[0]] += number
        others: defaultdict[int, set[str]] = defaultdict(set)
        for cell, users in self.users(monthly).items():
            if in_scope(cell, scope) and cell not in puts:
                others[cell[0]] |= users
        for period, users in others.items():
            numbers[period] += len(users)
        return {period: number for period, number in numbers.items() if number}

    def in_days(self, days: Days, scope: Scope) -> int | None:
        """Return how many were active in all of the days together."""
        puts, users = (
            [cell for cell in cells if in_scope(cell, scope) and is_in(cell[0], days)]
            for cells in (self.puts(False), self.users(False))
        )
        if puts or days.first < self.first("counts"):
            return None
        return len({user for cell in users for user in self.users(False)[cell]})

    def views(self) -> list[model.Entry]:
        """Return the views as page statistics tell them: those of pruned time by the hour."""
        hour = self.second("histories") // HOUR * HOUR
        gone = self.second("page_statistics") // HOUR * HOUR
        views = []
        for entry in self.model.entries:
            if entry.timestamp < hour:
                begin = entry.timestamp // HOUR * HOUR
                entry = replace(entry, timestamp=begin, day=self.model.day_of(begin))
            if entry.timestamp >= gone:
                views.append(entry)
        return views

    def views_in(self, days: Days, tenant_id: str | None) -> list[model.Entry]:
        """Return the views of some days; of a tenant, those by its users who were in no other."""
        if tenant_id is None:
            return [view for view in self.views() if is_in(number_of(view.day), days)]
        since = self.first("histories", "counts")
        _, alone = self.alone(tenant_id, days)
        return [
            entry
            for entry in self.model.entries
            if is_in(number_of(entry.day), Days(max(since, days.first), days.last))
            and entry.user in alone
        ]

    def alone(self, tenant_id: str, days: Days) -> tuple[set[str], set[str]]:
        """Return the users of a tenant, and those of them who were in no other."""
        own: set[str] = set()
        others: set[str] = set()
        for (month, tenant, _), users in self.known_users(True).items():
            if month_of(days.first) <= month <= month_of(days.last):
                if tenant == tenant_id:
                    own |= users
                elif tenant != NO_TENANT:
                    others |= users
        others |= {
            str(call.user)
            for day, call in self.calls()
            if call.type == "userinfo"
            and is_in(day, days)
            and day >= self.first("histories")
            and call.tenant not in (tenant_id, NO_TENANT)
        }
        return own, own - others

    def history(self, user: str) -> list[model.Entry]:
        """Return the entries of a user, oldest first, those of a second in their order."""
        first = self.first("histories")
        entries = [
            entry
            for entry in self.model.entries
            if entry.user == user and number_of(entry.day) >= first
        ]
        return sorted(entries, key=lambda entry: entry.timestamp)

    # What is asked -----------------------------------------------------------------------------

    def ask_active(self, days: Days, tenant: str | None, env: int | None) -> None:
        scope = Scope(tenant, env)
        by_day = active_users.active_by_day(self.database, days, scope)
        assert by_day == within(self.numbers(False, scope), days)
        months = Days(month_of(days.first), month_of(days.last))
        by_month = active_users.active_by_month(self.database, *months, scope)
        assert by_month == within(self.numbers(True, scope), months)
        assert active_users.active_in(self.database, days, scope) == self.in_days(days, scope)

    def ask_calls(self, days: Days, tenant: str | None) -> None:
        expected: dict[str, Counter[int]] = {type_: Counter() for type_ in TYPES}
        if tenant is not None:
            del expected["create_saas_user"]
        for day, call in self.calls():
            if call.type in expected and is_in(day, days) and tenant in (None, call.tenant):
                expected[call.type][day] += 1
        assert calls_by_day(self.database, days, tenant) == expected

    def ask_totals(self, days: Days, tenant: str | None) -> None:
        views = self.views_in(days, tenant)
        by_page: defaultdict[str, list[str]] = defaultdict(list)
        for view in views:
            by_page[page_of(view)].append(view.user)
        pages = [Page(url, len(users), len(set(users))) for url, users in by_page.items()]
        totals = page_views.page_totals(self.database, days, tenant)
        left_out = 0
        if tenant is not None:
            own, alone = self.alone(tenant, days)
            left_out = len(own) - len(alone)
        assert totals == PageTotals(
            len(views),
            len({view.user for view in views}),
            sorted(pages, key=lambda page: (-page.views, page.url)),
            left_out,
        )
        if tenant is None:
            by_day = Counter(number_of(view.day) for view in views)
            assert page_views.views_by_day(self.database, days) == by_day

    def ask_page(self, days: Days, url: str, tenant: str | None) -> None:
        by_day: defaultdict[int, list[str]] = defaultdict(list)
        for view in self.views_in(days, tenant):
            if page_of(view) == url:
                by_day[number_of(view.day)].append(view.user)
        expected = {day: (len(users), len(set(users))) for day, users in by_day.items()}
        assert page_views.page_by_day(self.database, url, days, tenant) == expected
        users = {user for users in by_day.values() for user in users}
        assert page_views.page_users(self.database, url, days, tenant) == len(users)

    def ask_actions(self, days: Days, url: str) -> None:
        views: Counter[str] = Counter()
        for entry in self.model.entries:
            day = number_of(entry.day)
            if page_of(entry) == url and is_in(day, days) and day >= self.first("histories"):
                views.update(set(parse_qs(urlsplit(entry.referer).query).get("action", [])))
        expected = sorted(views.items(), key=lambda action: (-action[1], action[0]))
        assert page_views.page_actions(self.database, url, days) == [
            Action(*each) for each in expected
        ]

    def ask_tenants(self, days: Days) -> None:
        names = {call.tenant for _, call in self.calls()}
        names |= {cell[1] for monthly in (False, True) for cell in self.cells(monthly)}
        assert tenants.tenants(self.database, days) == [
            self.tenant(name, days) for name in sorted(names)
        ]

    def tenant(self, name: str, days: Days) -> Tenant:
        called = [
            day for day, call in self.calls() if (call.type, call.tenant) == ("userinfo", name)
        ]
        scope = Scope(name)
        return Tenant(
            name,
            self.numbers(False, scope).get(self.today, 0),
            self.numbers(True, scope).get(month_of(self.today), 0),
            self.in_days(days, scope),
            self.in_days(days.before(), scope),
            sum(is_in(day, days) for day in called),
            sum(is_in(day, days.before()) for day in called),
            max([*called, *self.numbers(False, scope)], default=None),
        )

    def ask_fading(self, days: Days, limit: int) -> None:
        calls: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        for day, call in self.calls():
            if call.type == "userinfo":
                calls[call.tenant][0] += is_in(day, days)
                calls[call.tenant][1] += is_in(day, days.before())
        lost = sorted((now - before, name) for name, (now, before) in calls.items() if now < before)
        assert tenants.fading(self.database, days, limit) == [
            Fading(name, *calls[name]) for _, name in lost[:limit]
        ]

    def ask_environments(self, days: Days, tenant: str, limit: int) -> None:
        looked_at = {*range(days.before().first, days.last + 1), self.today}
        found = {
            env
            for monthly, periods in ((False, looked_at), (True, {month_of(self.today)}))
            for period, name, env in self.cells(monthly)
            if name == tenant and period in periods
        }

        def size(env: int) -> tuple[int, int]:
            numbers = self.numbers(False, Scope(tenant, env))
            return -sum(number for day, number in numbers.items() if is_in(day, days)), env

        expected = [
            Environment(
                env,
                self.numbers(False, Scope(tenant, env)).get(self.today, 0),
                self.numbers(True, Scope(tenant, env)).get(month_of(self.today), 0),
                self.in_days(days, Scope(tenant, env)),
                self.in_days(days.before(), Scope(tenant, env)),
            )
            for env in sorted(found, key=size)
        ]
        told = tenants.tenant_environments(self.database, tenant, days)
        assert told == (expected, len(expected))
        told = tenants.tenant_environments(self.database, tenant, days, start=1, limit=1)
        assert told[0] == expected[1:2]
        sizes: Counter[str] = Counter()
        active = {}
        for cell, number in self.cells(False).items():
            if is_in(cell[0], days) and number:
                sizes[cell[1]] += number
                active[cell[2]] = True
        assert tenants.environments(self.database, days) == sorted(active)
        largest = sorted(sizes, key=lambda name: (-sizes[name], name))
        assert tenants.tenant_ids(self.database, days, limit) == largest[:limit]

    def ask_user(self, days: Days, user: str, contains: str | None, limit: int) -> None:
        history = self.history(user)
        wanted = [
            Entry(entry.timestamp, entry.referer, page_of(entry))
            for entry in reversed(history)
            if is_in(number_of(entry.day), days)
            and (contains or "").lower() in entry.referer.lower()
        ]
        read: list[Entry] = []
        before = None
        while True:
            page, before = user_entries(
                self.database, user, days, contains, limit=limit, before=before
            )
            read += page
            assert len(page) <= limit
            if before is None:
                break
        assert read == wanted
        extent = (history[0].timestamp, history[-1].timestamp, len(history)) if history else None
        assert user_extent(self.database, user) == extent
        months: dict[tuple[str, int], int] = {}
        for (month, tenant, env), users in sorted(self.known_users(True).items()):
            if user in users:
                months[tenant, env] = month
        assert user_tenants(self.database, user) == sorted(
            (Membership(*place, month) for place, month in months.items()),
            key=lambda membership: (-membership.last_month, *membership),
        )

    def ask_extent(self) -> None:
        days = [day for day, _ in self.calls()]
        days += [cell[0] for cell in self.cells(False)]
        days += [first_day_of(cell[0]) for cell in self.cells(True)]
        days += [number_of(view.day) for view in self.views()]
        assert data_range.first_day(self.database) == min(days, default=None)
        assert data_range.has_data(self.database) == bool(days)

    def ask_everything_of(self, days: Days) -> None:
        for tenant in (None, *TENANTS):
            for env in (None, *ENVIRONMENTS):
                self.ask_active(days, tenant, env)
            self.ask_calls(days, tenant)
            self.ask_totals(days, tenant)
            for url in PAGES:
                self.ask_page(days, url, tenant)
        for url in PAGES:
            self.ask_actions(days, url)
        for tenant in TENANTS:
            self.ask_environments(days, tenant, 2)
        for user in USERS:
            self.ask_user(days, user, None, 3)
        self.ask_tenants(days)
        self.ask_fading(days, 2)
        self.ask_extent()


def is_in(day: int, days: Days) -> bool:
    return days.first <= day <= days.last


def within(numbers: dict[int, int], periods: Days) -> dict[int, int]:
    return {period: number for period, number in numbers.items() if is_in(period, periods)}


def page_of(entry: model.Entry) -> str:
    return entry.referer.split("?")[0].split("#")[0]
