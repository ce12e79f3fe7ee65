"""Page statistics: the list of viewed pages, and the statistics of one page."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from flask import Response
from flask_babel import gettext as _

from ...analytics import page_statistics, page_views
from ...analytics.selection import Days
from ...web.context import current_database
from ..controls import Controls, read_controls
from ..localization import count
from ..rendering import arrange, render
from ..tables import Card, Change, Column, Table, card_of
from ..time_series import Line, is_by_month, table_over_time, total


def pages() -> Response:
    """Show the pages that were viewed in the period."""
    controls = read_controls()
    wanted = controls.get("q")
    totals = page_views.page_totals(
        current_database(),
        controls.days,
        controls.scope.tenant_id,
        contains=wanted,
        limit=controls.limit,
    )
    table = pages_table(controls, totals, _pages_before(controls, totals))
    if len(totals.pages) == controls.limit:
        note = _("The %(number)s pages with the most views are listed; search for others.")
        table = replace(table, note=note % {"number": count(controls.limit)})
    table = arrange(controls, table, default="-total_views")
    return render("pages.html", controls, table, totals=totals)


def page() -> Response:
    """Show the views, users and actions of one page."""
    controls = read_controls()
    url = controls.get("id") or ""
    database = current_database()
    tenant_id = controls.scope.tenant_id
    both = Days((controls.before or controls.days).first, controls.days.last)
    by_day = page_views.page_by_day(database, url, both, tenant_id)
    views = Line("views", _("Views"), {day: views for day, (views, _users) in by_day.items()})
    users = Line("users", _("Unique users"), {day: users for day, (_v, users) in by_day.items()})
    tables = [table_over_time(controls, "views", _("Views"), [views], "bar")]
    if not is_by_month(controls.days):
        caption = _("Unique users by day")
        tables.append(table_over_time(controls, "users", caption, [users], "line"))
    if tenant_id is None:
        tables.append(_actions_table(controls, url))
    return render("page.html", controls, *tables, url=url, cards=_cards(controls, url, views))


def pages_table(
    controls: Controls, totals: page_statistics.PageTotals, before: Mapping[str, int] | None = None
) -> Table:
    """Return a table of pages with views and users, and how the views changed if `before` is given.

    `before` has the views in the period before, by URL.
    """
    columns = [
        Column("page_url", _("Page"), "text", _page_link(controls)),
        Column("total_views", _("Views"), "count"),
        Column("unique_users", _("Unique users"), "count"),
        Column("share", _("Share of views"), "share"),
    ]
    if before is not None:
        columns.append(Column("total_views_before", _("Change"), "change"))
    rows = []
    for each in totals.pages:
        row: list[Any] = [each.url, each.views, each.users, each.views / totals.views]
        if before is not None:
            row.append(Change(each.views, before.get(each.url, 0)))
        rows.append(row)
    empty = _("No page was viewed: no event in this period has a referer.")
    return Table("pages", _("Pages"), columns, rows, empty=empty)


def _pages_before(controls: Controls, now: page_statistics.PageTotals) -> dict[str, int] | None:
    """Return the views of these pages in the period before, by URL; None without a comparison."""
    if controls.before is None:
        return None
    urls = [each.url for each in now.pages]
    tenant_id = controls.scope.tenant_id
    totals = page_views.page_totals(current_database(), controls.before, tenant_id, urls=urls)
    return {each.url: each.views for each in totals.pages}


def _cards(controls: Controls, url: str, views: Line) -> list[Card]:
    days, before = controls.days, controls.before
    users = partial(
        page_views.page_users, current_database(), url, tenant_id=controls.scope.tenant_id
    )
    return [
        card_of(
            _("Views"), total(views.numbers, days), total(views.numbers, before) if before else None
        ),
        card_of(_("Unique users"), users(days=days), users(days=before) if before else None),
    ]


def _actions_table(controls: Controls, url: str) -> Table:
    actions = page_views.page_actions(current_database(), url, controls.days, controls.limit)
    start = controls.get("start") or 0
    return Table(
        "actions",
        _("Actions"),
        [Column("action", _("Action")), Column("views", _("Times"), "count")],
        actions,
        start=start if start < len(actions) else 0,
        empty=_("No view of this page had ?action= in its URL."),
        note=_("Only the most frequent ones are listed.") if len(actions) == controls.limit else "",
    )


def _page_link(controls: Controls) -> Any:
    return lambda url: controls.link(".page", id=url)
