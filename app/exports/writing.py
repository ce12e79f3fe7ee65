"""Writing an export, in pieces of bounded size."""

import json
from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import islice

from ..analytics.events import TYPES
from ..days import FIRST_DAY, LAST_DAY, MAX_TIMESTAMP, Calendar, month_of
from ..storage.database import Database
from ..web.csv_format import csv_text
from .tables import HEAD, TABLES, VERSION, Table

PIECE = 10_000
"""Rows per piece."""

FORMATS = ("ndjson", "csv")

_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def export(
    database: Database,
    names: Iterable[str],
    *,
    format_: str,
    first: int | None = None,
    last: int | None = None,
) -> Generator[tuple[int, bytes]]:
    """Yield tables as NDJSON, or one table as CSV, in pieces: the number of rows, and the bytes.

    `first` and `last` are days, inclusive. All pieces are read from one snapshot in a private copy,
    so a slow export holds no lock and delays no checkpoint.
    """
    span = _span(database.calendar, first, last)
    with database.snapshot() as connection:
        if format_ == "ndjson":
            head = {"kind": HEAD, "version": VERSION, "time_zone": database.calendar.zone}
            yield 0, f"{_to_json(head)}\n".encode()
        for table in map(TABLES.__getitem__, names):
            if format_ == "csv":
                yield 0, csv_text([table.columns]).encode()
            write = csv_text if format_ == "csv" else _ndjson(table)
            read = table.read(connection, span)
            while rows := list(islice(read, PIECE)):
                yield len(rows), write(rows).encode()


def _ndjson(table: Table) -> Callable[[Sequence[Sequence[object]]], str]:
    """Return a function that writes rows of a table as NDJSON.

    It encodes by column with one template, which takes half the time of encoding an object per row.
    """
    cells = ",".join(f"{_to_json(name)}:%s" for name in table.columns)
    template = f'{{"kind":{_to_json(table.kind)},{cells}}}\n'

    def write(rows: Sequence[Sequence[object]]) -> str:
        columns = [map(_to_json, column) for column in zip(*rows, strict=True)]
        return "".join(map(template.__mod__, zip(*columns, strict=True)))

    return write


def _span(calendar: Calendar, first: int | None, last: int | None) -> dict[str, object]:
    """Return the parameters of the queries: a range of days, as seconds, days and months.

    A month is in the range that contains its first day, so adjacent ranges contain each month once.
    """
    first = FIRST_DAY if first is None else first
    last = LAST_DAY if last is None else last
    # Histories begin at 1970-01-01 in UTC, which is the day before in western time zones. The start
    # of much earlier days cannot be computed.
    return {
        "types": json.dumps(TYPES),
        "first_day": first,
        "last_day": last,
        "first_month": month_of(first - 1) + 1 if first > FIRST_DAY else month_of(first),
        "last_month": month_of(last),
        "start": max(calendar.day_start(max(first, -1)), 0),
        "end": min(calendar.day_start(max(last, -2) + 1) - 1, MAX_TIMESTAMP),
    }
