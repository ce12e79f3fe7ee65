"""Answering queries from the summaries of days and months, and from rows where none are stored."""

from collections import Counter

from pyroaring import BitMap, BitMap64

from ...storage.database import Database
from .actions import ACTIONS
from .active_users import MEMBERS, USERS, ActiveKind, Bitmap
from .callers import CALLERS
from .sealing import seal


def active_users(
    database: Database, *, monthly: bool, first: int, last: int, env_id: int | None = None
) -> dict[int, BitMap]:
    """Return the users who were active by day or month, in one environment or in any.

    `first` and `last` are numbers of days or of months, inclusive. Periods without active users are
    left out.
    """
    return _read_active(database, USERS[monthly], first, last, env_id)


def active_members(
    database: Database, *, monthly: bool, first: int, last: int, env_id: int | None = None
) -> dict[int, BitMap64]:
    """Return who was active in which tenant, as tenant * 2^32 + user; see `active_users`."""
    return _read_active(database, MEMBERS[monthly], first, last, env_id)


def action_views(database: Database, first: int, last: int) -> Counter[int]:
    """Return the views in a range of days by referer, for referers whose query has `action=`."""
    seal(database, [ACTIONS], first, last)
    views: Counter[int] = Counter()
    with database.reading() as connection:
        for _, content in ACTIONS.contents(connection, database.calendar, first, last):
            views.update(ACTIONS.decode(content))
    return views


def callers_without_environment(database: Database, first: int, last: int) -> BitMap64:
    """Return who called without an environment in a range of days, as tenant * 2^32 + user."""
    seal(database, [CALLERS], first, last)
    with database.reading() as connection:
        contents = CALLERS.contents(connection, database.calendar, first, last)
        return BitMap64.union(BitMap64(), *(CALLERS.decode(content) for _, content in contents))


def _read_active(
    database: Database, kind: ActiveKind[Bitmap], first: int, last: int, env_id: int | None
) -> dict[int, Bitmap]:
    seal(database, [kind], first, last)
    with database.reading() as connection:
        stored = kind.stored_contents(connection, first, last)
        active = {period: kind.of(content, env_id) for period, content in stored}
        for period in kind.periods(connection, database.calendar, first, last):
            if period not in active:
                active[period] = kind.read(connection, period, env_id)
    return {period: found for period, found in sorted(active.items()) if found}
