"""Names that nothing refers to any more.

A name's users are found by reading whole tables, since facts have no index by name. So they are
looked for beside all who write, and only those found are looked at again when they are deleted.
"""

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from ..summaries.reading import pruned_summaries

SELECT_REFERERS = """
select id from referer
except
select referer_id from behavior
"""

SELECT_PAGES = """
select id from page
except
select page_id from referer where id not in (select value from json_each(:referers))
"""

SELECT_USERS = """
select id from user
except
select user_id from behavior
except
select user_id from active_user
except
select user_id from user_call
"""

SELECT_TENANTS = """
select id from tenant
except
select tenant_id from call_count
except
select tenant_id from active_users
except
select tenant_id from active_user
except
select tenant_id from user_call
except
select tenant_id from link
"""

DELETE_UNUSED = (
    """
    delete from referer
    where id in (select value from json_each(:referers))
      and id not in (
        select referer_id from behavior
        where referer_id in (select value from json_each(:referers))
      )
    """,
    """
    delete from page
    where id in (select value from json_each(:pages))
      and not exists (select 1 from referer where referer.page_id = page.id)
    """,
    """
    delete from user
    where id in (select value from json_each(:users))
      and id not in (
        select user_id from behavior
        where user_id in (select value from json_each(:users))
        union all
        select user_id from active_user
        where user_id in (select value from json_each(:users))
        union all
        select user_id from user_call
        where user_id in (select value from json_each(:users))
      )
    """,
    """
    delete from tenant
    where id in (select value from json_each(:tenants))
      and not exists (select 1 from call_count where tenant_id = tenant.id)
      and not exists (select 1 from active_users where tenant_id = tenant.id)
      and not exists (select 1 from active_user where tenant_id = tenant.id)
      and not exists (select 1 from user_call where tenant_id = tenant.id)
      and not exists (select 1 from link where tenant_id = tenant.id)
    """,
)


@dataclass(frozen=True)
class Names:
    """Names of the dictionaries, by their integers."""

    referers: Collection[int] = ()
    pages: Collection[int] = ()
    users: Collection[int] = ()
    tenants: Collection[int] = ()

    def __bool__(self) -> bool:
        return any(vars(self).values())


def find_unused(connection: sqlite3.Connection) -> Names:
    """Return the names that no fact and no summary of pruned time refers to."""
    seen_pages: set[int] = set()
    seen_users: set[int] = set()
    for _, _, summary in pruned_summaries(connection):
        if summary:
            seen_pages.update(summary.views)
            seen_users.update(summary.users)
    referers = select_ids(connection, SELECT_REFERERS)
    pages = select_ids(connection, SELECT_PAGES, referers=json.dumps(list(referers)))
    return Names(
        referers,
        pages - seen_pages,
        select_ids(connection, SELECT_USERS) - seen_users,
        select_ids(connection, SELECT_TENANTS),
    )


def delete_unused(connection: sqlite3.Connection, names: Names) -> None:
    """Delete those of the names that no fact refers to now; to be called with `erasing`."""
    parameters = {field: json.dumps(list(ids)) for field, ids in vars(names).items()}
    for statement in DELETE_UNUSED:
        connection.execute(statement, parameters)


def select_ids(connection: sqlite3.Connection, sql: str, **parameters: object) -> set[int]:
    """Return the integers that a query returns."""
    return {id_ for (id_,) in connection.execute(sql, parameters)}
