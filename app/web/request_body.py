"""The body of a request: unpacking it, and reading it as strict JSON."""

import zlib
from collections.abc import Sized
from typing import Any

from flask import request

from ..errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from ..validation.strict_json import parse_json
from . import body_memory
from .context import current_settings

BODY_PENDING = "saasus_analysis.body_pending"
"""Key of the WSGI environment: true while only the headers have come; see `early_refusal`."""


JSON, NDJSON = "application/json", "application/x-ndjson"

NO_GZIP = "the body must be one whole gzip member, as Content-Encoding says"

PIECE = 2**20
"""How many bytes are unpacked before the limits are checked again."""


def is_pending() -> bool:
    """Return whether only the headers of the current request have come; see `early_refusal`."""
    return bool(request.environ.get(BODY_PENDING))


def check_type(*types: str) -> None:
    """Raise UnsupportedMediaType unless the body is of one of the types, `JSON` or `NDJSON`."""
    if not (request.mimetype in types or (JSON in types and request.is_json)):
        raise UnsupportedMediaType(f"Content-Type must be {' or '.join(types)}")


def check_encoding() -> str:
    """Return the content encoding of the body. Raises UnsupportedMediaType if it is unknown."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise UnsupportedMediaType("Content-Encoding must be gzip or left out")
    return encoding


def read_body() -> bytes:
    """Return the request's body, unpacked if it is gzip.

    Raises PayloadTooLarge if it is over the limit of the operation, packed or unpacked;
    ServiceUnavailable if there is no memory for it now.
    """
    body = request.get_data(cache=True)
    if check_encoding() == "gzip":
        return _gunzip(body, request.max_content_length or 0)
    return body


def read_json() -> Any:
    """Return the value of the request's JSON body. Raises ApiError if there is none."""
    check_type(JSON)
    body = read_body()
    body_memory.hold(body_memory.parsed_size(body))
    return parse_json(body)


def check_count(records: Sized, name: str = "the body") -> None:
    """Raise PayloadTooLarge if there are more records than a request may hold."""
    settings = current_settings()
    if len(records) > settings.max_records:
        raise PayloadTooLarge(f"{name} must not hold over {settings.max_records} records")


def _gunzip(packed: bytes, limit: int) -> bytes:
    """Unpack one gzip member; many empty members would take time that no limit bounds."""
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
            body_memory.hold(2 * len(piece))  # for the piece, and again for joining the pieces
    except zlib.error:
        raise InvalidRequest(NO_GZIP) from None
    if not member.eof or member.unused_data:
        raise InvalidRequest(NO_GZIP)
    return b"".join(pieces)
