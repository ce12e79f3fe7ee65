"""Who was active, by day or month, and the views of actions."""

import json
from array import array
from collections import Counter
from dataclasses import dataclass, field

from pyroaring import BitMap, BitMap64

from ..database import Database
from .summary import halves

SELECT_ACTIVE = """
select period, json_group_array(tenant_id << 32 | user_id)
from active_user
where monthly = :monthly
  and period between :first and :last
  and (:env_id is null or env_id = :env_id)
group by period
"""

SELECT_VIEWS = """
select behavior.referer_id, count(*)
from behavior
cross join referer on referer.id = behavior.referer_id
where behavior.block between :start / 14400 and :end / 14400
  and behavior.timestamp between :start and :end
  and instr(referer.url, 'action=')
group by behavior.referer_id
"""


@dataclass(frozen=True)
class Active:
    """Who was active in a period; `members` are tenant << 32 | user."""

    users: BitMap = field(default_factory=BitMap)
    members: BitMap64 = field(default_factory=BitMap64)


def active_users(
    database: Database,
    *,
    monthly: bool,
    first: int,
    last: int,
    env_id: int | None = None,
    with_tenants: bool = False,
) -> dict[int, Active]:
    """Return who was active in each period that anybody was."""
    parameters = {"monthly": monthly, "first": first, "last": last, "env_id": env_id}
    found = {}
    with database.reading() as connection:
        for period, members in connection.execute(SELECT_ACTIVE, parameters):
            pairs = array("Q", json.loads(members))
            _, users = halves(pairs)
            found[period] = Active(
                BitMap(array("I", users)), BitMap64(pairs) if with_tenants else BitMap64()
            )
    return found


def action_views(database: Database, first: int, last: int) -> Counter[int]:
    """Return the views of referers whose query has an action, in some calendar days."""
    day_start = database.calendar.day_start
    parameters = {"start": day_start(first), "end": day_start(last + 1) - 1}
    with database.reading() as connection:
        return Counter(dict(connection.execute(SELECT_VIEWS, parameters).fetchall()))
