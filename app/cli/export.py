"""`export`."""

from contextlib import closing
from pathlib import Path

import click

from ..exports import writing
from ..exports.tables import TABLES
from .command import Command
from .options import FILE, database_option, open_database, parse_date
from .output import output
from .progress import progress_bar


@click.command(
    cls=Command,
    examples=[
        "saasus-analysis export --output everything.ndjson",
        "saasus-analysis export calls --format csv --from 2026-01-01 > calls.csv",
        "saasus-analysis export histories --to 2025-12-31 | gzip > old.ndjson.gz",
    ],
)
@click.argument("table", metavar="[TABLE]", required=False, type=click.Choice(list(TABLES)))
@click.option("--from", "first", metavar="YYYY-MM-DD", callback=parse_date, help="The first day.")
@click.option(
    "--to", "last", metavar="YYYY-MM-DD", callback=parse_date, help="The last day, inclusive."
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(writing.FORMATS),
    default=writing.FORMATS[0],
    show_default=True,
    help="CSV contains a single table.",
)
@click.option(
    "--output",
    "path",
    type=FILE,
    help="Write to this file, completely or not at all, instead of standard output.",
)
@database_option
def export(
    table: str | None,
    first: int | None,
    last: int | None,
    format_: str,
    path: Path | None,
    database: Path | None,
) -> None:
    """Export everything except keys, or one table.

    TABLE is histories, calls, active-users, user-calls, numbers or event-ids. Days are in the time
    zone of the database; a month is included if its first day is. `import export` reads the file.
    """
    if format_ == "csv" and table is None:
        raise click.UsageError(f"csv contains a single table: name one of {', '.join(TABLES)}")
    if first is not None and last is not None and first > last:
        raise click.UsageError("--from must not be after --to")
    names = [table] if table else list(TABLES)
    with (
        open_database(database) as opened,
        closing(writing.export(opened, names, format_=format_, first=first, last=last)) as pieces,
        output(path) as file,
        progress_bar(unit="row", unit_scale=True, desc="exported") as bar,
    ):
        for rows, piece in pieces:
            file.write(piece)
            bar.update(rows)
