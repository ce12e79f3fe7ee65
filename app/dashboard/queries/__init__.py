"""What the dashboard asks the data: exact numbers, by the definitions of the API."""

from .active import active_by_day, active_by_month, active_in
from .calls import calls_by_day
from .extent import first_day, has_data
from .pages import (
    Action,
    page_actions,
    page_by_day,
    page_totals,
    page_users,
    views_by_day,
)
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
    Membership,
    find_users,
    user_entries,
    user_exists,
    user_extent,
    user_tenants,
)

__all__ = [
    "Action",
    "Cursor",
    "Entry",
    "Environment",
    "Fading",
    "Membership",
    "Page",
    "PageTotals",
    "Tenant",
    "active_by_day",
    "active_by_month",
    "active_in",
    "calls_by_day",
    "environments",
    "fading",
    "find_users",
    "first_day",
    "has_data",
    "page_actions",
    "page_by_day",
    "page_totals",
    "page_users",
    "tenant_environments",
    "tenant_ids",
    "tenants",
    "user_entries",
    "user_exists",
    "user_extent",
    "user_tenants",
    "views_by_day",
]
