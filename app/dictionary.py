"""Dictionaries: the names of the outside world and the small integers that facts carry."""

import json
import re
import sqlite3
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

NO_TENANT = "00000000-0000-0000-0000-000000000000"
"""The tenant that calls and creations without a tenant count under (contract B.5)."""

NO_ONE = 0
"""The integer of no name: theirs begin with 1."""

FIND_USERS = "select name, id from user where name in (select value from json_each(?))"
ADD_USER = "insert into user (name) values (?)"
FIND_TENANTS = "select name, id from tenant where name in (select value from json_each(?))"
ADD_TENANT = "insert into tenant (name) values (?)"
FIND_PAGES = "select url, id from page where url in (select value from json_each(?))"
ADD_PAGE = "insert into page (url) values (?)"
FIND_REFERERS = "select url, id from referer where url in (select value from json_each(?))"
ADD_REFERER = "insert into referer (url, page_id) values (?, ?)"

FIND_USER = "select id from user where name = ?"
FIND_TENANT = "select id from tenant where name = ?"
FIND_PAGE = "select id from page where url = ?"

SELECT_SETTINGS = "select name, value from setting"
UPDATE_SETTING = "update setting set value = :value where name = :name"

REMAP = (
    """
    insert into page (url)
    select distinct page_of(url)
    from referer
    where true
    on conflict do nothing
    """,
    """
    update referer
    set page_id = (select page.id from page where page.url = page_of(referer.url))
    """,
    """
    delete from page
    where not exists (select 1 from referer where referer.page_id = page.id)
      and id not in (select value from json_each(:kept))
    """,
)

# The slash before a host is preceded by another one.
_id_in_path = re.compile(
    r"(?<!/)/(?:[0-9]+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?=/|$)", re.IGNORECASE
)


@dataclass(frozen=True)
class PageRule:
    """What of a referer makes its page."""

    keep_query: bool = False
    """Whether the query and the fragment belong to the page."""
    collapse_ids: bool = False
    """Whether a UUID or a number as a segment of the path becomes `{id}`."""

    def page_of(self, referer: str) -> str:
        """Return the page of a referer."""
        path = re.split(r"[?#]", referer, maxsplit=1)[0]
        page = _id_in_path.sub("/{id}", path) if self.collapse_ids else path
        return page + referer[len(path) :] if self.keep_query else page


def read_page_rule(connection: sqlite3.Connection) -> PageRule:
    """Return the rule that the pages of a database are made by."""
    fixed = dict(connection.execute(SELECT_SETTINGS))
    return PageRule(fixed["keep_query"] == "on", fixed["collapse_ids"] == "on")


def change_page_rule(
    connection: sqlite3.Connection, rule: PageRule, kept: Collection[int] = ()
) -> None:
    """Make the pages of all referers anew; a page that no referer has goes, unless it is kept.

    What is derived from pages is the caller's to drop.
    """
    connection.create_function("page_of", 1, rule.page_of, deterministic=True)
    for statement in REMAP:
        connection.execute(statement, {"kept": json.dumps(list(kept))})
    fixed = {"keep_query": rule.keep_query, "collapse_ids": rule.collapse_ids}
    for name, value in fixed.items():
        parameters = {"name": name, "value": "on" if value else "off"}
        connection.execute(UPDATE_SETTING, parameters)


def find_user(connection: sqlite3.Connection, name: str) -> int | None:
    """Return the integer of a user; None if there is none of this name."""
    return _find(connection, FIND_USER, name)


def find_tenant(connection: sqlite3.Connection, name: str) -> int | None:
    """Return the integer of a tenant; None if there is none of this name."""
    return _find(connection, FIND_TENANT, name)


def find_page(connection: sqlite3.Connection, url: str) -> int | None:
    """Return the integer of a page; None if there is none of this URL."""
    return _find(connection, FIND_PAGE, url)


def _find(connection: sqlite3.Connection, sql: str, name: str) -> int | None:
    found: tuple[int] | None = connection.execute(sql, (name,)).fetchone()
    return found and found[0]


def _alone(names: list[str]) -> list[tuple[object, ...]]:
    return [(name,) for name in names]


class Dictionary:
    """The dictionaries in one transaction.

    The methods return the integers of names, and add the names that are new.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def users(self, names: Iterable[str]) -> dict[str, int]:
        return self._ids(names, FIND_USERS, ADD_USER)

    def tenants(self, names: Iterable[str]) -> dict[str, int]:
        return self._ids(names, FIND_TENANTS, ADD_TENANT)

    def referers(self, urls: Iterable[str]) -> dict[str, int]:
        return self._ids(urls, FIND_REFERERS, ADD_REFERER, self._with_pages)

    def _with_pages(self, urls: list[str]) -> list[tuple[object, ...]]:
        page_of = read_page_rule(self._connection).page_of
        pages = {url: page_of(url) for url in urls}
        ids = self._ids(pages.values(), FIND_PAGES, ADD_PAGE)
        return [(url, ids[page]) for url, page in pages.items()]

    def _ids(
        self,
        names: Iterable[str],
        find: str,
        add: str,
        rows: Callable[[list[str]], list[tuple[object, ...]]] = _alone,
    ) -> dict[str, int]:
        wanted = list(dict.fromkeys(names))
        ids: dict[str, int] = dict(self._connection.execute(find, (json.dumps(wanted),)))
        missing = [name for name in wanted if name not in ids]
        if missing:
            self._connection.executemany(add, rows(missing))
            ids.update(self._connection.execute(find, (json.dumps(missing),)))
        return ids
