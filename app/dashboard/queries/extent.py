"""Since when there are data."""

from ...database import Database
from ...days import first_day_of
from ...kept import read_kept

SELECT_DAY = """
select min(day)
from (
  select min(day) as day from call_count where type = 'userinfo'
  union all
  select min(day) from call_count where type = 'create_tenant'
  union all
  select min(day) from call_count where type = 'create_saas_user'
  union all
  select min(day) from call_count where type = 'create_tenant_user'
  union all
  select min(period) from active_users where monthly = 0
)
"""

SELECT_MONTH = "select min(period) from active_users where monthly = 1"

# Of pruned histories, there are summaries of hours.
SELECT_TIMESTAMP = """
select min(timestamp)
from (
  select min(timestamp) as timestamp
  from behavior
  where block = (select min(block) from behavior)
  union all
  select min(span) * 3600
  from page_summary
  where level = 0 and span < :pruned
)
"""


def has_data(database: Database) -> bool:
    """Tell whether there is anything to show."""
    return first_day(database) is not None


def first_day(database: Database) -> int | None:
    """Return the first day with any data; None if there are none."""
    with database.reading() as connection:
        pruned = read_kept(connection).histories // 3600
        (day,) = connection.execute(SELECT_DAY).fetchone()
        (month,) = connection.execute(SELECT_MONTH).fetchone()
        (timestamp,) = connection.execute(SELECT_TIMESTAMP, {"pruned": pruned}).fetchone()
    days = [day] if day is not None else []
    if month is not None:
        days.append(first_day_of(month))
    if timestamp is not None:
        days.append(database.calendar.day_of(timestamp))
    return min(days, default=None)
