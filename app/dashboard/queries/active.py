"""How many users were active.

A number that was put stands for its day or month, tenant and environment, as in the API; all other
users are counted once.
"""

from ...storage.database import Database
from ..selection import Days, Scope


def active_by_day(database: Database, days: Days, scope: Scope) -> dict[int, int]:
    """Return how many users were active on each day; a day without any has no number."""
    # Bitmaps are loaded when the first question needs them.
    from .who import cells_of, count_by_period

    return count_by_period(database, cells_of(database, False, *days, scope))


def active_by_month(
    database: Database, first_month: int, last_month: int, scope: Scope
) -> dict[int, int]:
    """Return how many users were active in each month; one without any has no number."""
    from .who import cells_of, count_by_period

    return count_by_period(database, cells_of(database, True, first_month, last_month, scope))


def active_in(database: Database, days: Days, scope: Scope) -> int | None:
    """Return how many users were active in all of the days together.

    Returns None where it is not known who they are: numbers were put, or counts were pruned.
    """
    from .who import cells_of, count_once

    return count_once(database, cells_of(database, False, *days, scope))
