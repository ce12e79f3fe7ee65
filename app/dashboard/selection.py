"""What part of the data a page is about: days, a tenant, an environment."""

from dataclasses import dataclass
from typing import NamedTuple


class Days(NamedTuple):
    """Days that follow each other, from the first to the last, both of them in it."""

    first: int
    last: int

    def before(self) -> "Days":
        """Return as many days right before these."""
        return Days(self.first - len(self), self.first - 1)

    def __len__(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True)
class Scope:
    """Whose data: of one tenant, of one environment, or of all."""

    tenant_id: str | None = None
    env_id: int | None = None
