"""Page statistics: views and distinct users of each page, for any range of time."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nlargest
from typing import Any, NamedTuple

from ..storage.database import Database

SELECT_URLS = """
select id, url
from page
where id in (select value from json_each(:pages))
order by url
limit :limit
"""

SELECT_PAGES = "select id from page where instr(folded(url), :contains)"

SELECT_PAGES_OF_URLS = """
select id
from page
where url in (select value from json_each(:urls))
"""


def get_page_statistics(
    database: Database,
    *,
    start_timestamp: int,
    end_timestamp: int,
    limit: int | None = None,
    **filters: Any,
) -> dict[str, Any]:
    """Return views and distinct users by page from one second to another (contract B.6).

    Shape: `PageStatistics`. Both ends are inclusive; the users are counted exactly. With a limit,
    only the most viewed pages are listed, and with filters (see `most_viewed`) only those that
    match; the totals still cover all pages.
    """
    # Loading bitmaps takes 7 of the 200 ms of a start, so it waits for the first query.
    from ..summaries.pages.reading import summarize
    from ..summaries.pages.sealing import seal

    seal(database, start_timestamp, end_timestamp)
    with database.reading() as connection:
        summary = summarize(connection, start_timestamp, end_timestamp)
        pages = most_viewed(connection, summary.views, limit, **filters)
    return {
        "start_date": start_timestamp,
        "end_date": end_timestamp,
        "total_page_views": summary.views.total(),
        "total_unique_users": len(summary.users),
        "page_statistics": [
            {"page_url": url, "total_views": views, "unique_users": summary.unique_users(page)}
            for page, url, views in pages
        ],
    }


def most_viewed(
    connection: sqlite3.Connection,
    views: Counter[int],
    limit: int | None = None,
    *,
    contains: str | None = None,
    urls: Iterable[str] | None = None,
) -> list[tuple[int, str, int]]:
    """Return page, URL and views: most views first, pages with equally many views by URL.

    `contains` selects the pages whose URL contains a text, ignoring case; `urls` selects the pages
    with these URLs.
    """
    if contains is not None:
        connection.create_function("folded", 1, str.casefold, deterministic=True)
        found = connection.execute(SELECT_PAGES, {"contains": contains.casefold()})
        views = Counter({page: views[page] for (page,) in found if page in views})
    if urls is not None:
        found = connection.execute(SELECT_PAGES_OF_URLS, {"urls": json.dumps(list(urls))})
        views = Counter({page: views[page] for (page,) in found if page in views})
    if limit is None or limit >= len(views):
        shown = _urls(connection, list(views))
    else:
        least = nlargest(limit, views.values())[-1]
        above = [page for page, count in views.items() if count > least]
        # Ties at the limit are broken by URL.
        at_limit = [page for page, count in views.items() if count == least]
        shown = _urls(connection, above) + _urls(connection, at_limit, limit - len(above))
    told = [(page, url, views[page]) for page, url in shown]
    return sorted(told, key=lambda page: (-page[2], page[1]))


def _urls(
    connection: sqlite3.Connection, pages: list[int], limit: int = -1
) -> list[tuple[int, str]]:
    """Return pages with their URLs, in order of URL; with a limit, only the first ones."""
    parameters = {"pages": json.dumps(pages), "limit": limit}
    return connection.execute(SELECT_URLS, parameters).fetchall()


class Page(NamedTuple):
    """A page, with its views and the users who viewed it."""

    url: str
    views: int
    users: int


@dataclass(frozen=True)
class PageTotals:
    """What was viewed in some days: in total, and by page, most views first."""

    views: int
    users: int
    pages: list[Page]
    left_out: int = 0
    """How many users of the tenant are not counted, since they were in other tenants as well."""
