"""The numbers of active users that the API returns, and those that clients PUT."""

from ..days import MAX_TIMESTAMP, PERIODS
from ..errors import InvalidRequest
from ..storage.cutoffs import before_cutoff, read_cutoffs
from ..storage.database import Database
from ..storage.dictionary import Dictionary
from .accepted_times import accepted_times, period_refusal

# SQLite writes the JSON of the response, so that no row becomes a Python object.
SELECT_ACTIVE_USERS = """
select json_object('data', json_group_array(json_object(
  'date', date, 'tenant_id', name, 'env_id', env_id, 'active_users', users
)))
from (
  select case
           when :monthly then printf('%04d-%02d', period / 12, period % 12 + 1)
           else date(period * 86400, 'unixepoch')
         end as date,
         tenant.name, active_users.env_id,
         coalesce(active_users.put, active_users.computed) as users
  from active_users
  join tenant on tenant.id = active_users.tenant_id
  where active_users.monthly = :monthly
    and active_users.period >= :date_from
    and (:date_to is null or active_users.period <= :date_to)
    and (:tenant_id is null or tenant.name = :tenant_id)
    and (:env_id is null or active_users.env_id = :env_id)
  order by active_users.period, tenant.name, active_users.env_id
)
"""

PUT_ACTIVE_USERS = """
insert into active_users (monthly, period, tenant_id, env_id, put)
values (:monthly, :period, :tenant_id, :env_id, :put)
on conflict (monthly, period, tenant_id, env_id) do update set put = excluded.put
"""


def get_active_users(
    database: Database,
    *,
    type: str,
    date_from: int,
    date_to: int | None = None,
    tenant_id: str | None = None,
    env_id: int | None = None,
) -> str:
    """Return how many users were active by date, tenant and environment (contract B.4).

    Shape: the JSON text of `ActiveUsers`. The dates are numbers of days or of months, inclusive.
    """
    parameters = {
        "monthly": PERIODS[type].monthly,
        "date_from": date_from,
        "date_to": date_to,
        "tenant_id": tenant_id,
        "env_id": env_id,
    }
    return database.read_json(SELECT_ACTIVE_USERS, parameters)


def update_active_users(
    database: Database, *, type: str, date: int, tenant_id: str, env_id: int, active_users: int
) -> None:
    """Set the number of active users of a date, tenant and environment.

    The date may be in the future. Raises InvalidRequest if the counts of that date were pruned, or
    if it is before the first date that is accepted.
    """
    monthly = PERIODS[type].monthly
    times = accepted_times(database)._replace(last=MAX_TIMESTAMP)
    if refusal := period_refusal(times, database.calendar, date, monthly):
        raise InvalidRequest(f"date: {refusal}")
    with database.writing() as connection:
        kept = read_cutoffs(connection)
        if date < kept.first_period("counts", database.calendar, monthly):
            raise InvalidRequest(f"date: {before_cutoff(kept.counts)}")
        connection.execute(
            PUT_ACTIVE_USERS,
            {
                "monthly": monthly,
                "period": date,
                "tenant_id": Dictionary(connection).tenants([tenant_id])[tenant_id],
                "env_id": env_id,
                "put": active_users,
            },
        )
