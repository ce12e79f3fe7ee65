"""The overview page: growth, active users, most viewed pages, and fading tenants."""

from flask import Response
from flask_babel import gettext as _

from ...analytics import active_users, page_views
from ...analytics.calls import calls_by_day
from ...analytics.selection import Days
from ...days import month_of
from ...web.context import current_database
from ..controls import Controls, read_controls
from ..rendering import render
from ..tables import Card, Column, Table, card_of
from ..time_series import Line, Numbers, is_by_month, table_over_time, total
from .page_views import pages_table
from .tenants import fading_table

MONTHS = 12
"""How many months the chart of monthly active users reaches back, even in a short period."""

MOST_USED = 5
"""How many pages and tenants the overview lists."""


def overview() -> Response:
    """Show the overview."""
    controls = read_controls()
    database = current_database()
    days, before, scope = controls.days, controls.before, controls.scope
    both = Days((before or days).first, days.last)
    calls = calls_by_day(database, both, scope.tenant_id)
    created = [
        Line(type_, title, calls[type_])
        for type_, title in (
            ("create_tenant", _("New tenants")),
            ("create_saas_user", _("New SaaS users")),
            ("create_tenant_user", _("New tenant users")),
        )
        if type_ in calls
    ]
    cards = [_active_card(controls), _card(_("GetUserInfo calls"), controls, calls["userinfo"])]
    tables = [
        _active_by_month(controls),
        table_over_time(
            controls,
            "calls",
            _("GetUserInfo calls"),
            [Line("calls", _("Calls"), calls["userinfo"])],
            "bar",
        ),
        table_over_time(controls, "created", _("Created"), created, "stack"),
    ]
    if not is_by_month(days):
        active = active_users.active_by_day(database, both, scope)
        line = Line("active_users", _("Active users"), active)
        tables.append(table_over_time(controls, "active", _("Active users by day"), [line], "line"))
    if scope.tenant_id is None:
        views = page_views.views_by_day(database, both)
        cards.append(_card(_("Page views"), controls, views))
        line = Line("views", _("Page views"), views)
        tables.append(table_over_time(controls, "views", _("Page views"), [line], "bar"))
    cards += [_card(line.title, controls, line.numbers) for line in created]
    totals = page_views.page_totals(database, days, scope.tenant_id, limit=MOST_USED)
    tables.append(pages_table(controls, totals))
    if scope.tenant_id is None and before:
        tables.append(fading_table(controls, most=MOST_USED))
    return render("overview.html", controls, *tables, cards=cards)


def _active_card(controls: Controls) -> Card:
    database = current_database()
    number = active_users.active_in(database, controls.days, controls.scope)
    before = controls.before and active_users.active_in(database, controls.before, controls.scope)
    note = "" if number is not None else _("Some numbers were stored without the users they count.")
    return card_of(_("Active users"), number, before, note)


def _card(title: str, controls: Controls, numbers: Numbers) -> Card:
    before = total(numbers, controls.before) if controls.before else None
    return card_of(title, total(numbers, controls.days), before)


def _active_by_month(controls: Controls) -> Table:
    last = month_of(controls.days.last)
    first = min(month_of(controls.days.first), last - MONTHS + 1)
    active = active_users.active_by_month(current_database(), first, last, controls.scope)
    first = min(active, default=last)
    return Table(
        "monthly",
        _("Active users by month"),
        [Column("month", _("Month"), "month"), Column("active_users", _("Active users"), "count")],
        [(month, active.get(month, 0)) for month in range(first, last + 1)],
        chart="bar",
    )
