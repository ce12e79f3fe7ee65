"""Dictionaries: external names, and the integers that stand for them in all other tables."""

import json
import sqlite3
from collections.abc import Callable, Iterable

from .page_rule import read_page_rule

NO_TENANT = "00000000-0000-0000-0000-000000000000"
"""The tenant that calls and creations without a tenant count under (contract B.5)."""

NO_ONE = 0
"""An integer that no name has: the integers of names begin with 1."""

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


def find_user(connection: sqlite3.Connection, name: str) -> int | None:
    """Return the integer of a user; None if no user has this name."""
    return _find(connection, FIND_USER, name)


def find_tenant(connection: sqlite3.Connection, name: str) -> int | None:
    """Return the integer of a tenant; None if no tenant has this name."""
    return _find(connection, FIND_TENANT, name)


def find_page(connection: sqlite3.Connection, url: str) -> int | None:
    """Return the integer of a page; None if no page has this URL."""
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
