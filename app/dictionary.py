"""Dictionaries: the names of the outside world and the small integers that facts carry."""

import re
import sqlite3

NO_TENANT = "00000000-0000-0000-0000-000000000000"
"""The tenant that calls and creations without a tenant count under (contract B.5)."""

FIND_USER = "select id from user where name = :name"
ADD_USER = "insert into user (name) values (:name) returning id"
FIND_TENANT = "select id from tenant where name = :name"
ADD_TENANT = "insert into tenant (name) values (:name) returning id"
FIND_PAGE = "select id from page where url = :name"
ADD_PAGE = "insert into page (url) values (:name) returning id"
FIND_REFERER = "select id from referer where url = :name"
ADD_REFERER = "insert into referer (url, page_id) values (:name, :page_id) returning id"


def page_of(referer: str) -> str:
    """Return the page of a referer: the referer without its query and fragment."""
    return re.split(r"[?#]", referer, maxsplit=1)[0]


class Dictionary:
    """The dictionaries in one transaction; each name is looked up once.

    The methods return the integer of a name, and add the name if it is new.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known: dict[tuple[str, str], int] = {}

    def user(self, name: str) -> int:
        return self._id(FIND_USER, ADD_USER, name)

    def tenant(self, name: str) -> int:
        return self._id(FIND_TENANT, ADD_TENANT, name)

    def referer(self, url: str) -> int:
        return self._id(FIND_REFERER, ADD_REFERER, url)

    def _id(self, find: str, add: str, name: str) -> int:
        known = self._known.get((find, name))
        if known is None:
            row = self._connection.execute(find, {"name": name}).fetchone()
            if row is None:
                values: dict[str, object] = {"name": name}
                if add is ADD_REFERER:
                    values["page_id"] = self._id(FIND_PAGE, ADD_PAGE, page_of(name))
                row = self._connection.execute(add, values).fetchone()
            known = self._known[find, name] = int(row[0])
        return known
