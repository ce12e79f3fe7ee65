"""Valid inputs with something wrong in them: inputs that get further than random bytes."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

from hypothesis import strategies as st

Document = Any
Place = tuple[str | int, ...]

INSIDE = 0
"""The step from JSON text to what it holds."""

NESTED = "<nested {}>"
"""Stands in a document for lists that are nested too deeply for `json` to write them."""

LEFT_OUT = "<left out>"

odd_values: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([LEFT_OUT, *(NESTED.format(depth) for depth in (2, 400, 930, 3000))]),
    st.sampled_from([None, True, False, [], {}, [None], {"id": None}, 1.5, 1e300, -0.0]),
    st.sampled_from([-1, 0, 3, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**30, 10**400]),
    st.sampled_from([1_779_157_378, 1_779_157_378_000, 253_402_300_799, 253_402_300_800]),
    st.sampled_from(
        ["", " ", "0", "\x00", "\ud800", "\u2028", "\U0001f600", "x" * 129, "x" * 9000]
    ),
    st.sampled_from(["{", "[]", '{"id":{"id":[]}}', "NaN", "1e999", "9" * 5000, "[" * 3000]),
    st.sampled_from(["2026-05-19", "2026-05", "0000-00-00", "9999-12-31T23:59:59.9-23:59", "W1"]),
    st.sampled_from(["http://[", "//", "/v1/auth/tenants/%ff/users", "?", "create_tenant", "200"]),
    st.text(max_size=5),
    st.integers(),
    st.floats(),
)

pieces = st.binary(max_size=4) | st.sampled_from(
    [
        *(character.encode() for character in '\0\t\n\r !"#%&*+,-./0:;=?[\\]{}~'),
        *(b"//", b"%2", b"%ff", b"%00", b"%2F", b"\xc3%A9"),
        *(b"\\u", b"\\ud800", b"NaN", b"1e999", b"9" * 5000),
        *(b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
    ]
)


@dataclass
class Text:
    """JSON text in a document, with what it holds."""

    content: Document


def opened(value: Any) -> Document:
    """Return a document with its JSON texts, also those in JSON texts, as `Text`."""
    if isinstance(value, str) and value.startswith(("{", "[")):
        return Text(opened(json.loads(value)))
    if isinstance(value, dict):
        return {name: opened(inner) for name, inner in value.items()}
    return list(map(opened, value)) if isinstance(value, list) else value


def dumped(document: Document) -> str:
    """Return an opened document as JSON."""
    return re.sub(
        '"<nested ([0-9]+)>"',
        lambda match: "[" * int(match[1]) + "]" * int(match[1]),
        json.dumps(document, default=lambda text: dumped(text.content)),
    )


def changed(valid: Any) -> st.SearchStrategy[Document]:
    """Make documents like a valid one, with odd values at no place or a few."""
    document = opened(valid)
    places = st.sampled_from([*_places(document)])
    changes = st.lists(st.tuples(places, odd_values), max_size=2)
    return changes.map(lambda chosen: reduce(_with_value, chosen, document))


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Cut something out of bytes, put something in, or repeat some of them."""
    start = draw(st.integers(0, len(data)))
    end = draw(st.just(start) | st.integers(start, len(data)))
    repeated = st.integers(2, 50).map(lambda times: data[start:end] * times)
    return data[:start] + draw(pieces | repeated) + data[end:]


def sometimes_damaged(data: bytes) -> st.SearchStrategy[bytes]:
    return st.just(data) | st.just(data) | damaged(data) | damaged(data).flatmap(damaged)


def _places(document: Document, place: Place = ()) -> Iterator[Place]:
    yield place
    steps: Any = ()
    if isinstance(document, Text):
        steps = [(INSIDE, document.content)]
    elif isinstance(document, dict):
        steps = document.items()
    elif isinstance(document, list):
        steps = enumerate(document)
    for step, inner in steps:
        yield from _places(inner, (*place, step))


def _with_value(document: Document, change: tuple[Place, Any]) -> Document:
    """Return a document with a value at a place, if it has that place still."""
    place, value = change
    if not place:
        return value
    step, *others = place
    rest = (tuple(others), value)
    if isinstance(document, Text):
        return Text(_with_value(document.content, rest))
    if isinstance(document, dict) and step in document:
        changed = document | {step: _with_value(document[step], rest)}
        return {name: inner for name, inner in changed.items() if inner != LEFT_OUT}
    if isinstance(document, list) and isinstance(step, int) and step < len(document):
        return [
            _with_value(inner, rest) if index == step else inner
            for index, inner in enumerate(document)
        ]
    return document
