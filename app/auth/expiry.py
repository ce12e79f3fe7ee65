"""What keys and links may be called, and how long they hold."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

MOST_DAYS = 36_500
"""A hundred years: what is much later, some time zones have no date for."""


def check_name(name: str) -> str:
    """Return a name that a new key or link may have. Raises ValueError."""
    if not name.isprintable() or not 1 <= len(name) <= 64 or " " in name:
        raise ValueError("must be 1 to 64 printable characters, no spaces")
    return name


def read_expiry(text: str, now: int) -> int:
    """Return when something ends: as a date begins in UTC, or after days. Raises ValueError."""
    try:
        if text.isdecimal() and 0 < int(text) <= MOST_DAYS:
            at = int((datetime.fromtimestamp(now, UTC) + timedelta(days=int(text))).timestamp())
        else:
            at = int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError:
        at = 0
    if at <= now:
        raise ValueError("must be a date to come, as YYYY-MM-DD, or a number of days")
    return at


def state_of(row: Mapping[str, Any], now: int) -> tuple[str, int | None]:
    """Return how a key or link stands, in a word or two, and since or until when.

    The words are `valid`, `valid until`, `expired` and `revoked`.
    """
    if row["revoked_at"] is not None:
        return "revoked", row["revoked_at"]
    if row["expires_at"] is None:
        return "valid", None
    return "expired" if row["expires_at"] <= now else "valid until", row["expires_at"]
