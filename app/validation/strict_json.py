"""Strict JSON: no numbers that JSON does not have, no key twice, bounded nesting."""

import json
from collections.abc import Iterable
from itertools import chain
from typing import Any, NoReturn

from ..errors import InvalidRequest

MAX_DEPTH = 500
"""How many levels of lists and objects JSON may have; Python reads about a thousand at most."""


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
