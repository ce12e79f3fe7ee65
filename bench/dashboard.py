"""The pages of the dashboard, compared with plain SQLite, which computes their main table."""

import csv
import io
import shutil
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from flask.testing import FlaskClient

from app import create_app
from app.storage.database import Database
from app.storage.dictionary import NO_TENANT

from .data import DAY, TODAY, Then, saas
from .measuring import in_turns, ms, same, seconds, times, write

SMALL, LARGE, DAYS = 200_000, 10_000_000, 90
PERIOD = 28

ACTIVE = """
select date(period * 86400, 'unixepoch'), count(distinct user_id)
from active_user
where monthly = 0 and period between :first and :last
group by period
order by period
"""

PAGES = """
select page.url, count(*) as views, count(distinct behavior.user_id)
from behavior
cross join referer on referer.id = behavior.referer_id
cross join page on page.id = referer.page_id
where behavior.block between :first * 6 and :last * 6 + 5
group by page.id
order by views desc, page.url
"""

ACTIONS = """
select substr(referer.url, instr(referer.url, 'action=') + 7), count(*) as views
from behavior
cross join referer on referer.id = behavior.referer_id
cross join page on page.id = referer.page_id
where behavior.block between :first * 6 and :last * 6 + 5
  and page.url = :page
  and instr(referer.url, 'action=')
group by referer.id
order by views desc
"""

TENANTS = """
select tenant.name, coalesce(active.users, 0)
from tenant
left join (
  select tenant_id, count(distinct user_id) as users
  from active_user
  where monthly = 0 and period between :first and :last
  group by tenant_id
) as active on active.tenant_id = tenant.id
where tenant.name <> :no_tenant
order by tenant.name
"""

ENVIRONMENTS = """
select active_user.env_id, count(distinct active_user.user_id)
from active_user
join tenant on tenant.id = active_user.tenant_id
where active_user.monthly = 0 and active_user.period between :first and :last
  and tenant.name = :tenant
group by active_user.env_id
order by active_user.env_id
"""

HISTORY = """
select behavior.timestamp, referer.url
from behavior
join user on user.id = behavior.user_id
join referer on referer.id = behavior.referer_id
where behavior.block between :first * 6 and :last * 6 + 5
  and user.name = :user
order by behavior.timestamp desc, behavior.seq desc
"""

LARGEST_TENANT = """
select tenant.name
from active_user
join tenant on tenant.id = active_user.tenant_id
where monthly = 1
group by tenant_id
order by count(*) desc, tenant_id
limit 1
"""

BUSIEST_USER = """
select user.name
from user_call
join user on user.id = user_call.user_id
group by user_id
order by sum(count) desc, user_id
limit 1
"""


class Page(NamedTuple):
    """A page, its table that is compared, and the columns of this table."""

    name: str
    path: str
    table: str
    columns: tuple[str, ...]
    sql: str


def _pages(tenant: str, user: str) -> list[Page]:
    shown = ("page_url", "total_views", "unique_users")
    by_tenant = ("tenant_id", "active_users")
    return [
        Page("overview", "", "active", ("day", "active_users"), ACTIVE),
        Page("pages", "/pages", "pages", shown, PAGES),
        Page("one page", "/pages/page?id=/projects", "actions", ("action", "views"), ACTIONS),
        Page("tenants", "/tenants?sort=tenant_id", "tenants", by_tenant, TENANTS),
        Page(
            "the largest tenant",
            f"/tenants/tenant?id={tenant}",
            "environments",
            ("env_id", "active_users"),
            ENVIRONMENTS,
        ),
        Page(
            "the busiest user",
            f"/users/user?id={user}",
            "histories",
            ("timestamp", "referer"),
            HISTORY,
        ),
    ]


def run() -> None:
    """Measure every page with 200,000 and with ten million events."""
    rows: list[list[object]] = []
    with TemporaryDirectory() as folder:
        small = _measure(Path(folder, "small.db"), saas(SMALL, DAYS))
        large = _measure(Path(folder, "large.db"), saas(LARGE, DAYS))
    for name in large:
        first, again, plain, size = large[name]
        beside = f"{ms(plain)} ({times(plain / again)})"
        rows.append(
            [name, ms(small[name][1]), ms(again), ms(first), beside, f"{size / 1000:.0f} kB"]
        )
    write(
        "dashboard",
        "The dashboard",
        f"""
The time that a page of {PERIOD} days, compared with as many days before, takes in the server: over
{SMALL:,} events as `demo` makes them and over {LARGE:,}, in {DAYS} days. The pages were requested
again, and once for the first time, when days that are over are summarized. Plain SQLite computes
one table of the page from the same rows, without the days before; in parentheses: how many times as
long as the whole page it takes. The results of both were compared.
""",
        [
            "page",
            f"{SMALL:,} events",
            f"{LARGE:,} events",
            "first request",
            "plain SQLite, one table of it",
            "HTML",
        ],
        rows,
    )


def _measure(copy: Path, path: Path) -> dict[str, tuple[float, float, float, int]]:
    """Return for each page its first and its later time, that of plain SQLite, and its bytes."""
    shutil.copy(path, copy)
    app = create_app(database=copy, auth=False, clock=Then(), synchronous="off")
    measured = {}
    with closing(app.extensions["database"]) as database:
        client = app.test_client()
        client.get("/dashboard?period=today")  # loads templates and modules
        with database.reading() as connection:
            (tenant,) = connection.execute(LARGEST_TENANT).fetchone()
            (user,) = connection.execute(BUSIEST_USER).fetchone()
        today = TODAY // DAY
        asked: dict[str, Any] = {"first": today - PERIOD + 1, "last": today, "page": "/projects"}
        asked |= {"tenant": tenant, "user": user, "no_tenant": NO_TENANT}
        for page in _pages(tenant, user):
            get = partial(_get, client, page.path)
            first = seconds(get)
            plain: Callable[[], Any] = partial(_ask, database, page.sql, asked)
            same({"SQLite": plain(), "ours": _table(client, page)})
            taken = in_turns({"ours": get})
            taken |= in_turns({"SQLite": plain}, repetitions=1)
            measured[page.name] = first, taken["ours"], taken["SQLite"], len(get())
    return measured


def _get(client: FlaskClient, path: str) -> bytes:
    answer = client.get(f"/dashboard{path}")
    if answer.status_code != 200:
        raise SystemExit(f"{path}: {answer.status_code}")
    return bytes(answer.data)


def _table(client: FlaskClient, page: Page) -> list[tuple[str, ...]]:
    joint = "&" if "?" in page.path else "?"
    text = _get(client, f"{page.path}{joint}csv={page.table}").decode("utf-8-sig")
    rows = csv.DictReader(io.StringIO(text))
    return [tuple(row[column] for column in page.columns) for row in rows]


def _ask(database: Database, sql: str, parameters: dict[str, Any]) -> list[tuple[str, ...]]:
    with database.reading() as connection:
        return [tuple(map(str, row)) for row in connection.execute(sql, parameters)]
