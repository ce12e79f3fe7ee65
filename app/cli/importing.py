"""`import events|eventbridge|apilog|export`."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click

from ..database import Database
from ..exports.reading import import_export
from ..ingest.apilog import logs_of, read_apilog
from ..ingest.eventbridge import read_eventbridge
from ..ingest.events import Report
from ..ingest.files import Format, UnreadableFile, import_stream
from ..ingest.schemas import event_reader
from .common import database_option, open_database
from .progress import progress_bar

SHOWN_REFUSALS = 20

Progress = Callable[[int], object]
Import = Callable[[Database, BinaryIO, Progress], Iterator[Report]]


def _feed(format_of: Callable[[Database], Format]) -> Import:
    return lambda database, stream, progress: import_stream(
        database, stream, format_of(database), progress
    )


KINDS: dict[str, tuple[Import, str]] = {
    "events": (_feed(lambda database: Format(event_reader(database.clock.now))), "record"),
    "eventbridge": (_feed(lambda _: Format(read_eventbridge)), "record"),
    "apilog": (
        _feed(lambda _: Format(read_apilog, path="api_logs.item", inside=logs_of)),
        "record",
    ),
    "export": (import_export, "line"),
}
"""How files of a kind are read, and what the index of a refusal counts."""


@click.command("import")
@click.argument("kind", metavar="|".join(KINDS), type=click.Choice(list(KINDS)))
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.File("rb"))
@database_option
def import_files(kind: str, files: tuple[Any, ...], database: Path | None) -> None:
    """Store the records of files; - is standard input.

    NDJSON or JSON of any length; an export is NDJSON or CSV. Records that were stored before change
    nothing, if they have ids; those of an export need none.
    """
    totals = dict.fromkeys(("accepted", "duplicates", "ignored", "refused"), 0)
    with open_database(database) as opened:
        for stream in files:
            _import(opened, kind, stream, totals)
    click.echo(", ".join(f"{count} {what}" for what, count in totals.items()))
    if totals["refused"]:
        sys.exit(1)


def _import(database: Database, kind: str, stream: Any, totals: dict[str, int]) -> None:
    read, counted = KINDS[kind]
    path = Path(stream.name)
    size = path.stat().st_size if path.is_file() else None
    with progress_bar(total=size, unit="B", unit_scale=True, desc=stream.name) as bar:
        try:
            for report in read(database, stream, bar.update):
                for refusal in report.refused:
                    totals["refused"] += 1
                    if totals["refused"] <= SHOWN_REFUSALS:
                        place = f"{stream.name}: {counted} {refusal['index']}"
                        bar.write(f"{place}: {refusal['message']}")
                for what in ("accepted", "duplicates", "ignored"):
                    totals[what] += getattr(report, what)
        except UnreadableFile as error:
            stored = ", ".join(f"{count} {what}" for what, count in totals.items())
            raise click.ClickException(f"{stream.name} {error} (until there: {stored})") from None
