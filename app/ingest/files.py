"""Importing records from files: NDJSON or JSON of any length, in bounded memory."""

import io
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, BinaryIO

import ijson
from marshmallow import ValidationError

from ..analytics.event_cutoffs import checking_times
from ..analytics.events import Reader, Report, read_records
from ..analytics.recording import record_events
from ..errors import InvalidRequest
from ..storage.database import Database
from ..validation.strict_json import parse_json
from .intake import parse_line

BATCH = 10_000
"""Records per transaction: few enough to bound memory and lock time, enough to be fast."""

MAX_LINE = 16 * 1024 * 1024
"""The most bytes of a line, and of a record of JSON that is not on a line of its own."""

DEEPEST = 1000
"""How many levels deep JSON may be nested; the time of ijson grows with the square of the depth."""

_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - _STEPS.keys())


class UnreadableFile(Exception):
    """The rest of a file cannot be read; the message is a predicate, to follow the file's name."""


@dataclass(frozen=True)
class Format:
    """How the records of a source are arranged in a file.

    The file holds outer objects: in a JSON list, one on each line, or one after the other. `inside`
    returns the records in an outer object, and `path` is where they are in it, as an ijson prefix.
    `time_field` is the field of a record that holds its time.
    """

    read: Reader
    time_field: str = "timestamp"
    path: str = ""
    inside: Callable[[Any], list[Any]] = lambda record: [record]


def import_stream(
    database: Database, stream: BinaryIO, format_: Format, progress: Callable[[int], object]
) -> Iterator[Report]:
    """Store the records of a stream; yield a report for each transaction.

    `progress` is called with the number of bytes of each read. The index of a refused record is its
    position in the whole stream. Raises UnreadableFile.
    """
    records = _records(metered(stream, progress), format_)
    return import_records(database, records, format_.read, format_.time_field)


def import_records(
    database: Database, records: Iterator[Any], read: Reader, time_field: str = "timestamp"
) -> Iterator[Report]:
    """Store records; yield a report for each transaction.

    The index of a refused record is its position among all records.
    """
    first = 0
    while batch := list(islice(records, BATCH)):
        report = Report()
        events = read_records(batch, checking_times(database, read, time_field), report, first)
        record_events(database, events, report)
        first += len(batch)
        yield report


def _records(stream: BinaryIO, format_: Format) -> Iterator[Any]:
    start = b""
    while not start.strip() and (line := stream.readline(MAX_LINE)):
        start = line.removeprefix(BOM_UTF8).lstrip()
    if not start:
        return iter(())
    if start.startswith(b"[") or not _is_json(start):
        return _from_json(_Rejoined(start, stream), start.startswith(b"["), format_)
    return _from_lines(chain([start], lines_of(stream)), format_)


def lines_of(stream: BinaryIO) -> Iterator[bytes | ValidationError]:
    """Yield the lines of a stream; for a line that is too long, yield a ValidationError."""
    while line := stream.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            while line and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE)
            yield ValidationError(f"the line must be shorter than {MAX_LINE} bytes")
        else:
            yield line


def _is_json(line: bytes) -> bool:
    try:
        parse_json(line)
    except InvalidRequest:
        return False
    return True


def _from_lines(lines: Iterator[bytes | ValidationError], format_: Format) -> Iterator[Any]:
    for line in lines:
        if isinstance(line, bytes) and not line.strip():
            continue
        outer = line if isinstance(line, ValidationError) else parse_line(line)
        if isinstance(outer, ValidationError):
            yield outer
            continue
        try:
            yield from format_.inside(outer)
        except ValidationError as error:
            yield error


def _from_json(stream: "_Rejoined", is_list: bool, format_: Format) -> Iterator[Any]:
    path = ".".join(part for part in ("item" if is_list else "", format_.path) if part)
    bounded = _Shallow(stream)
    try:
        for record in ijson.items(bounded, path, use_float=True, multiple_values=True):
            bounded.since_record = 0
            yield record
    except ijson.JSONError as error:
        told = error.args[0]
        text = told.decode(errors="replace") if isinstance(told, bytes) else str(told)
        place = text.splitlines()[0]
        raise UnreadableFile(f"is not valid JSON throughout: {place}") from None
    except UnicodeDecodeError:
        raise UnreadableFile("is not valid UTF-8 throughout") from None


def metered(stream: BinaryIO, progress: Callable[[int], object]) -> BinaryIO:
    """Return a stream that calls `progress` with the number of bytes of each read."""
    return io.BufferedReader(_Metered(stream, progress))


class _Metered(io.RawIOBase):
    """A stream that reports the number of bytes of each read."""

    def __init__(self, stream: BinaryIO, progress: Callable[[int], object]) -> None:
        self._stream, self._progress = stream, progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._progress(len(data))
        return len(data)


class _Shallow:
    """A stream of JSON whose `read` raises UnreadableFile if the JSON is nested too deeply.

    It also raises if a record is too long, because a whole record is in memory when it is parsed.
    """

    def __init__(self, stream: "_Rejoined") -> None:
        self._stream = stream
        self._depth = 0
        self.since_record = 0
        """How many bytes were read since the end of the last record."""
        self._in_text = False
        self._escape = b""  # a backslash, if the last read ended just before what it escapes

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.since_record += len(data)
        if self.since_record > MAX_LINE + size:
            raise UnreadableFile(f"has a record that is longer than {MAX_LINE} bytes")
        bare = (self._escape + data).replace(rb"\\", b"").replace(rb"\"", b"")
        self._escape = b"\\" if bare.endswith(b"\\") else b""
        parts = bare.split(b'"')
        brackets = b"".join(parts[self._in_text :: 2]).translate(None, _NO_BRACKETS)
        self._in_text ^= len(parts) % 2 == 0
        for step in map(_STEPS.__getitem__, brackets):
            self._depth += step
            if self._depth > DEEPEST:
                raise UnreadableFile(f"is nested more than {DEEPEST} levels deep")
        return data


class _Rejoined:
    """A stream that begins with a part that was already read from it."""

    def __init__(self, start: bytes, stream: BinaryIO) -> None:
        self._start, self._stream = start, stream

    def read(self, size: int) -> bytes:
        start, self._start = self._start[:size], self._start[size:]
        return start + self._stream.read(size - len(start))
