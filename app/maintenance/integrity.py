"""Integrity checks of a database: the file, its references, and all derived data."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from ..analytics.events import TYPES
from ..days import Calendar, describe_period
from ..storage import event_ids
from ..storage.fixed_settings import FIXED, read_settings
from ..storage.page_rule import read_page_rule
from ..summaries.pages import sealing as page_sealing
from ..summaries.periods import sealing as period_sealing
from ..summaries.spans import LENGTHS
from .backup import UNREADABLE

SHOWN = 20
"""How many examples of an error are shown."""

CHECK_FILE = "pragma integrity_check"

CHECK_REFERENCES = "pragma foreign_key_check"

WRONG_PAGES = """
select referer.url, page.url, page_of(referer.url)
from referer
left join page on page.id = referer.page_id
where page.url is not page_of(referer.url)
order by referer.id
"""

WRONG_COUNTS = """
select monthly, period,
       coalesce(tenant.name, tenant_id),
       env_id,
       sum(computed) as stored,
       sum(counted) as rows
from (
  select monthly, period, tenant_id, env_id, computed, 0 as counted
  from active_users
  union all
  select monthly, period, tenant_id, env_id, 0, count(*)
  from active_user
  group by monthly, period, tenant_id, env_id
)
left join tenant on tenant.id = tenant_id
group by monthly, period, tenant_id, env_id
having stored <> rows
order by monthly, period, tenant_id, env_id
"""

WRONG_USER_CALLS = """
select type, day, coalesce(tenant.name, tenant_id), told, counted
from (
  select type, day, tenant_id, sum(calls) as told, coalesce(call_count.count, 0) as counted
  from (
    select type, day, tenant_id, count as calls
    from user_call
    union all
    select 0, period, tenant_id, calls
    from active_user
    where monthly = 0 and calls > 0
  )
  left join call_count using (type, day, tenant_id)
  group by type, day, tenant_id
  having told > counted
)
left join tenant on tenant.id = tenant_id
order by type, day, tenant_id
"""

RESTORE = "use `saasus-analysis restore` with the newest backup in which `check` finds no errors"
UPDATE_ZONES = "install newer time zone data; if it never was a time zone, " + RESTORE
REMAKE_PAGES = (
    "run `saasus-analysis summaries rebuild` with the other --keep-query, and then again with the "
    "present one: this computes all pages again"
)
REBUILD = "`saasus-analysis summaries rebuild` computes all summaries again"


@dataclass(frozen=True)
class Check:
    """A check of a database, and what to do if it fails."""

    name: str
    find: Callable[[sqlite3.Connection], Iterator[str]]
    """Yields a description of each error."""
    remedy: str
    any_schema: bool = False
    """Whether it also applies to databases with an older schema."""
    decides: bool = False
    """Whether no other check makes sense if this one fails."""


@dataclass(frozen=True)
class Wrong:
    """The result of a check that failed: number of errors, first examples, and what to do."""

    check: str
    count: int
    examples: list[str]
    remedy: str


def checks_for(schema: int, newest: int) -> list[Check]:
    """Return the checks that apply to a database with this version of the schema."""
    return [check for check in CHECKS if check.any_schema or schema == newest]


def find_wrong(
    connection: sqlite3.Connection, checks: Iterable[Check], run: list[str]
) -> Iterator[Wrong]:
    """Run checks on one snapshot of a database; yield those that failed.

    The name of each check is added to `run` when it has finished.
    """
    connection.execute("begin")
    for check in checks:
        try:
            found = check.find(connection)
            examples = list(islice(found, SHOWN))
            count = len(examples) + sum(1 for _ in found)
        except UNREADABLE as error:
            examples, count = [f"the database cannot be read: {error}"], 1
        run.append(check.name)
        if count:
            yield Wrong(check.name, count, examples, check.remedy)
            if check.decides:
                break
    connection.rollback()


def _file(connection: sqlite3.Connection) -> Iterator[str]:
    for (line,) in connection.execute(CHECK_FILE):
        if line != "ok":
            yield " ".join(line.split())


def _settings(connection: sqlite3.Connection) -> Iterator[str]:
    stored = read_settings(connection)
    for name in FIXED:
        if name not in stored:
            yield f"{name} is not stored"


def _time_zone(connection: sqlite3.Connection) -> Iterator[str]:
    try:
        Calendar(read_settings(connection)["time_zone"])
    except ValueError as error:
        yield str(error)


def _references(connection: sqlite3.Connection) -> Iterator[str]:
    for table, rowid, parent, _ in connection.execute(CHECK_REFERENCES):
        row = "a row" if rowid is None else f"row {rowid}"
        yield f"{row} of {table} refers to a row of {parent} that does not exist"


def _pages(connection: sqlite3.Connection) -> Iterator[str]:
    rule = read_page_rule(connection)
    connection.create_function("page_of", 1, rule.page_of, deterministic=True)
    for referer, page, right in connection.execute(WRONG_PAGES):
        yield f"{referer!r:.200} belongs to {page!r:.200}, not {right!r:.200}"


def _counts(connection: sqlite3.Connection) -> Iterator[str]:
    for monthly, period, tenant, env_id, stored, rows in connection.execute(WRONG_COUNTS):
        date = describe_period(monthly, period)
        yield f"{date}, tenant {tenant!r}, environment {env_id}: {stored} stored, {rows} rows"


def _user_calls(connection: sqlite3.Connection) -> Iterator[str]:
    for type_, day, tenant, told, counted in connection.execute(WRONG_USER_CALLS):
        date = describe_period(False, day)
        yield f"{TYPES[type_]} on {date}, tenant {tenant!r}: {told} by users, {counted} in total"


def _page_summaries(connection: sqlite3.Connection) -> Iterator[str]:
    for level, span, reason in page_sealing.check(connection, iter):
        hours = LENGTHS[level]
        begin = datetime.fromtimestamp(span * hours * 3600, UTC)
        yield f"{begin:%Y-%m-%dT%H:%MZ}, {hours} hours: {reason}"


def _period_summaries(connection: sqlite3.Connection) -> Iterator[str]:
    calendar = Calendar(read_settings(connection)["time_zone"])
    for data, date, reason in period_sealing.check(connection, calendar, iter):
        yield f"{date}, {data}: {reason}"


CHECKS = (
    Check("file", _file, RESTORE, any_schema=True, decides=True),
    Check("references", _references, RESTORE, any_schema=True),
    Check("settings", _settings, RESTORE, decides=True),
    Check("time zone", _time_zone, UPDATE_ZONES, decides=True),
    Check("pages of referers", _pages, REMAKE_PAGES),
    Check("counts of active users", _counts, RESTORE),
    Check("calls of users", _user_calls, RESTORE),
    Check("event ids", event_ids.find_wrong, RESTORE),
    Check("page summaries", _page_summaries, REBUILD),
    Check("period summaries", _period_summaries, REBUILD),
)
"""The checks, in the order in which they are run."""
