"""`import events|eventbridge|apilog`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from ..database import Database
from ..ingest.apilog import logs_of, read_apilog
from ..ingest.eventbridge import read_eventbridge
from ..ingest.files import Format, UnreadableFile, import_stream
from ..ingest.schemas import event_reader
from .common import database_option, open_database

SHOWN_REFUSALS = 20

FORMATS: dict[str, Callable[[Database], Format]] = {
    "events": lambda database: Format(event_reader(database.clock.now)),
    "eventbridge": lambda _: Format(read_eventbridge),
    "apilog": lambda _: Format(read_apilog, path="api_logs.item", inside=logs_of),
}


@click.command("import")
@click.argument("kind", metavar="events|eventbridge|apilog", type=click.Choice(list(FORMATS)))
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.File("rb"))
@database_option
def import_files(kind: str, files: tuple[Any, ...], database: Path | None) -> None:
    """Store the records of files; - is standard input.

    NDJSON or JSON of any length. Records that were stored before change nothing, if they have ids.
    """
    totals = dict.fromkeys(("accepted", "duplicates", "ignored", "refused"), 0)
    with open_database(database) as opened:
        for stream in files:
            _import(opened, FORMATS[kind](opened), stream, totals)
    click.echo(", ".join(f"{count} {what}" for what, count in totals.items()))
    if totals["refused"]:
        sys.exit(1)


def _import(database: Database, format_: Format, stream: Any, totals: dict[str, int]) -> None:
    path = Path(stream.name)
    size = path.stat().st_size if path.is_file() else None
    with tqdm(total=size, unit="B", unit_scale=True, desc=stream.name, disable=None) as bar:
        try:
            for report in import_stream(database, stream, format_, bar.update):
                for refusal in report.refused:
                    totals["refused"] += 1
                    if totals["refused"] <= SHOWN_REFUSALS:
                        bar.write(f"{stream.name}: record {refusal['index']}: {refusal['message']}")
                for what in ("accepted", "duplicates", "ignored"):
                    totals[what] += getattr(report, what)
        except UnreadableFile as error:
            stored = ", ".join(f"{count} {what}" for what, count in totals.items())
            raise click.ClickException(
                f"{stream.name} is not JSON from some place on: {error} (until there: {stored})"
            ) from None
