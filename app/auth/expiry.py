"""The names that keys and links may have, and how long they are valid."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

MOST_DAYS = 36_500
"""A hundred years. Much later times have no date in some time zones."""


def check_name(name: str) -> str:
    """Return the name if a new key or link may have it. Raises ValueError otherwise."""
    if not name.isprintable() or not 1 <= len(name) <= 64 or " " in name:
        raise ValueError("must be 1 to 64 printable characters, no spaces")
    return name


def read_expiry(text: str, now: int) -> int:
    """Return the UNIX second at which something expires, from a date or a number of days.

    A date means its first second in UTC. Raises ValueError if the text is neither, or the time is
    not in the future.
    """
    try:
        if text.isdecimal() and 0 < int(text) <= MOST_DAYS:
            at = int((datetime.fromtimestamp(now, UTC) + timedelta(days=int(text))).timestamp())
        else:
            at = int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError:
        at = 0
    if at <= now:
        raise ValueError("must be a date in the future, as YYYY-MM-DD, or a number of days")
    return at


def state_of(row: Mapping[str, Any], now: int) -> tuple[str, int | None]:
    """Return the state of a key or link, and the UNIX second since or until which it has it.

    The state is `valid` (without a time), `valid until`, `expired` or `revoked`.
    """
    if row["revoked_at"] is not None:
        return "revoked", row["revoked_at"]
    if row["expires_at"] is None:
        return "valid", None
    return "expired" if row["expires_at"] <= now else "valid until", row["expires_at"]
