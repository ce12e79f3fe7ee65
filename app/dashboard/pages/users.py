"""Users: the search for users, and the history of one user."""

import re
from itertools import groupby

from flask import Response
from flask_babel import gettext as _
from werkzeug.exceptions import NotFound

from ...analytics.users import (
    Cursor,
    Extent,
    find_users,
    user_entries,
    user_extent,
    user_future,
    user_tenants,
)
from ...days import format_day
from ...errors import InvalidRequest
from ...validation.fields import MAX_INTEGER
from ...web.context import current_database
from ..access import not_shared
from ..controls import LONGEST, Controls, read_controls
from ..rendering import render
from ..tables import Column, Table

MOST_FOUND = 50
"""The most users that a search shows."""

MEMBERSHIPS = 50
"""The most tenants and environments of a user that a page shows."""

ENTRIES = 200
"""The most entries of a history that a page shows at once."""


@not_shared
def users() -> Response:
    """Show the users whose id contains the search text."""
    controls = read_controls()
    text = controls.get("q") or ""
    found = find_users(current_database(), text, MOST_FOUND + 1)
    columns = [
        Column("user_id", _("User"), "id", lambda user_id: controls.link(".user", id=user_id)),
        Column("last_seen", _("Last seen"), "moment"),
    ]
    rows = [(user_id, _last_seen(user_id)) for user_id in found[:MOST_FOUND]]
    empty = _("No user has an id that contains this.")
    table = Table("users", _("Users"), columns, rows, empty=empty)
    return render("users.html", controls, table, text=text, are_more=len(found) > MOST_FOUND)


@not_shared
def user() -> Response:
    """Show the history of a user, newest entries first."""
    controls = read_controls()
    database = current_database()
    user_id = controls.get("id")
    if user_id is None:
        raise NotFound
    entries, older = user_entries(
        database,
        user_id,
        controls.days,
        controls.get("q"),
        limit=MAX_INTEGER if controls.get("csv") else ENTRIES,
        before=_cursor(controls.get("before")),
    )
    columns = [Column("timestamp", _("Time"), "moment"), Column("referer", _("Page"))]
    rows = [(entry.timestamp, entry.referer) for entry in entries]
    table = Table("histories", _("History"), columns, rows)
    memberships = user_tenants(database, user_id, MEMBERSHIPS + 1)
    future = user_future(database, user_id)
    days = groupby(entries, key=lambda entry: database.calendar.day_of(entry.timestamp))
    return render(
        "user.html",
        controls,
        table,
        user_id=user_id,
        days=[(day, list(of_day)) for day, of_day in days],
        older=older and f"{older.timestamp}-{older.seq}",
        memberships=memberships[:MEMBERSHIPS],
        are_more=len(memberships) > MEMBERSHIPS,
        extent=user_extent(database, user_id),
        future=future,
        future_link=future and _link_to(controls, future),
    )


def _link_to(controls: Controls, extent: Extent) -> str:
    """Return the URL of this page for the days of an extent, up to the longest period."""
    day_of = current_database().calendar.day_of
    first, last = day_of(extent.first), day_of(extent.last)
    dates = {"from": format_day(first), "to": format_day(min(last, first + LONGEST - 1))}
    return controls.link(period=None, **dates)


def _last_seen(user_id: str) -> int | None:
    extent = user_extent(current_database(), user_id)
    return extent and extent.last


def _cursor(text: str | None) -> Cursor | None:
    """Return the cursor that the link to older entries contains.

    Raises InvalidRequest if it is malformed.
    """
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,15})-([0-9]{1,15})", text)
    if not found:
        raise InvalidRequest("before: must be the value from the link to older entries")
    return Cursor(int(found[1]), int(found[2]))
