"""How many calls there were."""

from ...metrics.queries import count_calls
from ...storage.database import Database
from ..selection import Days


def calls_by_day(
    database: Database, days: Days, tenant_id: str | None = None
) -> dict[str, dict[int, int]]:
    """Return by type how many calls there were on each day; a day without any has no number.

    Of a tenant, `create_saas_user` is left out, which knows no tenant.
    """
    return count_calls(database, *days, tenant_id)
