"""Which pages were viewed, how often and by how many users."""

from collections import Counter
from heapq import nsmallest
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from ..storage.database import Database
from ..storage.dictionary import NO_ONE, find_page
from ..summaries.pages.reading import summarize
from ..summaries.pages.sealing import seal
from ..summaries.periods.reading import action_views
from .exclusive_users import (
    page_by_day_of_exclusive_users,
    page_users_of_exclusive_users,
    totals_of_exclusive_users,
)
from .page_statistics import Page, PageTotals, get_page_statistics
from .selection import Days
from .views_by_day import count_by_day, count_page_by_day

SELECT_REFERERS = """
select referer.id, referer.url
from page
join referer on referer.page_id = page.id
where page.url = :url and instr(referer.url, 'action=')
order by referer.id
"""


class Action(NamedTuple):
    """An action on a page: a value of the query parameter `action`, and the views with it."""

    name: str
    views: int


def views_by_day(database: Database, days: Days) -> dict[int, int]:
    """Return how many views there were on each day; days without any are left out."""
    seal(database, *days.seconds(database.calendar))
    with database.reading() as connection:
        return count_by_day(connection, database.calendar, days)


def page_totals(
    database: Database, days: Days, tenant_id: str | None = None, **shown: Any
) -> PageTotals:
    """Return what was viewed; with a tenant, only by its users who were in no other tenant.

    `shown` is the limit and the filters of `page_statistics.most_viewed`, for the pages listed.
    """
    if tenant_id is not None:
        return totals_of_exclusive_users(database, tenant_id, days, **shown)
    start, end = days.seconds(database.calendar)
    told = get_page_statistics(database, start_timestamp=start, end_timestamp=end, **shown)
    pages = [Page(*page.values()) for page in told["page_statistics"]]
    return PageTotals(told["total_page_views"], told["total_unique_users"], pages)


def page_by_day(
    database: Database, url: str, days: Days, tenant_id: str | None = None
) -> dict[int, tuple[int, int]]:
    """Return the views and users of a page on each day that it was viewed.

    With a tenant, only its users who were in no other tenant count.
    """
    page = _find_page(database, url)
    if tenant_id is not None:
        return page_by_day_of_exclusive_users(database, tenant_id, page, days)
    seal(database, *days.seconds(database.calendar))
    with database.reading() as connection:
        return count_page_by_day(connection, database.calendar, page, days)


def page_users(database: Database, url: str, days: Days, tenant_id: str | None = None) -> int:
    """Return how many users viewed a page in all of the days together; see `page_by_day`."""
    page = _find_page(database, url)
    if tenant_id is not None:
        return page_users_of_exclusive_users(database, tenant_id, page, days)
    start, end = days.seconds(database.calendar)
    seal(database, start, end)
    with database.reading() as connection:
        return summarize(connection, start, end).unique_users(page)


def _find_page(database: Database, url: str) -> int:
    with database.reading() as connection:
        return find_page(connection, url) or NO_ONE


def actions_of(referer: str) -> set[str]:
    """Return the values of the query parameter `action` of a referer."""
    query = referer.partition("#")[0].partition("?")[2]
    if "%" not in query and "+" not in query:  # takes a fifth of the time of parse_qsl
        return {part[7:] for part in query.split("&") if part.startswith("action=")} - {""}
    return {value for name, value in parse_qsl(query) if name == "action"}


def page_actions(
    database: Database, url: str, days: Days, limit: int | None = None
) -> list[Action]:
    """Return the actions on a page, most views first; with a limit, at most that many."""
    by_referer = action_views(database, *days)
    views: Counter[str] = Counter()
    with database.reading() as connection:
        for referer, address in connection.execute(SELECT_REFERERS, {"url": url}):
            if count := by_referer[referer]:
                for name in actions_of(address):
                    views[name] += count
    found = nsmallest(
        len(views) if limit is None else limit,
        views.items(),
        key=lambda action: (-action[1], action[0]),
    )
    return [Action(*each) for each in found]
