"""The clock of a namespace: real, running with an offset, or frozen."""

from dataclasses import dataclass
from typing import Any

from ..days import MAX_TIMESTAMP, Clock


@dataclass(frozen=True)
class ClockSetting:
    """The setting of a clock: frozen at a UNIX second, or running with an offset in seconds."""

    at: int | None = None
    offset: int = 0

    def moved(self, seconds: int) -> "ClockSetting":
        """Return the setting of a clock that is moved forward, or back if `seconds` is negative."""
        if self.at is None:
            return ClockSetting(offset=self.offset + seconds)
        return ClockSetting(at=self.at + seconds)

    def now(self) -> int:
        """Return the time that a clock with this setting shows now."""
        return Clock().now() + self.offset if self.at is None else self.at

    def document(self) -> dict[str, Any]:
        """Return the setting as it is in states and in the control API."""
        if self.at is not None:
            return {"mode": "frozen", "at": self.at}
        if self.offset:
            return {"mode": "offset", "offset": self.offset}
        return {"mode": "real"}


class SettableClock(Clock):
    """A clock with a setting; its time is always within the timestamps of the contract."""

    def __init__(self) -> None:
        self.setting = ClockSetting()

    def now(self) -> int:
        return min(max(self.setting.now(), 0), MAX_TIMESTAMP)
