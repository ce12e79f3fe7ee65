"""Tenants and environments, with how they are used."""

from typing import NamedTuple

from ...database import Database
from ..selection import Days


class Tenant(NamedTuple):
    """A tenant: its active users, and its calls of GetUserInfo.

    `active` are those of some days, and `active_before` of as many before them; None where who they
    are is not known.
    """

    tenant_id: str
    today: int
    this_month: int
    active: int | None
    active_before: int | None
    calls: int
    calls_before: int
    last_day: int | None
    """The last day with calls or active users."""


class Environment(NamedTuple):
    """The active users of an environment of a tenant; `None` as in `Tenant`."""

    env_id: int
    today: int
    this_month: int
    active: int | None
    active_before: int | None


def tenants(database: Database, days: Days) -> list[Tenant]:
    """Return all tenants, by their ids."""
    raise NotImplementedError


def tenant_environments(database: Database, tenant_id: str, days: Days) -> list[Environment]:
    """Return the environments of a tenant, by their ids."""
    raise NotImplementedError


def environments(database: Database, days: Days) -> list[int]:
    """Return the environments in which users were active."""
    raise NotImplementedError


def tenant_ids(database: Database, days: Days, limit: int) -> list[str]:
    """Return the tenants in which users were active, those with the most users first."""
    raise NotImplementedError
