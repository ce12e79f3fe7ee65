"""The part of the data that a query is about: days, a tenant, an environment."""

from dataclasses import dataclass
from typing import NamedTuple

from ..days import Calendar


class Days(NamedTuple):
    """A range of days, from the first to the last, inclusive."""

    first: int
    last: int

    def before(self) -> "Days":
        """Return the same number of days right before these."""
        return Days(self.first - len(self), self.first - 1)

    def seconds(self, calendar: Calendar) -> tuple[int, int]:
        """Return the first and the last second of these days."""
        return calendar.day_start(self.first), calendar.day_start(self.last + 1) - 1

    def __len__(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True)
class Scope:
    """The tenant and the environment whose data a query is about; None stands for all."""

    tenant_id: str | None = None
    env_id: int | None = None
