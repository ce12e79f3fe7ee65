"""Faults: rules that make requests fail, slow them down, or break their connection."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from flask import Response

from ..errors import CHALLENGE, ApiError

RESET, RESET_AFTER, CUT = "reset", "reset_after", "cut"

REASON = "{} by a fault of the double"

HEADERS = {
    401: {"WWW-Authenticate": CHALLENGE},
    405: {"Allow": ""},
    429: {"Retry-After": "1"},
    503: {"Retry-After": "1"},
}
"""The headers of an error (contract B.8), by status."""


@dataclass
class Fault:
    """A rule for requests to an operation or path, with the number of times it was applied."""

    id: int
    document: Mapping[str, Any]
    """The rule as it was sent; see `schemas.Fault`."""
    matched: int = 0
    applied: int = 0
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = Random(self.document.get("seed", 0))  # noqa: S311 (must repeat itself)

    def matches(self, operation: str | None, path: str) -> bool:
        """Return whether the rule is for this request."""
        if "operation" in self.document:
            return bool(operation == self.document["operation"])
        return fnmatchcase(path, self.document["path"])

    def draw(self) -> "Effect | None":
        """Count a matching request; return the effect on it, or None if the rule skips it."""
        rule = self.document
        self.matched += 1
        if self.matched <= rule.get("skip", 0) or self.applied >= self._times():
            return None
        if self._random.random() >= rule.get("probability", 1):
            return None
        statuses = rule.get("statuses") or [rule.get("status", 200)]
        status = statuses[self.applied % len(statuses)]
        self.applied += 1
        least, most = as_range(rule.get("latency_ms", 0))
        return Effect(
            fault=self.id,
            seconds=self._random.uniform(least, most) / 1000,
            error=None if status == 200 else Injected(status, rule),
            connection=rule.get("connection"),
        )

    def shown(self) -> dict[str, Any]:
        """Return the rule with its id and counts."""
        return {"id": self.id, "matched": self.matched, "applied": self.applied, **self.document}

    def _times(self) -> float:
        if "statuses" in self.document:
            return len(self.document["statuses"])
        return float(self.document.get("times", "inf"))


@dataclass(frozen=True)
class Effect:
    """The effect of a fault on one request."""

    fault: int
    seconds: float
    """How long the request waits before it is processed."""
    error: "Injected | None"
    """The error that replaces the true response."""
    connection: str | None
    """What happens to the connection: RESET, RESET_AFTER, CUT, or None for nothing."""

    def apply_before(self) -> ConnectionResetError | None:
        """Return the exception with which the connection ends before a view runs, or None.

        Raises the error that replaces the response.
        """
        if self.connection == RESET:
            return ConnectionResetError(REASON.format("reset"))
        if self.error:
            raise self.error
        return None

    def apply_after(self, response: Response, method: str) -> ConnectionError | None:
        """Return the exception with which the connection ends after the response, or None.

        A response to cut keeps half of its body.
        """
        if self.connection == RESET_AFTER:
            return ConnectionResetError(REASON.format("reset"))
        if self.connection != CUT or method == "HEAD":
            return None
        # Content-Length names the whole body, but half is sent; an empty body becomes two spaces.
        whole = response.get_data() or b"  "
        response.set_data(whole[: len(whole) // 2])
        response.headers["Content-Length"] = str(len(whole))
        return ConnectionAbortedError(REASON.format("cut"))


class Injected(ApiError):
    """The error response of a fault."""

    def __init__(self, status: int, rule: Mapping[str, Any]) -> None:
        super().__init__(rule.get("message", f"a fault of the double responds with {status}"))
        self.code = status
        self.type = rule.get("type")
        self.headers |= HEADERS.get(status, {})
        if "retry_after" in rule:
            self.headers["Retry-After"] = str(rule["retry_after"])


class Faults:
    """The faults of a namespace. The first one that applies to a request takes effect."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._made = 0

    def add(self, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Add rules; return them with their ids and counts."""
        added = []
        for document in documents:
            self._made += 1
            self._faults[self._made] = Fault(self._made, document)
            added.append(self._faults[self._made].shown())
        return added

    def draw(self, operation: str | None, path: str) -> Effect | None:
        """Return the effect of the first fault that applies to a request, or None.

        Each fault that is tried and matches counts the request.
        """
        for fault in self._faults.values():
            if fault.matches(operation, path) and (effect := fault.draw()):
                return effect
        return None

    def remove(self, id_: int) -> bool:
        """Remove a rule; return whether it existed."""
        return self._faults.pop(id_, None) is not None

    def clear(self) -> None:
        """Remove all rules; the next one has the id 1 again."""
        self._faults.clear()
        self._made = 0

    def shown(self) -> list[dict[str, Any]]:
        """Return all rules with their counts."""
        return [fault.shown() for fault in self._faults.values()]


def as_range(value: int | list[int]) -> tuple[int, int]:
    """Return a range as its minimum and maximum; a single number is both."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])
