"""Writing an export, in pieces of bounded size."""

import json
from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import islice

from ..analytics.export_rows import days_to_read
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
    days = days_to_read(database.calendar, first, last)
    with database.snapshot() as connection:
        if format_ == "ndjson":
            head = {"kind": HEAD, "version": VERSION, "time_zone": database.calendar.zone}
            yield 0, f"{_to_json(head)}\n".encode()
        for table in map(TABLES.__getitem__, names):
            if format_ == "csv":
                yield 0, csv_text([table.columns]).encode()
            write = csv_text if format_ == "csv" else _ndjson(table)
            read = table.read(connection, days)
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
