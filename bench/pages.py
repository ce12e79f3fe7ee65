"""Page statistics, compared with DuckDB, ClickHouse in this process, and plain SQLite."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
from chdb import session as chdb

from app.analytics.page_statistics import get_page_statistics

from .data import DAY, HOUR, TODAY, opened, saas, views_csv
from .measuring import Actions, in_turns, ms, same, times, write

ROWS, DAYS = 10_000_000, 90

BY_PAGE = """
select page, count(*) as views, {distinct}
from views
where timestamp between {start} and {end}
group by page
order by views desc, page
"""
IN_TOTAL = "select count(*), {distinct} from views where timestamp between {start} and {end}"

Answer = tuple[list[list[int]], list[int]]
Ask = Callable[[int, int], Answer]

RANGES = {
    "30 days, to the hour": (TODAY - 34 * DAY + 5 * HOUR, TODAY - 4 * DAY + 5 * HOUR - 1),
    "90 days, to the hour": (TODAY - 90 * DAY + 5 * HOUR, TODAY - 5 * HOUR - 1),
    "30 days, to the second": (TODAY - 34 * DAY + 20_034, TODAY - 4 * DAY + 39_577),
    "90 days, to the second": (TODAY - 90 * DAY + 20_034, TODAY - 31_123),
}


def run() -> None:
    """Measure ranges of 30 and 90 days over ten million rows."""
    path = saas(ROWS, DAYS)
    peers = {
        "SQLite": _sqlite(path),
        "DuckDB": _duckdb(path),
        "ClickHouse": _clickhouse(path),
    }
    rows = []
    with closing(opened(path)) as database, database.reading() as connection:
        pages = dict(connection.execute("select url, id from page"))
        ask = partial(get_page_statistics, database)
        for name, (start, end) in RANGES.items():
            ours = partial(ask, start_timestamp=start, end_timestamp=end)
            theirs: Actions = {peer: partial(asked, start, end) for peer, asked in peers.items()}
            same({"ours": _as_peers(ours(), pages), **{peer: a() for peer, a in theirs.items()}})
            plain = theirs.pop("SQLite")
            taken = in_turns({"ours": ours, **theirs})
            taken |= in_turns({"SQLite": plain}, repetitions=1)
            mine = taken.pop("ours")
            rows.append([name, ms(mine)])
            rows[-1] += [f"{ms(other)} ({times(other / mine)})" for other in taken.values()]
        (count, shown) = connection.execute(
            "select (select count(*) from behavior), (select count(*) from page)"
        ).fetchone()
    write(
        "pages",
        "Page statistics",
        f"""
{count:,} rows in {DAYS} days, {shown:,} pages. Our time is for the whole response of the API's
operation, from sealed summaries. The peers get integers and return views and exact distinct users
by page and in total. DuckDB and ClickHouse have the rows on disk in the order of time; plain SQLite
has an index on time and runs each query once. In parentheses: how many times as long as ours it
takes.
""",
        ["range", "ours", "DuckDB", "ClickHouse (chdb)", "SQLite, `count(distinct)`"],
        rows,
        ["duckdb", "chdb", "pyroaring"],
    )


def _as_peers(answer: dict[str, Any], pages: dict[str, int]) -> Answer:
    by_page = [
        [pages[page["page_url"]], page["total_views"], page["unique_users"]]
        for page in answer["page_statistics"]
    ]
    by_page.sort(key=lambda page: (-page[1], page[0]))
    return by_page, [answer["total_page_views"], answer["total_unique_users"]]


def _questions(distinct: str, start: int, end: int) -> tuple[str, str]:
    by_page, in_total = (
        sql.format(distinct=distinct, start=start, end=end) for sql in (BY_PAGE, IN_TOTAL)
    )
    return by_page, in_total


def _duckdb(path: Path) -> Ask:
    file = path.with_suffix(".duckdb")
    if not file.exists():
        with duckdb.connect(str(file)) as connection:
            connection.execute("create table views (timestamp bigint, page integer, user integer)")
            connection.execute(f"insert into views from read_csv('{views_csv(path)}')")
    connection = duckdb.connect(str(file), read_only=True)

    def ask(start: int, end: int) -> Answer:
        by_page, in_total = _questions("count(distinct user)", start, end)
        (total,) = connection.execute(in_total).fetchall()
        return list(map(list, connection.execute(by_page).fetchall())), list(total)

    return ask


def _clickhouse(path: Path) -> Ask:
    folder = path.with_suffix(".chdb")
    fresh = not folder.exists()
    connection = chdb.Session(str(folder))
    if fresh:
        connection.query("create database bench")
        connection.query(
            "create table bench.views (timestamp Int64, page Int32, user Int32) "
            "engine = MergeTree order by timestamp"
        )
        connection.query(
            f"insert into bench.views select * from file('{views_csv(path)}', 'CSV', "
            "'timestamp Int64, page Int32, user Int32')"
        )
        connection.query("optimize table bench.views final")

    def rows(sql: str) -> list[list[int]]:
        told = connection.query(sql.replace("from views", "from bench.views"), "JSONCompactEachRow")
        return [list(map(int, json.loads(line))) for line in str(told).splitlines()]

    def ask(start: int, end: int) -> Answer:
        by_page, in_total = _questions("uniqExact(user)", start, end)
        (total,) = rows(in_total)
        return rows(by_page), total

    return ask


def _sqlite(path: Path) -> Ask:
    file = path.with_suffix(".plain")
    connection = sqlite3.connect(file)
    if not connection.execute("select 1 from sqlite_schema").fetchone():
        connection.execute("create table views (timestamp integer, page integer, user integer)")
        connection.execute("attach ? as ours", (str(path),))
        connection.execute(
            "insert into views select behavior.timestamp, referer.page_id, behavior.user_id "
            "from ours.behavior join ours.referer on referer.id = behavior.referer_id "
            "order by behavior.block, behavior.timestamp"
        )
        connection.execute("create index views_timestamp on views (timestamp)")
        connection.commit()

    def ask(start: int, end: int) -> Answer:
        by_page, in_total = _questions("count(distinct user)", start, end)
        (total,) = connection.execute(in_total)
        return list(map(list, connection.execute(by_page))), list(total)

    return ask
