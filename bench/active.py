"""Active users of all tenants for a year, compared with DuckDB, which counts the events."""

import json
from contextlib import closing
from functools import partial
from pathlib import Path

import duckdb

from app.analytics.active_user_counts import get_active_users
from app.days import PERIODS
from app.storage.database import Database

from .data import actives, opened
from .measuring import in_turns, ms, same, times, write

EVENTS, DAYS = 10_000_000, 365
TENANTS = (10, 100)

PERIOD = {
    "daily": "timestamp // 86400",
    "monthly": "(year(make_timestamp(timestamp * 1000000)) * 12 "
    "+ month(make_timestamp(timestamp * 1000000)) - 1)",
}

COUNT = """
select {period} as period, tenant, env, count(distinct user)
from calls
group by period, tenant, env
order by period, tenant, env
"""


def run() -> None:
    """Measure a year of daily and of monthly active users, from ten million events."""
    rows: list[list[object]] = []
    for count in TENANTS:
        path, calls = actives(EVENTS, DAYS, count)
        connection = _duckdb(path, calls)
        with closing(opened(path)) as database:
            for type_ in PERIODS:
                rows.append([count, type_, *_compare(database, connection, type_)])
    write(
        "active",
        "Active users",
        f"""
All tenants and environments for a year of {EVENTS:,} events. Our time is for the whole response of
the API's operation as JSON text, read from counts. DuckDB has the calls on disk in the order of
time and counts distinct users. In parentheses: how many times as long as ours it takes.
""",
        ["tenants", "active users", "rows in the answer", "ours", "DuckDB"],
        rows,
        ["duckdb"],
    )


def _compare(
    database: Database, connection: duckdb.DuckDBPyConnection, type_: str
) -> tuple[int, str, str]:
    period = PERIODS[type_]
    with database.reading() as reading:
        tenants = dict(reading.execute("select name, id from tenant"))
    first = period.parse("0001-01-01"[: 7 if period.monthly else 10])
    ours = partial(get_active_users, database, type=type_, date_from=first)
    theirs = partial(_ask, connection, COUNT.format(period=PERIOD[type_]))
    answer = [tuple(row.values()) for row in json.loads(ours())["data"]]
    numbered = [(period.parse(date), tenants[name], *rest) for date, name, *rest in answer]
    same({"ours": sorted(numbered), "DuckDB": theirs()})
    taken = in_turns({"ours": ours, "DuckDB": theirs})
    ratio = times(taken["DuckDB"] / taken["ours"])
    return len(answer), ms(taken["ours"]), f"{ms(taken['DuckDB'])} ({ratio})"


def _ask(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[int, ...]]:
    answer: list[tuple[int, ...]] = connection.execute(sql).fetchall()
    return answer


def _duckdb(path: Path, calls: Path) -> duckdb.DuckDBPyConnection:
    file = path.with_suffix(".duckdb")
    if not file.exists():
        with duckdb.connect(str(file)) as connection:
            connection.execute(
                "create table calls (timestamp bigint, tenant integer, env integer, user integer)"
            )
            connection.execute(f"insert into calls from read_csv('{calls}')")
    return duckdb.connect(str(file), read_only=True)
