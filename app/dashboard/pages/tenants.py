"""Tenants: the list of them, those that are fading, and the page of one tenant."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from flask import Response, redirect
from flask_babel import gettext as _
from werkzeug import Response as BaseResponse
from werkzeug.exceptions import NotFound

from ...analytics import active_users
from ...analytics.calls import calls_by_day
from ...analytics.selection import Days, Scope
from ...analytics.tenants import Tenant, fading, tenant_environments
from ...analytics.tenants import tenants as known_tenants
from ...storage.dictionary import NO_TENANT
from ...web.context import current_database
from ..controls import Controls, read_controls
from ..localization import count
from ..rendering import arrange, render
from ..tables import ROWS, Column, Table, card_of, change_of
from ..time_series import Line, is_by_month, table_over_time, total

INACTIVE_DAYS = 14
"""The number of days without activity after which a tenant counts as inactive."""


def tenants() -> BaseResponse:
    """Show the tenants and how active they are."""
    controls = read_controls()
    if controls.bound:
        return redirect(controls.link(".tenant"))
    found = known_tenants(
        current_database(),
        controls.days,
        tenant_id=controls.scope.tenant_id,
        contains=controls.get("q"),
        limit=controls.limit,
    )
    table = _tenants_table(controls, found)
    if len(found) == controls.limit:
        note = _(
            "The %(number)s tenants with the most users in the last month of the period are "
            "listed; search for others."
        )
        table = replace(table, note=note % {"number": count(controls.limit)})
    return render("tenants.html", controls, arrange(controls, table, default="-active_users"))


def tenant() -> Response:
    """Show one tenant and its environments."""
    controls = read_controls()
    asked = None if controls.bound else controls.get("id")
    tenant_id = asked or controls.scope.tenant_id
    if tenant_id is None:
        raise NotFound
    database = current_database()
    days, before = controls.days, controls.before
    both = Days((before or days).first, days.last)
    scope = Scope(tenant_id, controls.scope.env_id)
    calls = calls_by_day(database, both, tenant_id)
    lines = [Line("calls", _("Calls"), calls["userinfo"])]
    tables = [table_over_time(controls, "calls", _("GetUserInfo calls"), lines, "bar")]
    if not is_by_month(days):
        active = active_users.active_by_day(database, both, scope)
        lines = [Line("active_users", _("Active users"), active)]
        caption = _("Active users by day")
        tables.append(table_over_time(controls, "active", caption, lines, "line"))
    tables.append(_environments_table(controls, tenant_id))
    cards = [
        card_of(
            _("Active users"),
            active_users.active_in(database, days, scope),
            active_users.active_in(database, before, scope) if before else None,
        ),
        *(
            card_of(title, total(calls[type_], days), total(calls[type_], before))
            for title, type_ in (
                (_("GetUserInfo calls"), "userinfo"),
                (_("New tenant users"), "create_tenant_user"),
            )
        ),
    ]
    return render("tenant.html", controls, *tables, tenant_id=tenant_id, cards=cards)


def _tenants_table(controls: Controls, found: Sequence[Tenant]) -> Table:
    compares = controls.before is not None
    columns = [
        Column("tenant_id", _("Tenant"), "tenant", _tenant_link(controls)),
        Column("active_today", _("Active today"), "count"),
        Column("active_this_month", _("This month"), "count"),
        Column("active_users", _("In the period"), "count"),
        Column("calls", _("Calls"), "count"),
        Column("last_day", _("Last activity"), "last_day"),
    ]
    if compares:
        columns.insert(4, Column("active_users_before", _("Change"), "change"))
    rows = []
    for each in found:
        if each.tenant_id == NO_TENANT and each.last_day is None:
            continue  # without a tenant, there were only creations
        row: list[Any] = [
            each.tenant_id,
            each.today,
            each.this_month,
            each.active,
            each.calls,
            each.last_day,
        ]
        if compares:
            row.insert(4, change_of(each.active, each.active_before))
        rows.append(row)
    empty = _("There are no tenants.")
    return Table("tenants", _("Tenants"), columns, rows, empty=empty)


def fading_table(controls: Controls, most: int) -> Table:
    """Return the tenants whose calls fell the most since the period before."""
    columns = [
        Column("tenant_id", _("Tenant"), "tenant", _tenant_link(controls)),
        Column("calls", _("Calls"), "count"),
        Column("calls_before", _("Change"), "change"),
    ]
    rows = [
        (each.tenant_id, each.calls, change_of(each.calls, each.calls_before))
        for each in fading(current_database(), controls.days, most)
    ]
    return Table("fading", _("Fading tenants"), columns, rows, empty=_("No tenant is fading."))


def _environments_table(controls: Controls, tenant_id: str) -> Table:
    columns = [
        Column("env_id", _("Environment"), "environment"),
        Column("active_today", _("Active today"), "count"),
        Column("active_this_month", _("This month"), "count"),
        Column("active_users", _("In the period"), "count"),
    ]
    compares = controls.before is not None
    if compares:
        columns.append(Column("active_users_before", _("Change"), "change"))
    start = 0 if controls.get("csv") else controls.get("start") or 0
    find = partial(
        tenant_environments,
        current_database(),
        tenant_id,
        controls.days,
        contains=controls.get("q"),
        limit=None if controls.get("csv") else ROWS,
    )
    found, total = find(start=start)
    if not found and start:  # such as when the link was made for another tenant
        start = 0
        found, total = find()
    rows = []
    for each in found:
        row: list[Any] = [each.env_id, each.today, each.this_month, each.active]
        if compares:
            row.append(change_of(each.active, each.active_before))
        rows.append(row)
    return Table(
        "environments",
        _("Environments"),
        columns,
        rows,
        start=start,
        total=total,
        empty=_("There are no environments."),
    )


def _tenant_link(controls: Controls) -> Any:
    return lambda tenant_id: controls.link(".tenant", id=tenant_id)
