"""The body of a request: unpacked, and read as strict JSON."""

import json
import zlib
from collections.abc import Iterable, Sized
from itertools import chain
from typing import Any, NoReturn

from flask import current_app, request

from .config import Settings
from .errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType

BODY_PENDING = "saasus_analysis.body_pending"
"""Key of the WSGI environment: true where only the headers have come, to decide about the body."""

MAX_DEPTH = 500
"""How many levels of lists and objects JSON may have; Python reads about a thousand at most."""


def read_body() -> bytes:
    """Return the request's body, unpacked if it came as gzip.

    Raises PayloadTooLarge if either form is over the limit.
    """
    body = request.get_data(cache=True)
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        return body
    if encoding == "gzip":
        return _gunzip(body, current_app.config["MAX_CONTENT_LENGTH"])
    raise UnsupportedMediaType("Content-Encoding must be gzip or left out")


def read_json() -> Any:
    """Return what the request's JSON body says. Raises ApiError if it is none."""
    if not request.is_json:
        raise UnsupportedMediaType("Content-Type must be application/json")
    return parse_json(read_body())


def parse_json(data: bytes | str, name: str = "the body") -> Any:
    """Return what strict JSON says. Raises InvalidRequest for anything else, NaN included.

    What is nested more than `MAX_DEPTH` levels deep is refused, too.
    """
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        value = _json.decode(text)
        # Each level is two characters at least: short texts need no look.
        if len(text) > 2 * MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
            raise RecursionError
        return value
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{name} must be UTF-8: byte {error.start} is not") from None
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
    """Tell whether lists and objects stand in each other more than so many levels deep."""
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
    try:
        unpacked = member.decompress(packed, limit + 1)
    except zlib.error:
        unpacked = b""
    if len(unpacked) > limit:
        raise PayloadTooLarge(f"the body must not unpack to over {limit} bytes")
    if not member.eof or member.unused_data:
        raise InvalidRequest("the body must be one whole gzip member, as Content-Encoding says")
    return unpacked
