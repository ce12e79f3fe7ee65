"""Exports as a test wants them, and back."""

import io
import json
from typing import Any

from app.analytics.events import Report
from app.days import parse_day
from app.exports.reading import import_export
from app.exports.tables import TABLES
from app.exports.writing import export
from app.storage.database import Database


def exported(
    database: Database,
    *tables: str,
    format_: str = "ndjson",
    first: str | None = None,
    last: str | None = None,
) -> bytes:
    """Return an export of tables, or of all; the days are written as dates."""
    pieces = export(
        database,
        tables or TABLES,
        format_=format_,
        first=None if first is None else parse_day(first),
        last=None if last is None else parse_day(last),
    )
    return b"".join(piece for _, piece in pieces)


def records(content: bytes, kind: str | None = None) -> list[dict[str, Any]]:
    """Return the records of NDJSON behind its first line; of one kind, without it."""
    lines = map(json.loads, content.decode().split("\n")[1:-1])
    if kind is None:
        return list(lines)
    return [record for record in lines if record.pop("kind") == kind]


def imported(database: Database, content: bytes) -> Report:
    """Import an export; return what became of all of it."""
    total = Report()
    for report in import_export(database, io.BytesIO(content), lambda _: None):
        total.accepted += report.accepted
        total.duplicates += report.duplicates
        total.refused += report.refused
    return total
