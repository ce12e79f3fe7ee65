"""Which timestamps are accepted: impossible ones are refused before anything is stored."""

from typing import NamedTuple

from ..days import FIRST_DAY, MAX_TIMESTAMP, Calendar, month_of, parse_day
from ..storage.database import Database

DAY = 86400


class Times(NamedTuple):
    """The first and the last timestamp that are accepted now."""

    first: int
    last: int

    def refusal(self, timestamp: int) -> str | None:
        """Return why a timestamp is refused, or None if it is accepted."""
        if timestamp < self.first:
            return f"must not be before {self.first}: nothing earlier is accepted (accept_from)"
        if timestamp > self.last:
            return f"must not be after {self.last}: that is too far ahead of this server's clock"
        return None


def accepted_times(database: Database) -> Times:
    """Return the range of timestamps that a database accepts, by its clock and its settings."""
    first, last = 0, MAX_TIMESTAMP
    if database.accept_from is not None:
        first = max(database.calendar.day_start(parse_day(str(database.accept_from))), 0)
    if database.accept_ahead is not None:
        last = min(database.clock.now() + database.accept_ahead * DAY, last)
    return Times(first, last)


def period_refusal(times: Times, calendar: Calendar, period: int, monthly: bool) -> str | None:
    """Return why a day or month is refused, or None if any part of it is accepted."""
    first, last = (calendar.day_of(timestamp) for timestamp in times)
    first = first if times.first else FIRST_DAY
    if monthly:
        first, last = month_of(first), month_of(last)
    if period < first:
        return times.refusal(times.first - 1)
    return times.refusal(times.last + 1) if period > last else None
