"""Deletion of data by days, user, page, tenant, or a combination of these."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from ..days import FIRST_DAY, LAST_DAY, Calendar
from ..errors import InvalidRequest
from ..storage import audit_log
from ..storage.cutoffs import read_cutoffs
from ..storage.database import Database
from ..storage.dictionary import find_page, find_tenant, find_user
from .row_deletion import Selected, Selection, delete_selection
from .unused_names import delete_unused

UNKNOWN = 0
"""The id of an unknown name; ids of known names begin with 1."""


@dataclass(frozen=True)
class Deleted:
    """How much was deleted, and descriptions of matching data that could not be separated."""

    histories: int
    calls: int
    active_users: int
    numbers: int
    event_ids: int
    stays: list[str]


def delete(
    database: Database,
    *,
    user_id: str | None = None,
    tenant_id: str | None = None,
    page_url: str | None = None,
    date_from: int | None = None,
    date_to: int | None = None,
    dry_run: bool = False,
) -> Deleted:
    """Delete the data that match all given criteria; a dry run changes nothing.

    Days are inclusive. Raises InvalidRequest if no criterion is given, or both a page and a tenant.
    """
    if (user_id, tenant_id, page_url, date_from, date_to) == (None,) * 5:
        raise InvalidRequest(
            "one of user_id, tenant_id, page_url, date_from and date_to must be given"
        )
    if page_url is not None and tenant_id is not None:
        raise InvalidRequest(
            "page_url: must not be given with tenant_id, since views have no tenant"
        )
    with database.erasing() as connection:
        user = tenant = page = None
        if user_id is not None:
            user = [find_user(connection, user_id) or UNKNOWN]
        if tenant_id is not None:
            tenant = find_tenant(connection, tenant_id) or UNKNOWN
        if page_url is not None:
            page = find_page(connection, page_url) or UNKNOWN
        selection = Selection(
            user,
            tenant,
            page,
            FIRST_DAY if date_from is None else date_from,
            LAST_DAY if date_to is None else date_to,
        )
        pruned = _pruned(connection, database.calendar, selection)
        done = delete_selection(connection, database.calendar, selection)
        delete_unused(connection, done.names)
        counts = {
            name: getattr(done, name)
            for name in ("histories", "calls", "active_users", "numbers", "event_ids")
        }
        if dry_run:
            connection.rollback()
        elif any(counts.values()):
            audit_log.note(connection, database.clock.now(), "delete", counts)
    return Deleted(**counts, stays=[*_stays(selection, done), *pruned])


def _stays(selection: Selection, done: Selected) -> Iterator[str]:
    """Yield descriptions of the data of a selection that are not deleted."""
    if selection.tenant is not None:
        yield "histories and page statistics: they have no tenant"
    if selection.page is not None:
        yield "calls and active users: they have no page"
    elif selection.users is not None:
        yield "numbers of active users that were stored directly: they have no user"
    elif selection.first > FIRST_DAY or selection.last < LAST_DAY:
        yield "numbers that were stored directly for months that are only partly selected"
    if not selection.is_of_days_alone:
        yield "event ids: they have only a day, so an event with the same id stays a duplicate"
    if done.unknown_days:
        yield f"calls of {done.unknown_days} days and tenants: an older version counted them"
    if done.unknown_months:
        yield f"{done.unknown_months} users active in a month: days of that month were pruned"


def _pruned(
    connection: sqlite3.Connection, calendar: Calendar, selection: Selection
) -> Iterator[str]:
    """Return descriptions of data that are not deleted, because their histories were pruned."""
    since = read_cutoffs(connection).histories
    start, _ = selection.seconds(calendar)
    if start >= since or selection.tenant is not None:
        return iter(())
    if selection.users is not None and selection.page is None:
        told = "counts before {since}, and views of pages that others viewed in the same hour: "
        return iter([told.format(since=since) + "their users were pruned"])
    if selection.users is not None:
        told = "views of the page before {since}, if others viewed it in the same hour"
        return iter([told.format(since=since)])
    return iter(())
