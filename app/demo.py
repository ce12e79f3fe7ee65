"""Demo data of a lifelike SaaS: its tenants, its users and what they did, generated from a seed.

Tenants of very different sizes join over time and grow. Users stay, leave, or come back after
weeks. They work in office hours and rarely on weekends, and use a few pages often and many rarely.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import accumulate
from operator import itemgetter
from random import Random
from typing import Any
from uuid import UUID

from .days import Calendar

EVENTS_PER_USER = 100
USERS_PER_TENANT = 30
OLD_TENANTS = 0.4
"""The share of tenants that joined before the first day."""

HOUR = 3600
# How busy the hours of a day are, and the days of a week, starting on Monday.
HOURS = (1, 1, 1, 1, 1, 2, 5, 15, 40, 75, 90, 85, 55, 70, 85, 80, 70, 50, 28, 16, 10, 7, 4, 2)
WEEKDAYS = (0.95, 1.0, 1.0, 0.98, 0.85, 0.2, 0.15)
ENVS = (3, 2, 1)
ENV_WEIGHTS = (92, 6, 2)

# `{}` becomes a number, most often a small one. Some pages come with an `action` in the query.
PAGES = (
    "/dashboard",
    "/projects",
    "/projects/{}",
    "/projects/{}/tasks",
    "/projects/{}/tasks?status=open",
    "/projects/{}/tasks/{}",
    "/projects/{}/tasks/{}?action=complete_task",
    "/search?q=invoice",
    "/reports",
    "/reports?range=30d",
    "/reports/{}",
    "/reports/{}?action=export_csv",
    "/inbox",
    "/inbox/{}",
    "/projects?action=create_project",
    "/calendar?week={}",
    "/files",
    "/files/{}",
    "/files?action=upload_file",
    "/settings/profile",
    "/settings/users",
    "/settings/users?action=invite_user",
    "/settings/users?action=delete_user",
    "/settings/billing",
    "/settings/billing?action=change_plan",
    "/settings/api-keys",
    "/settings/integrations#slack",
    "/help",
    "/help/{}",
    "/プラン",
)
PAGE_WEIGHTS = tuple(1 / (rank + 1) for rank in range(len(PAGES)))


@dataclass(frozen=True)
class _User:
    id: str
    tenant_id: str
    weight: float
    """How active the user is, compared with others."""
    stays: tuple[range, ...]
    """The days on which the user is active, as offsets from the first day of the demo data."""


@dataclass(frozen=True)
class _Hour:
    day: int
    begin: int
    end: int
    weight: float


def make_events(
    calendar: Calendar, now: int, *, events: int = 200_000, days: int = 90, seed: int = 1
) -> Iterator[dict[str, Any]]:
    """Yield exactly `events` events of the last `days` days until now, in the order of time.

    They have the shape of `POST /ingest/events`. The same arguments give the same events. Memory
    grows with the number of users and of events in one hour, not with the number of all events.
    """
    random = Random(seed)  # noqa: S311 (a rhythm, not a secret)
    today = calendar.day_of(now)
    starts = [calendar.day_start(day) for day in range(today - days + 1, today + 2)]
    users, creations = _populate(random, events, starts, now)
    visits = _visits(random, users, _hours(users, starts, today, now), events - len(creations))
    timed = merge(creations, visits, key=itemgetter("timestamp"))
    for number, event in enumerate(timed):
        yield event | {"id": f"demo-{seed}-{starts[0]}-{number}"}


def _populate(
    random: Random, events: int, starts: list[int], now: int
) -> tuple[list[_User], list[dict[str, Any]]]:
    """Return the users, and the creation events of users and tenants that join after day 0."""
    days = len(starts) - 1
    users: list[_User] = []
    creations: list[dict[str, Any]] = []

    def create(day: int, **event: str) -> None:
        at = starts[day] + random.randrange(9 * HOUR, 17 * HOUR)
        if at <= now:
            creations.append({"timestamp": at} | event)

    user_count = max(1, events // EVENTS_PER_USER)
    tenant_count = max(1, user_count // USERS_PER_TENANT)
    tenants = []
    for rank in range(tenant_count):
        joins = random.randrange(days) if rank and random.random() > OLD_TENANTS else 0
        tenants.append((_uuid(random), joins))
        if joins:
            create(joins, type="create_tenant", tenant_id=tenants[-1][0])
    sizes = list(accumulate(1 / (rank + 1) for rank in range(tenant_count)))
    for number, (tenant_id, since) in enumerate(
        random.choices(tenants, cum_weights=sizes, k=user_count)
    ):
        # About half of a tenant's users join with it; the others join later, at a falling rate.
        joins = since + int(max(0.0, random.betavariate(1, 1.5) * 2 - 1) * (days - since))
        joins = joins if number else 0
        user_id = _uuid(random)
        if joins:
            create(joins, type="create_saas_user", user_id=user_id)
            create(joins, type="create_tenant_user", user_id=user_id, tenant_id=tenant_id)
        weight = random.lognormvariate(0, 1)
        # The first user is active on every day, so that no day is without a user.
        first = min(joins + 1, days) if joins else 0
        stays = _stays(random, first, days) if number else (range(days),)
        users.append(_User(user_id, tenant_id, weight, stays))
    creations.sort(key=itemgetter("timestamp"))
    return users, creations[:events]


def _stays(random: Random, first: int, days: int) -> tuple[range, ...]:
    """Return the days of a user who stays, leaves, or comes back after some weeks."""
    kind = random.random()
    if kind < 0.6:
        return (range(first, days),)
    leaves = first + 1 + int(random.expovariate(1 / 20))
    if kind < 0.8:
        return (range(first, min(leaves, days)),)
    returns = leaves + random.randrange(10, 40)
    return range(first, min(leaves, days)), range(min(returns, days), days)


def _hours(users: list[_User], starts: list[int], today: int, now: int) -> list[_Hour]:
    """Return the hours until now, weighted by active users, weekday and time of day."""
    days = len(starts) - 1
    activity = [0.0] * days
    for user in users:
        for stay in user.stays:
            for day in stay:
                activity[day] += user.weight
    hours = []
    for day in range(days):
        # Day 0 of the calendar, 1970-01-01, was a Thursday.
        of_day = activity[day] * WEEKDAYS[(today - days + 1 + day + 3) % 7]
        for begin in range(starts[day], min(starts[day + 1], now + 1), HOUR):
            end = min(begin + HOUR, starts[day + 1], now + 1)
            weight = of_day * HOURS[min((begin - starts[day]) // HOUR, 23)] * (end - begin)
            hours.append(_Hour(day, begin, end, weight))
    return hours


def _visits(
    random: Random, users: list[_User], hours: list[_Hour], count: int
) -> Iterator[dict[str, Any]]:
    """Yield `count` calls of GetUserInfo, distributed over the hours by their weights."""
    shares = list(accumulate(hour.weight for hour in hours))
    day = -1
    made = 0
    for hour, share in zip(hours, shares, strict=True):
        if hour.day != day:
            day = hour.day
            there = [user for user in users if any(day in stay for stay in user.stays)]
            weights = list(accumulate(user.weight for user in there))
        wanted = round(count * share / shares[-1]) - made
        if wanted:
            made += wanted
            times = sorted(random.choices(range(hour.begin, hour.end), k=wanted))
            visitors = random.choices(there, cum_weights=weights, k=wanted)
            pages = random.choices(PAGES, PAGE_WEIGHTS, k=wanted)
            envs = random.choices(ENVS, ENV_WEIGHTS, k=wanted)
            for at, user, page, env in zip(times, visitors, pages, envs, strict=True):
                yield {
                    "type": "userinfo",
                    "timestamp": at,
                    "user_id": user.id,
                    "tenant_id": user.tenant_id,
                    "env_id": env,
                    "referer": _referer(random, page),
                }


def _referer(random: Random, page: str) -> str:
    while "{}" in page:
        page = page.replace("{}", str(int(random.paretovariate(0.8))), 1)
    return page


def _uuid(random: Random) -> str:
    return str(UUID(int=random.getrandbits(128), version=4))
