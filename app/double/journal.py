"""The journal: the requests to a namespace, for inspection and verification."""

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import islice
from typing import Any

from ..web.query_names import list_in

REQUESTS = 1000
"""How many requests are kept."""

BYTES = 16 * 1024 * 1024
"""About how many bytes of requests are kept; the oldest are dropped first."""

VIOLATIONS = 1000
"""How many violations of a request are kept."""

LISTS = {"tenant_ids"}
"""The query parameters that are lists: repeated, in brackets, or separated by commas."""

IDS = {"user_id": ("user_id",), "tenant_id": ("tenant_id", "tenant_ids")}
"""The names in the parameters and body of a request that each filter searches."""

SHOWN_DIFFERENCES = 10


@dataclass(frozen=True)
class Entry:
    """A request and its response."""

    number: int
    """The number of the request in the namespace, from 1."""
    at: int
    """The time by the clock of the namespace, in UNIX seconds."""
    method: str
    path: str
    operation: str | None
    parameters: Mapping[str, Any]
    """The path and query parameters; each value is a string or a list of strings."""
    body: bytes
    """The body after decompression."""
    status: int | None
    """None: the connection was reset without a response."""
    error: str | None
    violations: list[str]
    """All violations in the request; the message of the response may name only some."""
    fault: int | None
    """The id of the fault that was applied."""

    @cached_property
    def size(self) -> int:
        """The approximate size of the entry in bytes."""
        return len(self.body) + sum(map(len, (self.path, str(self.parameters), *self.violations)))

    def content(self) -> Any:
        """Return the parsed body if it is JSON, otherwise as text; None if it is empty."""
        if not self.body:
            return None
        try:
            value = json.loads(self.body)
            # Python also parses what JSON cannot represent: NaN and lone surrogates.
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError):
            return self.body.decode("utf-8", "replace")
        return value

    def document(self) -> dict[str, Any]:
        """Return the entry as the control API shows it."""
        shown = {field.name: getattr(self, field.name) for field in fields(self)}
        return shown | {"parameters": dict(self.parameters), "body": self.content()}

    def names(self, kind: str, wanted: str) -> bool:
        """Return whether any part of the request names a user or tenant."""
        return any(
            wanted in found for found in _values((self.parameters, self.content()), IDS[kind])
        )


class Journal:
    """The last requests of a namespace."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self.count = 0
        """The number of requests, including dropped ones."""

    def add(self, **values: Any) -> None:
        """Add a request, and drop the oldest ones above the limits."""
        self.count += 1
        entry = Entry(number=self.count, **values)
        self._entries.append(entry)
        self._bytes += entry.size
        while len(self._entries) > REQUESTS or self._bytes > BYTES:
            self._bytes -= self._entries.popleft().size

    @property
    def dropped(self) -> int:
        """The number of requests that are no longer kept."""
        return self.count - len(self._entries)

    def clear(self) -> None:
        """Delete all requests; the next one has the number 1 again."""
        self._entries.clear()
        self._bytes = self.count = 0

    def select(
        self,
        *,
        operation: str | None = None,
        user_id: str | None = None,
        tenant_id: str | None = None,
        status: int | None = None,
        since: int = 0,
        after: int = 0,
    ) -> list[Entry]:
        """Return the kept requests that match all given filters, oldest first.

        `since` is inclusive, in UNIX seconds by the namespace's clock; `after` is the number of a
        request.
        """
        return [
            entry
            for entry in self._entries
            if (operation is None or entry.operation == operation)
            and (status is None or entry.status == status)
            and entry.at >= since
            and entry.number > after
            and (user_id is None or entry.names("user_id", user_id))
            and (tenant_id is None or entry.names("tenant_id", tenant_id))
        ]

    def verify(self, expected: Mapping[str, Any]) -> str | None:
        """Return None if as many requests match as expected; otherwise, what was sent instead."""
        expected = dict(expected)
        least, most = _times(expected.pop("times", {"at_least": 1}))
        compared = [(list(_differences(expected, entry)), entry) for entry in self._entries]
        found = sum(1 for differences, _ in compared if not differences)
        if least <= found and (most is None or found <= most):
            return None
        lines = [f"expected {_say_times(least, most)}, found {found} of {len(compared)}"]
        lines[0] += f" requests ({self.dropped} more were dropped)" if self.dropped else " requests"
        others = [(differences, entry) for differences, entry in compared if differences]
        if found < least and others:
            wanted = expected.get("operation")
            differences, nearest = min(
                others,
                key=lambda pair: (pair[1].operation != wanted, len(pair[0]), -pair[1].number),
            )
            lines.append(f"nearest is request {nearest.number}, {nearest.method} {nearest.path}")
            lines += islice(differences, SHOWN_DIFFERENCES)
            if len(differences) > SHOWN_DIFFERENCES:
                lines.append(f"and {len(differences) - SHOWN_DIFFERENCES} more differences")
        return "; ".join(lines)


def parameters_of(path: Mapping[str, Any], query: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the parameters of a request: lists if the contract has lists, otherwise strings."""
    found: dict[str, Any] = dict(path)
    for name, values in query.items():
        if (list_ := list_in(name)) in LISTS:
            parts = [part for value in values for part in value.split(",")]
            found[list_] = found.get(list_, []) + parts
        else:
            found[name] = values[0] if len(values) == 1 else values
    return found


def _values(inside: Any, names: tuple[str, ...]) -> Iterator[list[Any]]:
    """Yield the values of these names at any depth, each as a list."""
    left = [inside]
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            for name, inner in value.items():
                if name in names:
                    yield inner if isinstance(inner, list) else [inner]
                else:
                    left.append(inner)
        elif isinstance(value, list | tuple):
            left.extend(value)


def _times(times: Any) -> tuple[int, int | None]:
    if isinstance(times, int):
        return times, times
    return times.get("at_least", 0), times.get("at_most")


def _say_times(least: int, most: int | None) -> str:
    if least == most:
        return f"exactly {least}"
    if most is None:
        return f"at least {least}"
    return f"{least} to {most}" if least else f"at most {most}"


def _differences(expected: Mapping[str, Any], entry: Entry) -> Iterator[str]:
    """Yield the differences between a request and what was expected."""
    for name, wanted in expected.items():
        if name == "parameters":
            # In a URL, everything is text.
            yield from _compare(_as_text(wanted), entry.parameters, "parameters")
        elif name == "body":
            yield from _compare(wanted, entry.content(), "body")
        else:
            yield from _compare(wanted, getattr(entry, name), name)


def _compare(wanted: Any, sent: Any, place: str) -> Iterator[str]:
    """Yield the places where the sent value lacks something or differs."""
    if isinstance(wanted, Mapping) and isinstance(sent, Mapping):
        for name, inner in wanted.items():
            if name in sent:
                yield from _compare(inner, sent[name], f"{place}.{name}")
            else:
                yield f"{place}.{name}: expected {_show(inner)}, nothing was sent"
    elif isinstance(wanted, list) and isinstance(sent, list) and len(wanted) == len(sent):
        for index, (inner, other) in enumerate(zip(wanted, sent, strict=True)):
            yield from _compare(inner, other, f"{place}[{index}]")
    elif wanted != sent or isinstance(wanted, bool) != isinstance(sent, bool):
        yield f"{place}: expected {_show(wanted)}, was {_show(sent)}"


def _as_text(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _as_text(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_as_text(inner) for inner in value]
    return value if isinstance(value, str) else json.dumps(value)


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"
