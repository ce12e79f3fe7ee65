"""Ingesting the records of a request: reading its body, and reporting the outcome."""

from collections.abc import Callable, Sequence
from typing import Any

from flask import g, request
from marshmallow import ValidationError

from ..analytics.event_cutoffs import checking_times
from ..analytics.events import Reader, Report, read_records
from ..analytics.recording import record_events
from ..errors import InvalidRequest
from ..storage.database import Database
from ..validation.messages import describe
from ..validation.strict_json import decode, parse_json
from ..web import body_memory
from ..web.request_body import JSON, NDJSON, check_count, check_type, read_body, read_json

Records = list[Any]


def take_in(
    database: Database,
    records: Records,
    read: Reader,
    *,
    time_field: str = "timestamp",
    all_or_nothing: bool,
) -> dict[str, Any]:
    """Store the valid records in one transaction, and report on all records.

    Shape: `IngestReport`. `time_field` is the field of a record that holds its time. Raises
    InvalidRequest, with nothing stored, if all records are refused, or if any is refused and
    `all_or_nothing` is set; PayloadTooLarge if there are too many records.
    """
    check_count(records)
    report = Report()
    events = read_records(records, checking_times(database, read, time_field), report)
    if report.refused and (all_or_nothing or not (events or report.ignored)):
        lines = (f"record {refusal['index']}: {refusal['message']}" for refusal in report.refused)
        raise InvalidRequest(*lines, introduction="nothing was stored: ", more=report.unlisted)
    record_events(database, events, report)
    g.report = report.counts()
    return report.document()


def one_or_list() -> Records:
    """Return the records of a JSON body, which is a list or a single record."""
    body = read_json()
    return body if isinstance(body, list) else [body]


def one_or_list_or_lines() -> Records:
    """Return the records of a JSON or NDJSON body."""
    check_type(JSON, NDJSON)
    if request.mimetype != NDJSON:
        return one_or_list()
    lines = [line for line in _lines(read_body()) if line.strip()]
    check_count(lines)  # before parsing them, which may take long
    return [parse_line(line) for line in lines]


def flat(records: Records, inside: Callable[[Any], list[Any]]) -> Records:
    """Return the records inside outer objects such as pages, in one list."""
    try:
        return [record for outer in records for record in inside(outer)]
    except ValidationError as error:
        raise InvalidRequest(*describe(error)) from None


def _lines(body: bytes) -> Sequence[bytes | str]:
    """Return the lines of a body; as bytes if it is not UTF-8, so that parsing refuses the line."""
    body_memory.hold(body_memory.parsed_size(body) + body.count(b"\n") * body_memory.MARK)
    try:
        return decode(body).split("\n")
    except InvalidRequest:
        return body.split(b"\n")


def parse_line(line: bytes | str) -> Any:
    """Return the record on a line, or a ValidationError that says why the line holds none."""
    try:
        return parse_json(line, "the line")
    except InvalidRequest as error:
        return ValidationError(str(error.description))
