"""The controls of a page: what its URL says about period, comparison, filters and order."""

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
"""The longest period, in days: a hundred years."""

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
"""The query parameters that any page may have."""

PLACES = {"start", "before"}
"""The query parameters for pagination; they are dropped when another parameter changes."""

KEPT = ("period", "from", "to", "compare", "tenant", "env", "refresh", "lang")
"""The query parameters that links to other pages keep; the others belong to one page."""


class Query(Schema.from_dict(FIELDS)):  # type: ignore[misc]
    """The query parameters of a page."""

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
    """The settings of a page, read from its URL."""

    given: Mapping[str, str]
    """The query parameters as they were sent."""
    values: Mapping[str, Any]
    """The parsed query parameters."""
    today: int
    days: Days
    scope: Scope
    bound: bool
    """Whether a shared link sets the tenant, so that the URL cannot change it."""

    @property
    def period(self) -> str | None:
        """The name of the period; None if the URL has dates instead."""
        if "from" in self.values or "to" in self.values:
            return None
        return str(self.values.get("period", DEFAULT_PERIOD))

    @property
    def before(self) -> Days | None:
        """The period to compare with; None if comparison is off or there is no earlier period."""
        before = self.days.before()
        wanted = self.values.get("compare") != "off" and self.period != "all"
        return before if wanted and before.first >= 0 else None

    @property
    def dates(self) -> tuple[str, str]:
        """The first and the last day as YYYY-MM-DD."""
        return format_day(self.days.first), format_day(self.days.last)

    @property
    def limit(self) -> int | None:
        """The most rows that a list sorts; None for CSV, which has all rows."""
        return None if self.get("csv") else MOST_LISTED

    def get(self, name: str) -> Any:
        return self.values.get(name)

    def rest(self, *names: str) -> list[tuple[str, str]]:
        """Return the query parameters that a form keeps, beside those that it has fields for."""
        left_out = {"csv", *names, *PLACES}
        return [(name, self.given[name]) for name in FIELDS if name in self.given.keys() - left_out]

    def link(self, endpoint: str | None = None, **changes: Any) -> str:
        """Return the URL of a page with these controls; `endpoint` None means this page.

        `changes` replace query parameters; None removes one.
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
        """Return the URL of this page without period and filters."""
        return self.link(**dict.fromkeys(KEPT, None) | {"lang": self.get("lang")})


def read_controls() -> Controls:
    """Return the controls of this request. Raises InvalidRequest, naming the query parameter."""
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
