"""Importing an export: NDJSON or CSV of any length, in transactions of bounded size.

Records that are already stored change nothing, and records that contradict stored data are refused.
So an interrupted import can be repeated, and an export imported into a database with other data.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from operator import itemgetter
from typing import Any, BinaryIO, NamedTuple

from marshmallow import ValidationError

from ..analytics.accepted_times import accepted_times
from ..analytics.events import Report
from ..analytics.import_rows import Loaded, store
from ..ingest.files import BATCH, UnreadableFile, lines_of, metered
from ..ingest.intake import parse_line
from ..storage.database import Database
from ..storage.event_ids import digest_of
from ..validation.fields import Integer, period_number
from ..validation.records import record_loader
from .schemas import Head
from .tables import EVENT_IDS_IN_CLEAR, HEAD, TABLES, VERSION, Table

NO_EXPORT = (
    'is not an export: its first line must be {"kind":"export",…}, or in CSV the header of a table'
)

Line = tuple[int, bytes | ValidationError]


class Record(NamedTuple):
    """A record and its line number; the content of an unreadable line is a ValidationError."""

    line: int
    kind: object
    content: Any


def import_export(
    database: Database, stream: BinaryIO, progress: Callable[[int], object]
) -> Iterator[Report]:
    """Store the records of an export; yield a report for each transaction.

    `progress` is called with the number of bytes of each read. The index of a refused record is its
    line number, from 1. Raises UnreadableFile.
    """
    lines = enumerate(lines_of(metered(stream, progress)), 1)
    for batch in _batches(_records(lines, database.calendar.zone)):
        report = Report()
        loaded = _load(batch, report)
        with database.writing() as connection:
            store(connection, database.calendar, accepted_times(database), loaded, report)
        report.refused.sort(key=itemgetter("index"))
        yield report


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Yield batches of records, one for each transaction.

    Adjacent histories of the same user and second stay in one batch.
    """
    batch: list[Record] = []
    for record in records:
        if len(batch) >= BATCH and _moment(record) != _moment(batch[-1]):
            yield batch
            batch = []
        batch.append(record)
    if batch:
        yield batch


def _moment(record: Record) -> object:
    if record.kind == TABLES["histories"].kind and isinstance(record.content, dict):
        return record.content.get("timestamp"), record.content.get("user_id")
    return record.line


def _records(lines: Iterator[Line], zone: str) -> Iterator[Record]:
    filled = (line for line in lines if isinstance(line[1], ValidationError) or line[1].strip())
    first = next(filled, None)
    if first is None:
        return iter(())
    _, start = first
    if isinstance(start, ValidationError):
        raise UnreadableFile(NO_EXPORT)
    if start.lstrip(b"\xef\xbb\xbf \t").startswith(b"{"):
        return _from_ndjson(chain([first], filled), zone)
    header = _cells(start)
    for table in (*TABLES.values(), EVENT_IDS_IN_CLEAR):
        if header == list(table.columns):
            return _from_csv(filled, table)
    raise UnreadableFile(NO_EXPORT)


def _from_ndjson(lines: Iterable[Line], zone: str) -> Iterator[Record]:
    headed = False
    for number, line in lines:
        content = line if isinstance(line, ValidationError) else parse_line(line)
        kind = content.get("kind") if isinstance(content, dict) else None
        if kind == HEAD:
            _check_head(number, content, zone)
            headed = True
        elif not headed:
            raise UnreadableFile(NO_EXPORT)
        else:
            yield Record(number, kind, content)


def _check_head(line: int, content: object, zone: str) -> None:
    """Raise UnreadableFile if the export's version or time zone differs from the database's."""
    try:
        head = record_loader(Head)(content)
    except ValidationError:
        raise UnreadableFile(NO_EXPORT) from None
    if head["version"] != VERSION:
        raise UnreadableFile(
            f"has version {head['version']} (line {line}), but this program reads version {VERSION}"
        )
    if head["time_zone"] != zone:
        raise UnreadableFile(
            f"has days in {head['time_zone']} (line {line}), but this database has days in {zone}; "
            f"make a new one with ANALYSIS_TIME_ZONE={head['time_zone']}"
        )


def _from_csv(lines: Iterable[Line], table: Table) -> Iterator[Record]:
    numbers = [isinstance(field, Integer) for field in table.schema().fields.values()]
    for number, line in lines:
        content: Any = line if isinstance(line, ValidationError) else _cells(line)
        if isinstance(content, list):
            if len(content) == len(numbers):
                values = map(_value, content, numbers)
                content = dict(zip(table.columns, values, strict=True))
            else:
                content = ValidationError(f"must have {len(numbers)} cells")
        yield Record(number, table.kind, content)


def _cells(line: bytes) -> list[str] | ValidationError:
    """Return the cells of a line of CSV. No value contains a line break, so each line is a record.

    Returns a ValidationError if the line is not CSV.
    """
    try:
        (cells,) = csv.reader([line.decode("utf-8-sig").rstrip("\r\n")], strict=True)
    except UnicodeDecodeError as error:
        return ValidationError(f"the line must be UTF-8: byte {error.start} is not")
    except csv.Error as error:
        return ValidationError(f"the line must be CSV: {error}")
    return cells


def _value(cell: str, number: bool) -> str | int:
    return int(cell) if number and re.fullmatch(r"-?[0-9]{1,20}", cell) else cell


def _load(batch: list[Record], report: Report) -> dict[str, list[Loaded]]:
    """Return the valid records by kind, and add the refused ones to the report."""
    load = {table.kind: record_loader(table.schema) for table in TABLES.values()}
    load_in_clear = record_loader(EVENT_IDS_IN_CLEAR.schema)
    loaded: dict[str, list[Loaded]] = {kind: [] for kind in load}
    for line, kind, content in batch:
        try:
            if isinstance(content, ValidationError):
                raise content
            if not isinstance(content, dict):
                raise ValidationError("must be an object")
            if not isinstance(kind, str) or kind not in load:
                raise ValidationError(f"must be one of {', '.join(load)}", "kind")
            if kind == EVENT_IDS_IN_CLEAR.kind and "digest" not in content:
                record = load_in_clear(content)
                record["digest"] = digest_of(record["source"], record["id"])
            else:
                record = load[kind](content)
            if isinstance(record.get("date"), str):
                record["date"] = period_number(record["type"], "date", record["date"])
        except ValidationError as error:
            report.refuse(line, error)
            continue
        loaded[kind].append(Loaded(line, record))
    return loaded
