"""How ten times the data affect response times, and how many bytes an entry takes on disk."""

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random

from app.analytics.histories import get_user_behavior_histories
from app.analytics.page_statistics import get_page_statistics
from app.storage.database import Database

from .data import DAY, TODAY, opened, saas
from .measuring import Actions, in_turns, ms, times, write

SIZES = (1_000_000, 10_000_000)
DAYS = 90
USERS = 200

PLAIN = (
    "create table plain.view (timestamp integer, user_id text, referer text)",
    """
    insert into plain.view
    select behavior.timestamp, user.name, referer.url
    from behavior
    join user on user.id = behavior.user_id
    join referer on referer.id = behavior.referer_id
    order by behavior.block, behavior.timestamp
    """,
    "create index plain.view_timestamp on view (timestamp)",
    "create index plain.view_user on view (user_id)",
)


def run() -> None:
    """Compare 1 million with 10 million rows of the same 90 days."""
    pages: Actions = {}
    months: Actions = {}
    databases = [opened(saas(size, DAYS)) for size in SIZES]
    for size, database in zip(map(str, SIZES), databases, strict=True):
        month = {"start_timestamp": TODAY - 30 * DAY, "end_timestamp": TODAY - 1}
        pages[size] = partial(get_page_statistics, database, **month)
        with database.reading() as connection:
            names = [name for (name,) in connection.execute("select name from user")]
        months[size] = partial(_months, database, Random(1).sample(names, USERS))
    rows: list[list[object]] = []
    for name, actions, each in (
        ("page statistics of 30 days", pages, 1),
        ("a user's month of histories", months, USERS),
    ):
        small, large = (taken / each for taken in in_turns(actions).values())
        rows.append([name, ms(small), ms(large), times(large / small)])
    for database in databases:
        start, end = TODAY - DAYS * DAY, TODAY
        get_page_statistics(database, start_timestamp=start, end_timestamp=end)  # seals all
        database.close()
    ours, plain = zip(*(_bytes_an_entry(saas(size, DAYS)) for size in SIZES), strict=True)
    for name, (small, large) in (("bytes per history entry", ours), ("in a plain table", plain)):
        rows.append([name, f"{small:.1f}", f"{large:.1f}", times(large / small)])
    write(
        "growth",
        "Growth",
        f"""
A SaaS of {DAYS} days with {SIZES[0]:,} and with {SIZES[1]:,} events. The time of a month of
histories is the mean over {USERS} users. The bytes of an entry include histories, their
dictionaries, all indexes and all page summaries. The plain table has time, user and referer, with
an index on time and one on user.
""",
        ["", f"{SIZES[0]:,} events", f"{SIZES[1]:,} events", "growth"],
        rows,
    )


def _months(database: Database, users: list[str]) -> None:
    for user in users:
        get_user_behavior_histories(database, user)


def _bytes_an_entry(path: Path) -> tuple[float, float]:
    """Return the bytes of an entry in our database and in a plain table with two indexes."""
    plain = path.with_suffix(".text")
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("select count(*) from behavior").fetchone()
        (ours,) = connection.execute(
            "select sum(pgsize) from dbstat where name in "
            "(select name from sqlite_schema where tbl_name in "
            "('behavior', 'user', 'page', 'referer', 'page_summary'))"
        ).fetchone()
        if not plain.exists():
            connection.execute("attach ? as plain", (str(plain),))
            for statement in PLAIN:
                connection.execute(statement)
            connection.commit()
    return ours / count, plain.stat().st_size / count
