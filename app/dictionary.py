"""Dictionaries: the names of the outside world and the small integers that facts carry."""

import re
import sqlite3
from dataclasses import dataclass
from functools import cached_property

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


def change_page_rule(connection: sqlite3.Connection, rule: PageRule) -> None:
    """Make the pages of all referers anew. What is derived from pages is the caller's to drop."""
    connection.create_function("page_of", 1, rule.page_of, deterministic=True)
    for statement in REMAP:
        connection.execute(statement)
    fixed = {"keep_query": rule.keep_query, "collapse_ids": rule.collapse_ids}
    for name, value in fixed.items():
        parameters = {"name": name, "value": "on" if value else "off"}
        connection.execute(UPDATE_SETTING, parameters)


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

    @cached_property
    def _rule(self) -> PageRule:
        return read_page_rule(self._connection)

    def _id(self, find: str, add: str, name: str) -> int:
        known = self._known.get((find, name))
        if known is None:
            row = self._connection.execute(find, {"name": name}).fetchone()
            if row is None:
                values: dict[str, object] = {"name": name}
                if add is ADD_REFERER:
                    values["page_id"] = self._id(FIND_PAGE, ADD_PAGE, self._rule.page_of(name))
                row = self._connection.execute(add, values).fetchone()
            known = self._known[find, name] = int(row[0])
        return known
