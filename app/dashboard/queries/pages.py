"""Which pages were viewed, how often and by how many users."""

from dataclasses import dataclass
from typing import NamedTuple

from ...database import Database
from ..selection import Days


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


class Action(NamedTuple):
    """An action on a page: what `action` is in the query of referers, and their views."""

    name: str
    views: int


def views_by_day(database: Database, days: Days) -> dict[int, int]:
    """Return how many views there were on each day; a day without any has no number."""
    raise NotImplementedError


def page_totals(database: Database, days: Days, tenant_id: str | None = None) -> PageTotals:
    """Return what was viewed; of a tenant, by those of its users who were in no other."""
    raise NotImplementedError


def page_by_day(
    database: Database, url: str, days: Days, tenant_id: str | None = None
) -> dict[int, tuple[int, int]]:
    """Return the views and users of a page on each day that it was viewed."""
    raise NotImplementedError


def page_actions(database: Database, url: str, days: Days) -> list[Action]:
    """Return the actions on a page, most views first."""
    raise NotImplementedError
