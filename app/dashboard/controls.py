"""The controls of a page: what its URL says about days, comparison, tenant, environment, order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import g, request, url_for
from marshmallow import ValidationError, validates_schema

from ..analytics.data_range import plausible_days
from ..analytics.selection import Days, Scope
from ..days import first_day_of, format_day, month_of
from ..storage.database import Database
from ..validation.fields import Choice, Day, Id, Integer, Text, Uuid
from ..validation.schema import Schema
from ..web.argument_parser import Parser
from ..web.context import current_database
from .tables import MOST_LISTED

LANGUAGES = ("en", "ja")

PERIODS = ("today", "7d", "28d", "90d", "month", "last_month", "12m", "all")
DEFAULT_PERIOD = "28d"
LONGEST = 36_525
"""The most days of a period: a hundred years."""

REFRESH_SECONDS = ("60", "300")

FIELDS = {
    "period": Choice(PERIODS),
    "from": Day(),
    "to": Day(),
    "compare": Choice(("on", "off")),
    "tenant": Uuid(),
    "env": Id(in_query=True),
    "refresh": Choice(REFRESH_SECONDS),
    "lang": Choice(LANGUAGES),
    "id": Text(most=8192, least=0),
    "q": Text(most=200),
    "sort": Text(),
    "start": Integer(in_query=True),
    "before": Text(),
    "csv": Text(),
}
"""What the URL of any page may say."""

PLACES = {"start", "before"}
"""Where in a long list a page is: not kept when something else changes."""

KEPT = ("period", "from", "to", "compare", "tenant", "env", "refresh", "lang")
"""What leads from page to page; the rest belongs to one page."""


class Query(Schema.from_dict(FIELDS)):  # type: ignore[misc]
    """The parameters of a page."""

    @validates_schema(skip_on_field_errors=False)
    def order(self, data: dict[str, Any], **_: object) -> None:
        first, last = data.get("from"), data.get("to")
        early = [name for name in ("from", "to") if data.get(name, 0) < 0]
        if early:
            raise ValidationError({name: ["must be 1970-01-01 or later"] for name in early})
        if first is not None and last is not None and not 0 <= last - first < LONGEST:
            raise ValidationError(f"must be from 0 to {LONGEST - 1} days after from", "to")


@dataclass(frozen=True)
class Controls:
    """What a page shows."""

    given: Mapping[str, str]
    """The parameters as they were sent."""
    values: Mapping[str, Any]
    """And as they were read."""
    today: int
    days: Days
    scope: Scope
    bound: bool
    """Whether the tenant is that of a link, which the URL cannot change."""

    @property
    def period(self) -> str | None:
        """The name of the period; None for free dates."""
        if "from" in self.values or "to" in self.values:
            return None
        return str(self.values.get("period", DEFAULT_PERIOD))

    @property
    def before(self) -> Days | None:
        """The days to compare with, if that is wanted and there can be any."""
        before = self.days.before()
        wanted = self.values.get("compare") != "off" and self.period != "all"
        return before if wanted and before.first >= 0 else None

    @property
    def dates(self) -> tuple[str, str]:
        """The first and the last day as YYYY-MM-DD."""
        return format_day(self.days.first), format_day(self.days.last)

    @property
    def limit(self) -> int | None:
        """The most rows that a list puts in order; CSV has all."""
        return None if self.get("csv") else MOST_LISTED

    def get(self, name: str) -> Any:
        return self.values.get(name)

    def rest(self, *names: str) -> list[tuple[str, str]]:
        """Return the parameters that a form about some others takes along."""
        left_out = {"csv", *names, *PLACES}
        return [(name, self.given[name]) for name in FIELDS if name in self.given.keys() - left_out]

    def link(self, endpoint: str | None = None, **changes: Any) -> str:
        """Return the URL of a page with these controls, or of this page with some changed.

        A change to None leaves a parameter out.
        """
        names = KEPT if endpoint else tuple(FIELDS)
        kept: dict[str, Any] = {
            name: self.given[name] for name in names if name in self.given and name != "csv"
        }
        if not endpoint:
            for name in PLACES - changes.keys():
                kept.pop(name, None)
        return url_for(endpoint or f".{_view_name()}", **(kept | changes))

    def reset(self) -> str:
        """Return the URL of this page as it is without a choice of days and filters."""
        return self.link(**dict.fromkeys(KEPT, None) | {"lang": self.get("lang")})


def read_controls() -> Controls:
    """Return the controls of this request. Raises InvalidRequest, naming the parameter."""
    values: dict[str, Any] = Parser().parse(Query(), request, location="query")
    database = current_database()
    today = database.calendar.day_of(database.clock.now())
    bound: str | None = g.access.tenant_id
    given = {name: text for name, text in request.args.items() if not (bound and name == "tenant")}
    return Controls(
        given,
        values,
        today,
        _days(database, values, today),
        Scope(bound or values.get("tenant"), values.get("env")),
        bound is not None,
    )


def _days(database: Database, values: Mapping[str, Any], today: int) -> Days:
    if "from" in values or "to" in values:
        last = values.get("to", max(today, values.get("from", today)))
        return Days(max(values.get("from", last - 27), 0), last)
    month = month_of(today)
    match values.get("period", DEFAULT_PERIOD):
        case "today":
            return Days(today, today)
        case "month":
            return Days(first_day_of(month), today)
        case "last_month":
            return Days(first_day_of(month - 1), first_day_of(month) - 1)
        case "12m":
            return Days(first_day_of(month - 11), today)
        case "all":
            return plausible_days(database)
        case days:
            return Days(today - int(days.removesuffix("d")) + 1, today)


def _view_name() -> str:
    return (request.endpoint or "").rpartition(".")[2]
