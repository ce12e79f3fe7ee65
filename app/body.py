"""The body of a request: unpacked, and read as strict JSON."""

import json
import zlib
from typing import Any, NoReturn

from flask import current_app, request

from .errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType


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
    """Return what strict JSON says. Raises InvalidRequest for anything else, NaN included."""
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        return _json.decode(text)
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
        raise InvalidRequest(f"{name} must be JSON that is not nested that deeply") from None


class _NoNumber(ValueError):
    """A constant such as NaN, which Python's JSON has and JSON has not."""


def _refuse_constant(name: str) -> NoReturn:
    raise _NoNumber(name)


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
