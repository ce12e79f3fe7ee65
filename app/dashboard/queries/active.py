"""How many users were active."""

from ...database import Database
from ..selection import Days, Scope


def active_by_day(database: Database, days: Days, scope: Scope) -> dict[int, int]:
    """Return how many users were active on each day; a day without any has no number.

    A number that was put stands for its day, tenant and environment; all other users of the day
    are counted once.
    """
    raise NotImplementedError


def active_by_month(
    database: Database, first_month: int, last_month: int, scope: Scope
) -> dict[int, int]:
    """Return how many users were active in each month, like `active_by_day`."""
    raise NotImplementedError


def active_in(database: Database, days: Days, scope: Scope) -> int | None:
    """Return how many users were active in all of the days.

    Returns None where who they are is not known: some number was put, or something was pruned.
    """
    raise NotImplementedError
