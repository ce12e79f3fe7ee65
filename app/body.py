"""The body of a request: unpacked, and read as strict JSON."""

import json
import zlib
from collections.abc import Iterable, Sized
from itertools import chain
from typing import Any, NoReturn

from flask import current_app, request

from . import memory
from .config import Settings
from .errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType

BODY_PENDING = "saasus_analysis.body_pending"
"""Key of the WSGI environment: true where only the headers have come, to decide about the body."""

MAX_DEPTH = 500
"""How many levels of lists and objects JSON may have; Python reads about a thousand at most."""

JSON, NDJSON = "application/json", "application/x-ndjson"

NO_GZIP = "the body must be one whole gzip member, as Content-Encoding says"

PIECE = 2**20
"""How many bytes are unpacked before the limits are looked at again."""


def is_pending() -> bool:
    """Return whether only the headers of the current request are there; see `early`."""
    return bool(request.environ.get(BODY_PENDING))


def check_type(*types: str) -> None:
    """Raise UnsupportedMediaType if the body is not of one of the types, `JSON` or `NDJSON`."""
    if not (request.mimetype in types or (JSON in types and request.is_json)):
        raise UnsupportedMediaType(f"Content-Type must be {' or '.join(types)}")


def check_encoding() -> str:
    """Return the content encoding of the body. Raises UnsupportedMediaType for an unknown one."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise UnsupportedMediaType("Content-Encoding must be gzip or left out")
    return encoding


def read_body() -> bytes:
    """Return the request's body, unpacked if it came as gzip.

    Raises PayloadTooLarge if either form is over the limit of the operation, ServiceUnavailable if
    there is no memory for it now.
    """
    body = request.get_data(cache=True)
    if check_encoding() == "gzip":
        return _gunzip(body, request.max_content_length or 0)
    return body


def read_json() -> Any:
    """Return the value of the request's JSON body. Raises ApiError if it has none."""
    check_type(JSON)
    body = read_body()
    memory.hold(memory.parsed_size(body))
    return parse_json(body)


def decode(body: bytes, name: str = "the body") -> str:
    """Return UTF-8 as text. Raises InvalidRequest for anything else."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{name} must be UTF-8: byte {error.start} is not") from None


def parse_json(data: bytes | str, name: str = "the body") -> Any:
    """Return the value of strict JSON. Raises InvalidRequest for anything else, NaN included.

    What is nested more than `MAX_DEPTH` levels deep is refused, too.
    """
    text = decode(data, name) if isinstance(data, bytes) else data
    try:
        value = _json.decode(text)
        # Each level is two characters at least: short texts need no look.
        if len(text) > 2 * MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
            raise RecursionError
        return value
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequest(f"{name} must be JSON: {error.msg} at {place}") from None
    except _NoNumber as error:
        raise InvalidRequest(f"{name} must be JSON: {error} is not a number of JSON") from None
    except ValueError:
        raise InvalidRequest(f"{name} must hold no number of so many digits") from None
    except RecursionError:
        raise InvalidRequest(
            f"{name} must be JSON nested at most {MAX_DEPTH} levels deep"
        ) from None


def check_count(records: Sized, name: str = "the body") -> None:
    """Raise PayloadTooLarge if there are more records than a request may hold."""
    settings: Settings = current_app.extensions["settings"]
    if len(records) > settings.max_records:
        raise PayloadTooLarge(f"{name} must not hold over {settings.max_records} records")


def _is_deeper(value: object, levels: int) -> bool:
    """Return whether JSON is nested more than so many levels deep."""
    values = [value]
    for _ in range(levels):
        if _CONTAINERS.isdisjoint(map(type, values)):
            return False
        values = list(chain.from_iterable(map(_inside, values)))
    return not _CONTAINERS.isdisjoint(map(type, values))


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


class _NoNumber(ValueError):
    """A constant such as NaN, which Python's JSON has and JSON has not."""


def _refuse_constant(name: str) -> NoReturn:
    raise _NoNumber(name)


_CONTAINERS = {dict, list}

_json = json.JSONDecoder(parse_constant=_refuse_constant)


def _gunzip(packed: bytes, limit: int) -> bytes:
    """Unpack one gzip member (more than one would cost time that the limit does not bound)."""
    member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    pieces, size = [], 0
    try:
        while packed and not member.eof:
            piece = member.decompress(packed, PIECE)
            packed = member.unconsumed_tail
            size += len(piece)
            if size > limit:
                raise PayloadTooLarge(f"the body must not unpack to over {limit} bytes")
            pieces.append(piece)
            memory.hold(2 * len(piece))  # also for what the pieces are joined to
    except zlib.error:
        raise InvalidRequest(NO_GZIP) from None
    if not member.eof or member.unused_data:
        raise InvalidRequest(NO_GZIP)
    return b"".join(pieces)
