"""`summaries check|rebuild|drop`."""

import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click
from tqdm import tqdm

from ..config import Settings
from ..storage.database import Database
from ..storage.page_rule import PageRule, read_page_rule
from ..summaries import seal_lock
from ..summaries.invalidation import invalidate_all
from ..summaries.pages import sealing as page_sealing
from ..summaries.periods import sealing as period_sealing
from ..summaries.spans import LENGTHS
from .command import Group
from .options import database_option, json_option, load, open_database, setting_option
from .output import print_json
from .progress import progress_bar

SWITCH = click.Choice(["on", "off"])


@click.group(
    cls=Group,
    examples=["saasus-analysis summaries check", "saasus-analysis summaries rebuild"],
)
def group() -> None:
    """Check, rebuild or drop the summaries of stored data."""


@group.command(
    "check",
    examples=["saasus-analysis summaries check", "saasus-analysis summaries check --json"],
)
@json_option
@database_option
def check_summaries(as_json: bool, database: Path | None) -> None:
    """Compare every summary with the rows that it summarizes.

    Lists wrong summaries, and exits with 1 if there are any.
    """
    wrong, wrong_periods = [], []
    with open_database(database) as opened, opened.snapshot() as connection:
        for level, span, reason in page_sealing.check(connection, _bar("pages checked", "span")):
            hours = LENGTHS[level]
            wrong.append({"begin": span * hours * 3600, "hours": hours, "reason": reason})
            if not as_json:
                begin = datetime.fromtimestamp(span * hours * 3600, UTC)
                tqdm.write(f"{begin:%Y-%m-%dT%H:%MZ}, {hours} hours: {reason}")
        bar = _bar("periods checked", "period")
        for data, date, reason in period_sealing.check(connection, opened.calendar, bar):
            wrong_periods.append({"data": data, "date": date, "reason": reason})
            if not as_json:
                tqdm.write(f"{date}, {data}: {reason}")
        path = opened.path
    count = len(wrong) + len(wrong_periods)
    if as_json:
        print_json({"database": str(path), "wrong": wrong, "wrong_periods": wrong_periods})
        sys.exit(1 if count else 0)
    if count:
        raise click.ClickException(
            f"{count} summaries are wrong; `saasus-analysis summaries rebuild` repairs them"
        )
    click.echo("all summaries are right")


@group.command(
    "rebuild",
    examples=[
        "saasus-analysis summaries rebuild",
        "saasus-analysis summaries rebuild --collapse-ids on",
    ],
)
@setting_option(
    "--keep-query", "keep_query", "Whether pages keep their query from now on.", type=SWITCH
)
@setting_option(
    "--collapse-ids",
    "collapse_ids",
    "Whether numbers and UUIDs in pages become {id} from now on.",
    type=SWITCH,
)
@database_option
def rebuild_summaries(
    keep_query: bool | None, collapse_ids: bool | None, database: Path | None
) -> None:
    """Compute all summaries again.

    If settings are given, the pages are computed again with them, too. A server may be running.
    """
    wanted = load(database=database, keep_query=keep_query, collapse_ids=collapse_ids)
    wanted_database = replace(wanted, keep_query=None, collapse_ids=None)
    with closing(Database.open(wanted_database, create=False, migrate=False)) as opened:
        page_sealing.rebuild(opened, _rule(opened, wanted), _bar("pages sealed", "span"))
        period_sealing.seal_all(opened, _bar("periods sealed", "period"))


@group.command("drop", examples=["saasus-analysis summaries drop"])
@database_option
def drop_summaries(database: Path | None) -> None:
    """Drop all summaries; queries compute those that they need."""
    with open_database(database) as opened, opened.writing() as connection:
        invalidate_all(connection)


def _rule(database: Database, wanted: Settings) -> PageRule:
    """Return the page rule of a database, changed where settings are given."""
    with database.reading() as connection:
        rule = read_page_rule(connection)
    if wanted.keep_query is not None:
        rule = replace(rule, keep_query=wanted.keep_query)
    if wanted.collapse_ids is not None:
        rule = replace(rule, collapse_ids=wanted.collapse_ids)
    return rule


def _bar(what: str, unit: str) -> seal_lock.Progress:
    return lambda items: progress_bar(items, desc=what, unit=unit)
