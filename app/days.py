"""Time: the clock, days and months of the deployment's time zone, and how dates are written.

A day is a number: calendar days since 1970-01-01. A month is a number: year * 12 + month - 1.
Nothing else in the package asks the system for the time.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

MAX_TIMESTAMP = 253402300799
"""9999-12-31T23:59:59Z in UNIX seconds: the last timestamp of the contract (B.7)."""

MONTH_PATTERN = r"^([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-(0[1-9]|1[0-2])$"

# Some files of tz data must not be used as names: `localtime` and `posixrules` depend on how the
# machine is configured, `Factory` means that nothing was configured, and `posix/` and `right/` hold
# copies, the latter with leap seconds. The case matters even where file names ignore case, so that
# a name works on every machine.
ZONE_NAME = r"(?!Factory$)[A-Z][A-Za-z0-9_+-]*(/[A-Z][A-Za-z0-9_+-]*)*"

_EPOCH = date(1970, 1, 1).toordinal()
FIRST_DAY, LAST_DAY = date.min.toordinal() - _EPOCH, date.max.toordinal() - _EPOCH
_DAY_SECONDS = 86400


class Clock:
    """The clock of an application: the system time."""

    def now(self) -> int:
        """Return the current time in UNIX seconds."""
        return int(time.time())


def find_zone(name: str) -> tzinfo:
    """Return the time zone of an IANA name.

    Raises ValueError if it is no such name, or the tz data of this machine do not have it.
    """
    if name == "UTC":
        return UTC  # needs no tz data
    if not re.fullmatch(ZONE_NAME, name):
        raise ValueError(f"{name!r:.100} is not an IANA time zone such as Asia/Tokyo")
    try:
        return ZoneInfo(name)
    except Exception as error:  # a missing, unreadable or damaged file raises almost anything
        raise ValueError(
            f"{name!r:.100} is not an IANA time zone such as Asia/Tokyo in the tz data of this "
            "machine; for newer data, update the system's tzdata or run `pip install -U tzdata`"
        ) from error


class Calendar:
    """The days of one time zone.

    A day begins at the first second whose local date is that day or a later one, and ends where
    the next day begins. So days have no gaps or overlaps, even where the zone's clocks change at
    midnight. Raises ValueError like `find_zone`.
    """

    def __init__(self, zone: str) -> None:
        self._zone = find_zone(zone)
        self.zone = zone
        self.day_start = lru_cache(maxsize=4096)(self._day_start)
        self._latest = (0, 0, 0)  # a cache of the last result: the day, its start and its end

    def day_of(self, timestamp: int) -> int:
        """Return the day that holds a timestamp; 9999-12-31 also holds all later ones."""
        latest, start, end = self._latest
        if start <= timestamp < end:
            return latest
        day = min(timestamp // _DAY_SECONDS, LAST_DAY)
        while timestamp < self.day_start(day):
            day -= 1
        while day < LAST_DAY and timestamp >= self.day_start(day + 1):
            day += 1
        self._latest = day, self.day_start(day), self.day_start(day + 1)
        return day

    def _day_start(self, day: int) -> int:
        """Return the UNIX second at which a day begins; after the last day, the end of that day."""
        if day > LAST_DAY:
            return MAX_TIMESTAMP + 1
        midnight = datetime.fromordinal(day + _EPOCH).replace(tzinfo=self._zone)
        start = int(midnight.timestamp())
        if self._local_day(start - 1) < day:
            return start
        # The clocks were set forward over midnight: the day began at that moment.
        before = start - _DAY_SECONDS
        while start - before > 1:
            middle = (before + start) // 2
            if self._local_day(middle) < day:
                before = middle
            else:
                start = middle
        return start

    def local_time(self, timestamp: int) -> datetime:
        """Return the local time at a timestamp, at most the end of the year 9999."""
        try:
            return datetime.fromtimestamp(timestamp, self._zone)
        except (OverflowError, ValueError):
            return datetime.max.replace(microsecond=0, tzinfo=self._zone)

    def _local_day(self, timestamp: int) -> int:
        try:
            return datetime.fromtimestamp(timestamp, self._zone).toordinal() - _EPOCH
        except (OverflowError, ValueError):  # the local year is 0 or 10000
            return FIRST_DAY - 1 if timestamp < 0 else LAST_DAY + 1


@lru_cache(maxsize=4096)
def parse_day(text: str) -> int:
    """Return the day written as YYYY-MM-DD. Raises ValueError if there is no such day."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError("must be a date as YYYY-MM-DD")
    try:
        return date.fromisoformat(text).toordinal() - _EPOCH
    except ValueError:
        raise ValueError("must be a date that exists") from None


def date_of(day: int) -> date:
    """Return a day as a date."""
    return date.fromordinal(day + _EPOCH)


@lru_cache(maxsize=4096)
def format_day(day: int) -> str:
    """Return a day as YYYY-MM-DD."""
    return date_of(day).isoformat()


@lru_cache(maxsize=4096)
def parse_month(text: str) -> int:
    """Return the month written as YYYY-MM. Raises ValueError if there is no such month."""
    if not re.fullmatch(MONTH_PATTERN, text):
        raise ValueError("must be a month as YYYY-MM")
    return int(text[:4]) * 12 + int(text[5:]) - 1


def format_month(month: int) -> str:
    """Return a month as YYYY-MM."""
    return f"{month // 12:04d}-{month % 12 + 1:02d}"


def format_period(monthly: bool, period: int) -> str:
    """Return a month as YYYY-MM, or a day as YYYY-MM-DD."""
    return format_month(period) if monthly else format_day(period)


def describe_period(monthly: bool, period: int) -> str:
    """Return a period as text; as a bare number if it is no date, as in a damaged database."""
    try:
        return format_period(monthly, period)
    except (OverflowError, ValueError):
        return f"day {period}"


@lru_cache(maxsize=4096)
def month_of(day: int) -> int:
    """Return the month that holds a day."""
    of = date_of(day)
    return of.year * 12 + of.month - 1


@lru_cache(maxsize=4096)
def first_day_of(month: int) -> int:
    """Return the first day of a month."""
    return date(month // 12, month % 12 + 1, 1).toordinal() - _EPOCH


def last_day_of(month: int) -> int:
    """Return the last day of a month."""
    return LAST_DAY if month == month_of(LAST_DAY) else first_day_of(month + 1) - 1


@dataclass(frozen=True)
class Period:
    """A kind of period for counting active users, and the parser of its dates."""

    monthly: bool
    parse: Callable[[str], int]


PERIODS = {
    "daily": Period(monthly=False, parse=parse_day),
    "monthly": Period(monthly=True, parse=parse_month),
}
"""The kinds of period by the `type` of active users."""
