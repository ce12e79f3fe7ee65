"""`import events|eventbridge|apilog|export`."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click
from tqdm import tqdm

from ..analytics.event_reader import event_reader
from ..analytics.events import Report
from ..errors import ServiceUnavailable
from ..exports.reading import import_export
from ..ingest import apilog, eventbridge
from ..ingest.files import Format, UnreadableFile, import_stream
from ..storage.database import Database
from .command import Command
from .options import database_option, json_option, open_database, time_zone_option
from .output import print_json
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
    "eventbridge": (
        _feed(lambda _: Format(eventbridge.read_eventbridge, eventbridge.TIME_FIELD)),
        "record",
    ),
    "apilog": (
        _feed(
            lambda _: Format(
                apilog.read_apilog, apilog.TIME_FIELD, path="api_logs.item", inside=apilog.logs_of
            )
        ),
        "record",
    ),
    "export": (import_export, "line"),
}
"""For each kind of file, the function that imports it, and what the index of a refusal counts."""


@click.command(
    "import",
    cls=Command,
    examples=[
        "saasus-analysis import events january.ndjson february.ndjson",
        "gunzip -c events.ndjson.gz | saasus-analysis import events -",
        "saasus-analysis import apilog page-1.json page-2.json --json",
        "saasus-analysis import export everything.ndjson --database copy.db",
    ],
)
@click.argument("kind", metavar="KIND", type=click.Choice(list(KINDS)))
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.File("rb"))
@time_zone_option
@json_option
@database_option
def import_files(
    kind: str,
    files: tuple[Any, ...],
    time_zone: str | None,
    as_json: bool,
    database: Path | None,
) -> None:
    """Store the records from files.

    KIND is events, eventbridge, apilog or export; the FILE - is standard input. Files are NDJSON or
    JSON of any length; an export is NDJSON or CSV. Records with an id are stored only once;
    duplicates in an export are recognized without ids. Exits with 1 if a record was refused.
    """
    totals = dict.fromkeys(("accepted", "duplicates", "ignored", "refused"), 0)
    refusals: list[dict[str, Any]] = []
    with open_database(database, create=True, time_zone=time_zone) as opened:
        for stream in files:
            for refusal in _import(opened, kind, stream, totals):
                if len(refusals) == SHOWN_REFUSALS:
                    continue
                refusals.append({"file": stream.name} | refusal)
                if not as_json:
                    place = f"{stream.name}: {KINDS[kind][1]} {refusal['index']}"
                    tqdm.write(f"{place}: {refusal['message']}")
    if as_json:
        print_json(totals | {"refusals": refusals})
    else:
        click.echo(_told(totals))
    if totals["refused"]:
        sys.exit(1)


def _import(
    database: Database, kind: str, stream: Any, totals: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """Store the records of a file, add to the totals, and yield the refused records."""
    read, _ = KINDS[kind]
    path = Path(stream.name)
    size = path.stat().st_size if path.is_file() else None
    with progress_bar(total=size, unit="B", unit_scale=True, desc=stream.name) as bar:
        try:
            for report in read(database, stream, bar.update):
                for what, count in report.counts().items():
                    totals[what] += count
                yield from report.refused
        except UnreadableFile as error:
            message = f"{stream.name} {error} (so far: {_told(totals)})"
            raise click.ClickException(message) from None
        except ServiceUnavailable as error:
            # Earlier transactions are stored completely; the failed one stored nothing.
            message = f"{error.description} (so far: {_told(totals)})"
            raise ServiceUnavailable(message) from error.__cause__


def _told(totals: dict[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in totals.items())
