"""A million distinct pages: storing events on them, and querying 30 days."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.analytics.page_statistics import get_page_statistics

from .data import DAY, TODAY, fill, opened, saas, saas_of_many_pages, visits, visits_of_many_pages
from .measuring import Actions, in_turns, ms, seconds, times, write

EVENTS, DAYS, PAGES = 3_000_000, 30, 1_000_000
TAKEN_IN = 1_000_000
LIMIT = 100


def run() -> None:
    """Compare a SaaS with a million pages with one of some thousands."""
    rows: list[list[object]] = []
    few = TAKEN_IN / _fill(visits(TAKEN_IN, DAYS))
    many = TAKEN_IN / _fill(visits_of_many_pages(TAKEN_IN, DAYS, PAGES))
    rows.append(["events stored", f"{few:,.0f}/s", f"{many:,.0f}/s", times(few / many)])
    paths = {
        "few": saas(EVENTS, DAYS),
        "many": saas_of_many_pages(EVENTS, DAYS, PAGES),
    }
    databases = {name: opened(path) for name, path in paths.items()}
    for name, options in (
        ("all pages of 30 days", {}),
        (f"30 days, limit={LIMIT}", {"limit": LIMIT}),
    ):
        actions: Actions = {
            which: partial(
                get_page_statistics,
                database,
                start_timestamp=TODAY - DAYS * DAY,
                end_timestamp=TODAY - 1,
                **options,
            )
            for which, database in databases.items()
        }
        taken = in_turns(actions, repetitions=3)
        rows.append(
            [name, ms(taken["few"]), ms(taken["many"]), times(taken["many"] / taken["few"])]
        )
    counts = []
    for database in databases.values():
        with database.reading() as connection:
            counts += connection.execute("select count(*) from page").fetchone()
        database.close()
    write(
        "many",
        "Many pages",
        f"""
The events of a demo SaaS on {counts[0]:,} pages, and the same events on {counts[1]:,} pages.
{TAKEN_IN:,} events are stored into an empty database, in calls of 10,000. The queries are over
{EVENTS:,} events in {DAYS} days. The response for all pages lists each of them; with a limit, the
totals still cover all.
""",
        ["", f"{counts[0]:,} pages", f"{counts[1]:,} pages", "ratio"],
        rows,
    )


def _fill(events: Iterator[dict[str, Any]]) -> float:
    """Return how many seconds it takes to store events in a new database."""
    with (
        TemporaryDirectory() as folder,
        closing(opened(Path(folder, "new.db"))) as database,
    ):
        return seconds(partial(fill, database, events))
