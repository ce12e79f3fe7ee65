"""Faults: which requests are answered wrongly, late or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from ..errors import CHALLENGE, ApiError

RESET, RESET_AFTER, CUT = "reset", "reset_after", "cut"

HEADERS = {
    401: {"WWW-Authenticate": CHALLENGE},
    405: {"Allow": ""},
    429: {"Retry-After": "1"},
    503: {"Retry-After": "1"},
}
"""What belongs to an error beside its body (contract B.8), by status."""


@dataclass
class Fault:
    """A rule for the requests to an operation or path, with how often it was applied."""

    id: int
    document: Mapping[str, Any]
    """The rule as it was given; see `schemas.Fault`."""
    matched: int = 0
    applied: int = 0
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = Random(self.document.get("seed", 0))  # noqa: S311 (must repeat itself)

    def matches(self, operation: str | None, path: str) -> bool:
        """Return whether a request is one that the rule is for."""
        if "operation" in self.document:
            return bool(operation == self.document["operation"])
        return fnmatchcase(path, self.document["path"])

    def draw(self) -> "Effect | None":
        """Count a request, and return what to do to it, or None if nothing."""
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
    """How a fault changes the answer to one request."""

    fault: int
    seconds: float
    """How long it waits before it is worked on."""
    error: "Injected | None"
    """What it is answered with instead of its answer."""
    connection: str | None
    """What becomes of its connection: RESET, RESET_AFTER or CUT."""


class Injected(ApiError):
    """The error that a fault answers with."""

    def __init__(self, status: int, rule: Mapping[str, Any]) -> None:
        super().__init__(rule.get("message", f"a fault of the double answers with {status}"))
        self.code = status
        self.type = rule.get("type")
        self.headers |= HEADERS.get(status, {})
        if "retry_after" in rule:
            self.headers["Retry-After"] = str(rule["retry_after"])


class Faults:
    """The faults of a namespace. The first that applies to a request decides about it."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._made = 0

    def add(self, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Add rules, and return them as they are shown."""
        added = []
        for document in documents:
            self._made += 1
            self._faults[self._made] = Fault(self._made, document)
            added.append(self._faults[self._made].shown())
        return added

    def draw(self, operation: str | None, path: str) -> Effect | None:
        """Count a request in the rules that it matches; return what is done to it, if anything."""
        for fault in self._faults.values():
            if fault.matches(operation, path) and (effect := fault.draw()):
                return effect
        return None

    def remove(self, id_: int) -> bool:
        """Remove a rule, and tell whether it was there."""
        return self._faults.pop(id_, None) is not None

    def clear(self) -> None:
        """Remove all rules; the next one has the id 1 again."""
        self._faults.clear()
        self._made = 0

    def shown(self) -> list[dict[str, Any]]:
        """Return all rules with their counts."""
        return [fault.shown() for fault in self._faults.values()]


def as_range(value: int | list[int]) -> tuple[int, int]:
    """Return the least and the most of a number or a range."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])
