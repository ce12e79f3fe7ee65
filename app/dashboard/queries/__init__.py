"""What the dashboard asks the data: exact numbers, by the definitions of the API."""

from .active import active_by_day, active_by_month, active_in
from .calls import calls_by_day
from .extent import Outside, count_outside, first_day, has_data, plausible_days
from .pages import Action, page_actions, page_by_day, page_totals, page_users, views_by_day
from .tenant import (
    Environment,
    Fading,
    Tenant,
    environments,
    fading,
    tenant_environments,
    tenant_ids,
    tenants,
)
from .totals import Page, PageTotals
from .users import (
    Cursor,
    Entry,
    Extent,
    Membership,
    find_users,
    user_entries,
    user_exists,
    user_extent,
    user_future,
    user_tenants,
)

__all__ = [
    "Action",
    "Cursor",
    "Entry",
    "Environment",
    "Extent",
    "Fading",
    "Membership",
    "Outside",
    "Page",
    "PageTotals",
    "Tenant",
    "active_by_day",
    "active_by_month",
    "active_in",
    "calls_by_day",
    "count_outside",
    "environments",
    "fading",
    "find_users",
    "first_day",
    "has_data",
    "page_actions",
    "page_by_day",
    "page_totals",
    "page_users",
    "plausible_days",
    "tenant_environments",
    "tenant_ids",
    "tenants",
    "user_entries",
    "user_exists",
    "user_extent",
    "user_future",
    "user_tenants",
    "views_by_day",
]
