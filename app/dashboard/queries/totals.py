"""What is told of pages: their views, and the users who viewed them."""

from dataclasses import dataclass
from typing import NamedTuple


class Page(NamedTuple):
    """A page, with its views and the users who viewed it."""

    url: str
    views: int
    users: int


@dataclass(frozen=True)
class PageTotals:
    """What was viewed in some days: in total, and by page, most views first."""

    views: int
    users: int
    pages: list[Page]
    left_out: int = 0
    """How many users of the tenant are not in it, since they were in other tenants as well."""
