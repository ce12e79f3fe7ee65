"""What the description cannot say, said to schemathesis: makes its valid data fit together.

Loaded by the command `st`; see test_schemathesis.py.
"""

from collections.abc import Callable
from typing import Any

import schemathesis
from schemathesis import Case, GenerationMode, HookContext


def order(query: dict[str, Any], first: str, last: str) -> None:
    if first in query and last in query:
        query[first], query[last] = sorted((query[first], query[last]))


def fit_dates(query: dict[str, Any]) -> None:
    """Order the dates, and take away the commas, which part one id from the next."""
    order(query, "start_date", "end_date")
    if "tenant_ids" in query:
        query["tenant_ids"] = [id_.replace(",", ";") for id_ in query["tenant_ids"]]


def fit_timestamps(query: dict[str, Any]) -> None:
    order(query, "start_timestamp", "end_timestamp")


def fit_period(values: dict[str, Any]) -> None:
    """Write dates as the type beside them wants them."""
    length = {"daily": 10, "monthly": 7}[values["type"]]
    for name in ("date", "date_from", "date_to"):
        if name in values:
            values[name] = (values[name] + "-01")[:length]
    order(values, "date_from", "date_to")
    if "env_id" in values:
        values.setdefault("tenant_id", "tenant")


def fit_day(body: dict[str, Any]) -> None:
    """Move the entries into the day."""
    for entry in body["histories"]:
        entry["timestamp"] = body["timestamp"]


def fit_selection(body: dict[str, Any]) -> None:
    """Order the dates, and select something that can be."""
    order(body, "date_from", "date_to")
    if not body.keys() - {"dry_run"}:
        body["user_id"] = "user"
    if "page_url" in body:
        body.pop("tenant_id", None)


FITS: dict[str, tuple[str, Callable[[dict[str, Any]], None]]] = {
    "GetAggregatedMetrics": ("query", fit_dates),
    "GetAggregatedUserInfo": ("query", fit_dates),
    "GetPageStatistics": ("query", fit_timestamps),
    "GetActiveUsers": ("query", fit_period),
    "DeleteData": ("body", fit_selection),
    "UpdateActiveUsers": ("body", fit_period),
    "UpdateUserBehaviorHistoriesByDay": ("body", fit_day),
}


@schemathesis.hook
def before_call(context: HookContext, case: "Case[Any]", kwargs: dict[str, Any]) -> None:
    """Make valid data fit; invalid data is sent as it is."""
    operation_id = case.operation.definition.raw["operationId"]
    if operation_id in FITS and case.meta and case.meta.generation.mode == GenerationMode.POSITIVE:
        place, fit = FITS[operation_id]
        fit(getattr(case, place))


@schemathesis.hook
def filter_query(context: HookContext, query: Any) -> bool:
    """Leave out empty values: the description does not know that they count as not given."""
    values = query.values() if isinstance(query, dict) else ()
    return not any(value in ("", [""], []) for value in values)
