"""The layout that all pages share: navigation, languages, notices and titles."""

from functools import partial
from typing import Any

from flask import g, request, url_for
from flask_babel import get_locale
from flask_babel import gettext as _

from ..analytics import data_range, tenants
from ..analytics.selection import Days
from ..days import month_of
from ..storage.cutoffs import cutoffs_of
from ..storage.dictionary import NO_TENANT
from ..web.context import current_database
from .controls import LANGUAGES, Controls
from .localization import count, day
from .pages.tenants import INACTIVE_DAYS
from .tables import Column
from .urls import this_page

OFFERED = 20
"""The most environments, and the most tenants, that the filter offers."""


def context() -> dict[str, Any]:
    """Return the variables that all templates can use."""
    database = current_database()
    return {
        "access": g.get("access"),
        "environment": environment,
        "has_data": partial(data_range.has_data, database),
        "home": url_for(".overview", lang=request.args.get("lang")),
        "inactive": is_inactive,
        "is_going_on": is_going_on,
        "language": str(get_locale()),
        "languages": languages,
        "navigation": navigation,
        "notices_of": notices_of,
        "now": database.clock.now(),
        "offered_environments": offered_environments,
        "offered_tenants": offered_tenants,
        "period_titles": period_titles,
        "tenant_title": tenant_title,
        "time_zone": database.calendar.zone,
    }


def navigation(controls: Controls | None) -> list[tuple[str, str, bool]]:
    """Return URL and title of each section that the visitor may see, and whether it is current."""
    pages = [
        ("overview", _("Overview")),
        ("pages", _("Pages")),
        ("tenants", _("Tenants")),
    ]
    if g.access.kind != "link":
        pages.append(("users", _("Users")))
    if g.access.may_manage:
        pages.append(("links", _("Links")))
    here = (request.endpoint or "").rpartition(".")[2]
    return [
        (
            controls.link(f".{name}") if controls else url_for(f".{name}", lang=_given_language()),
            title,
            here in (name, name.removesuffix("s")),
        )
        for name, title in pages
    ]


def languages() -> list[tuple[str, str, str]]:
    """Return for each language its code, its name, and the URL of this page in it."""
    names = {"en": "English", "ja": "日本語"}
    others = [(name, given) for name, given in request.args.items(multi=True) if name != "lang"]
    return [(code, names[code], this_page([*others, ("lang", code)])) for code in LANGUAGES]


def period_titles() -> list[tuple[str, str]]:
    """Return the periods to choose from, with their titles."""
    return [
        ("today", _("Today")),
        ("7d", _("7 days")),
        ("28d", _("28 days")),
        ("90d", _("90 days")),
        ("month", _("This month")),
        ("last_month", _("Last month")),
        ("12m", _("12 months")),
        ("all", _("All")),
    ]


def tenant_title(tenant_id: str) -> str:
    """Return the title of a tenant."""
    return str(_("(no tenant)")) if tenant_id == NO_TENANT else tenant_id


def environment(env_id: int) -> str:
    """Return the title of an environment: the platform defines those with the ids 1 to 3."""
    names = {1: _("1 (dev)"), 2: _("2 (stg)"), 3: _("3 (prod)")}
    return str(names.get(env_id, env_id))


def offered_environments(controls: Controls) -> list[int]:
    """Return the environments that the filter offers: those with the most users in the period."""
    tenant_id = controls.scope.tenant_id
    return tenants.environments(current_database(), controls.days, tenant_id, OFFERED)


def offered_tenants(controls: Controls) -> list[str]:
    """Return the tenants that the filter offers: those with the most users in the last 7 days."""
    first, last = controls.days
    return tenants.tenant_ids(current_database(), Days(max(first, last - 6), last), OFFERED)


def is_inactive(controls: Controls, last_day: int) -> bool:
    """Return whether a tenant that was last active on a day counts as inactive now."""
    return controls.today - last_day >= INACTIVE_DAYS


def is_going_on(controls: Controls, column: Column, period: int) -> bool:
    """Return whether a day or month of a table is not over yet."""
    return period >= (month_of(controls.today) if column.kind == "month" else controls.today)


def notices_of(controls: Controls) -> list[str]:
    """Return the notices above a page: what its numbers leave out, and why."""
    notices = []
    database = current_database()
    since = cutoffs_of(database)
    start = database.calendar.day_start(controls.days.first)
    for kept, text in (
        (since.counts, _("Counts before %(day)s were deleted.")),
        (since.histories, _("Histories before %(day)s were deleted.")),
    ):
        if start < kept:
            notices.append(text % {"day": day(database.calendar.day_of(kept))})
    if controls.period == "all" and controls.scope.tenant_id is None:
        outside = data_range.count_outside(database, controls.days)
        if any(outside):
            text = _(
                "%(entries)s history entries and %(calls)s calls are before %(first)s or after "
                "%(last)s, and are not shown."
            )
            first, last = map(day, controls.days)
            counts = {name: count(number) for name, number in outside._asdict().items()}
            notices.append(text % (counts | {"first": first, "last": last}))
    if controls.scope.env_id is not None:
        notices.append(
            _("Only active users are filtered by environment; other numbers cover all of them.")
        )
    if controls.scope.tenant_id is not None:
        notices.append(_("Page statistics count only users who were in no other tenant."))
    return notices


def _given_language() -> str | None:
    return request.args.get("lang")
