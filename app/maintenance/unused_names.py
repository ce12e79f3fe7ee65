"""Orphaned names: rows of the dictionaries that nothing refers to any more.

Facts have no index by name, so whole tables are read to find the names in use. The search does not
block writers; the deletion checks again only the names that the search found.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass

from ..summaries.pages.reading import pruned_summaries

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

DELETE_UNUSED = {
    "referer": """
    delete from referer
    where id in (select value from json_each(:referers))
      and id not in (
        select referer_id from behavior
        where referer_id in (select value from json_each(:referers))
      )
    """,
    "page": """
    delete from page
    where id in (select value from json_each(:pages))
      and not exists (select 1 from referer where referer.page_id = page.id)
    """,
    "user": """
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
    "tenant": """
    delete from tenant
    where id in (select value from json_each(:tenants))
      and id not in (
        select tenant_id from call_count
        where tenant_id in (select value from json_each(:tenants))
        union all
        select tenant_id from active_users
        where tenant_id in (select value from json_each(:tenants))
      )
      and not exists (select 1 from active_user where tenant_id = tenant.id)
      and not exists (select 1 from user_call where tenant_id = tenant.id)
      and not exists (select 1 from link where tenant_id = tenant.id)
    """,
}
"""Statements by table; referers come first, because they refer to pages."""

# A copy with the same indexes as its table is written and read without sorting.
REWRITE = {
    "referer": (
        """
        create temp table copy (
          id      integer primary key,
          url     text    not null unique,
          page_id integer not null
        ) strict
        """,
        "create index temp.copy_page on copy (page_id)",
        "insert into copy select * from referer",
        "delete from referer",
        "insert into referer select * from copy",
        "drop table copy",
    ),
    "page": (
        "create temp table copy (id integer primary key, url text not null unique) strict",
        "insert into copy select * from page",
        "delete from page",
        "insert into page select * from copy",
        "drop table copy",
    ),
    "user": (
        "create temp table copy (id integer primary key, name text not null unique) strict",
        "insert into copy select * from user",
        "delete from user",
        "insert into user select * from copy",
        "drop table copy",
    ),
    "tenant": (
        "create temp table copy (id integer primary key, name text not null unique) strict",
        "insert into copy select * from tenant",
        "delete from tenant",
        "insert into tenant select * from copy",
        "drop table copy",
    ),
    "link": (
        "create temp table copy as select * from link",
        "delete from link",
        "insert into link select * from copy",
        "drop table copy",
    ),
}


@dataclass(frozen=True)
class Names:
    """Ids of names in the dictionaries."""

    referers: Set[int] = frozenset()
    pages: Set[int] = frozenset()
    users: Set[int] = frozenset()
    tenants: Set[int] = frozenset()

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def __or__(self, other: "Names") -> "Names":
        return Names(
            self.referers | other.referers,
            self.pages | other.pages,
            self.users | other.users,
            self.tenants | other.tenants,
        )


def find_unused(connection: sqlite3.Connection) -> Names:
    """Return the names to which no fact and no summary of pruned time refers."""
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


def delete_unused(connection: sqlite3.Connection, names: Names) -> Counter[str]:
    """Delete those of the names to which no fact refers now; return how many, by table.

    Call it inside `Database.erasing`. Tables from which names were deleted are rewritten.
    """
    parameters = {field: json.dumps(list(ids)) for field, ids in vars(names).items()}
    deleted: Counter[str] = Counter()
    for table, statement in DELETE_UNUSED.items():
        deleted[table] = connection.execute(statement, parameters).rowcount
        if deleted[table]:
            rewrite(connection, table)
    return deleted


def rewrite(connection: sqlite3.Connection, table: str) -> None:
    """Rewrite a table of names, so that deleted names do not remain anywhere in the file.

    When SQLite moves rows to another page, copies of them can remain in the unused part of the old
    page, and deleting a row overwrites only that row, even with `secure_delete`. Emptying a table
    overwrites its pages completely.
    """
    for statement in REWRITE[table]:
        connection.execute(statement)


def select_ids(connection: sqlite3.Connection, sql: str, **parameters: object) -> set[int]:
    """Return the ids that a query selects."""
    return {id_ for (id_,) in connection.execute(sql, parameters)}
