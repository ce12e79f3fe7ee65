"""`summaries check|rebuild|drop`."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click
from tqdm import tqdm

from ..config import Settings
from ..database import Database
from ..dictionary import PageRule, read_page_rule
from ..summaries import sealing
from ..summaries.dropping import drop_all
from ..summaries.spans import LENGTHS
from .common import database_option, load, open_database
from .progress import progress_bar

SWITCH = click.Choice(["on", "off"])


@click.group("summaries")
def group() -> None:
    """Check, rebuild or drop the page summaries that make page statistics fast."""


@group.command("check")
@database_option
def check_summaries(database: Path | None) -> None:
    """Compare every summary with the rows; list those that are wrong and exit with 1."""
    wrong = 0
    with open_database(database) as opened, opened.reading() as connection:
        for level, span, reason in sealing.check(connection, _bar("checked")):
            hours = LENGTHS[level]
            begin = datetime.fromtimestamp(span * hours * 3600, UTC)
            tqdm.write(f"{begin:%Y-%m-%dT%H:%MZ}, {hours} hours: {reason}")
            wrong += 1
    if wrong:
        raise click.ClickException(
            f"{wrong} summaries are wrong; `saasus-analysis summaries rebuild` mends them"
        )
    click.echo("all summaries are right")


@group.command("rebuild")
@click.option("--keep-query", type=SWITCH, help="From now on, pages with their query?")
@click.option("--collapse-ids", type=SWITCH, help="From now on, numbers and UUIDs as {id}?")
@database_option
def rebuild_summaries(
    keep_query: str | None, collapse_ids: str | None, database: Path | None
) -> None:
    """Make all summaries anew, and the pages by other settings if some are given."""
    wanted = load(database=database, keep_query=keep_query, collapse_ids=collapse_ids)
    with closing(Database.open(replace(wanted, keep_query=None, collapse_ids=None))) as opened:
        sealing.rebuild(opened, _rule(opened, wanted), _bar("sealed"))


@group.command("drop")
@database_option
def drop_summaries(database: Path | None) -> None:
    """Drop all summaries; questions make those that they need again."""
    with open_database(database) as opened, opened.writing() as connection:
        drop_all(connection)


def _rule(database: Database, wanted: Settings) -> PageRule:
    """Return the page rule of a database, changed where settings are given."""
    with database.reading() as connection:
        rule = read_page_rule(connection)
    if wanted.keep_query is not None:
        rule = replace(rule, keep_query=wanted.keep_query)
    if wanted.collapse_ids is not None:
        rule = replace(rule, collapse_ids=wanted.collapse_ids)
    return rule


def _bar(what: str) -> sealing.Progress:
    return lambda spans: progress_bar(spans, desc=what, unit="span")
