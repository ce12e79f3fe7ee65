"""Since when there are data."""

from ...database import Database


def has_data(database: Database) -> bool:
    """Tell whether there is anything to show."""
    raise NotImplementedError


def first_day(database: Database) -> int | None:
    """Return the first day with any data; None if there are none."""
    raise NotImplementedError
