"""One user: found by name, with tenants and history."""

from typing import NamedTuple

from ...database import Database
from ..selection import Days


class Membership(NamedTuple):
    """Where a user was active, and in which month last."""

    tenant_id: str
    env_id: int
    last_month: int


class Entry(NamedTuple):
    """An entry of a user's history."""

    timestamp: int
    referer: str


class Cursor(NamedTuple):
    """The place of an entry in a user's history: the next ones are those before it."""

    timestamp: int
    seq: int


def find_users(database: Database, text: str, limit: int) -> list[str]:
    """Return users with a text in their ids: the very one, those it begins, then all others."""
    raise NotImplementedError


def user_exists(database: Database, user_id: str) -> bool:
    """Tell whether anything is known of a user."""
    raise NotImplementedError


def user_tenants(database: Database, user_id: str) -> list[Membership]:
    """Return where a user was active, latest first."""
    raise NotImplementedError


def user_entries(
    database: Database,
    user_id: str,
    days: Days,
    contains: str | None = None,
    *,
    limit: int,
    before: Cursor | None = None,
) -> tuple[list[Entry], Cursor | None]:
    """Return a user's latest entries of some days, and where to go on; None at the end."""
    raise NotImplementedError


def user_extent(database: Database, user_id: str) -> tuple[int, int] | None:
    """Return the timestamps of a user's first and last entry; None if there are none."""
    raise NotImplementedError
