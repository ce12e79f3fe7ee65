"""Strict JSON: no NaN or Infinity, which Python's parser accepts, and bounded nesting."""

import json
from collections.abc import Iterable
from itertools import chain
from typing import Any, NoReturn

from ..errors import InvalidRequest

MAX_DEPTH = 500
"""How many levels of lists and objects JSON may have; Python parses about a thousand at most."""


def decode(body: bytes, name: str = "the body") -> str:
    """Return the text of UTF-8 bytes. Raises InvalidRequest if they are not UTF-8."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{name} must be UTF-8: byte {error.start} is not") from None


def parse_json(data: bytes | str, name: str = "the body") -> Any:
    """Return the value of strict JSON.

    Raises InvalidRequest for anything else, such as NaN, or nesting deeper than `MAX_DEPTH` levels.
    """
    text = decode(data, name) if isinstance(data, bytes) else data
    try:
        value = _json.decode(text)
        # Each level takes at least two characters, so short texts need no check.
        if len(text) > 2 * MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
            raise RecursionError
        return value
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequest(f"{name} must be JSON: {error.msg} at {place}") from None
    except _NoNumber as error:
        raise InvalidRequest(f"{name} must be JSON: {error} is not a number of JSON") from None
    except ValueError:
        raise InvalidRequest(f"{name} must not hold a number with so many digits") from None
    except RecursionError:
        raise InvalidRequest(
            f"{name} must be JSON nested at most {MAX_DEPTH} levels deep"
        ) from None


def _is_deeper(value: object, levels: int) -> bool:
    """Return whether a JSON value is nested more than `levels` levels deep."""
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
    """A constant such as NaN, which Python's JSON parser accepts but JSON does not have."""


def _refuse_constant(name: str) -> NoReturn:
    raise _NoNumber(name)


_CONTAINERS = {dict, list}

_json = json.JSONDecoder(parse_constant=_refuse_constant)
