"""Taking in the records of a request: its body, and the answer to it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from flask import g, request
from marshmallow import ValidationError

from ..body import check_count, parse_json, read_body
from ..database import Database
from ..errors import InvalidRequest, UnsupportedMediaType
from ..fields import describe
from .events import Reader, Report, read_records
from .queries import checking, record_events

JSON, NDJSON = "application/json", "application/x-ndjson"

Records = list[Any]


def take_in(
    database: Database,
    records: Records,
    read: Reader,
    *,
    time_field: str = "timestamp",
    all_or_nothing: bool,
) -> dict[str, Any]:
    """Store the records that are good, in one transaction, and report on all of them.

    Shape: `IngestReport`. `time_field` is where records have their time. Raises InvalidRequest,
    with nothing stored, if records were refused and either none was good or it is
    `all_or_nothing`; PayloadTooLarge if there are too many.
    """
    check_count(records)
    report = Report()
    events = read_records(records, checking(database, read, time_field), report)
    if report.refused and (all_or_nothing or not (events or report.ignored)):
        lines = (f"record {refusal['index']}: {refusal['message']}" for refusal in report.refused)
        raise InvalidRequest(*lines, introduction="nothing was stored: ")
    record_events(database, events, report)
    g.report = report.counts()
    return asdict(report)


def one_or_list() -> Records:
    """Return the records of a JSON body: a list, or one alone."""
    if request.mimetype != JSON:
        raise UnsupportedMediaType(f"Content-Type must be {JSON}")
    body = parse_json(read_body())
    return body if isinstance(body, list) else [body]


def one_or_list_or_lines() -> Records:
    """Return the records of a JSON or NDJSON body."""
    if request.mimetype == NDJSON:
        lines = [line for line in _lines(read_body()) if line.strip()]
        check_count(lines)  # before it takes long to read them
        return [parse_line(line) for line in lines]
    if request.mimetype != JSON:
        raise UnsupportedMediaType(f"Content-Type must be {JSON} or {NDJSON}")
    return one_or_list()


def flat(records: Records, inside: Callable[[Any], list[Any]]) -> Records:
    """Return the records that stand inside of others, such as pages."""
    try:
        return [record for outer in records for record in inside(outer)]
    except ValidationError as error:
        raise InvalidRequest(*describe(error)) from None


def _lines(body: bytes) -> Sequence[bytes | str]:
    """Return the lines of a body; as bytes if some line is no UTF-8, which parsing it will tell."""
    try:
        return body.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        return body.split(b"\n")


def parse_line(line: bytes | str) -> Any:
    """Return the record on a line, or the ValidationError that tells why there is none."""
    try:
        return parse_json(line, "the line")
    except InvalidRequest as error:
        return ValidationError(str(error.description))
