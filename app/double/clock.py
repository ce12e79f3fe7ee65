"""The clock of a namespace: real, running with an offset, or frozen."""

from dataclasses import dataclass
from typing import Any

from ..days import MAX_TIMESTAMP, Clock


@dataclass(frozen=True)
class ClockSetting:
    """Where a clock stands: frozen at a UNIX second, or running with an offset in seconds."""

    at: int | None = None
    offset: int = 0

    def moved(self, seconds: int) -> "ClockSetting":
        """Return the setting of a clock that is moved on, or with a negative number back."""
        if self.at is None:
            return ClockSetting(offset=self.offset + seconds)
        return ClockSetting(at=self.at + seconds)

    def now(self) -> int:
        """Return the time of a clock that stands here."""
        return Clock().now() + self.offset if self.at is None else self.at

    def document(self) -> dict[str, Any]:
        """Return the setting as states and the control API show it."""
        if self.at is not None:
            return {"mode": "frozen", "at": self.at}
        if self.offset:
            return {"mode": "offset", "offset": self.offset}
        return {"mode": "real"}


class SettableClock(Clock):
    """A clock that stands where it is set; never outside of the timestamps of the contract."""

    def __init__(self) -> None:
        self.setting = ClockSetting()

    def now(self) -> int:
        return min(max(self.setting.now(), 0), MAX_TIMESTAMP)
