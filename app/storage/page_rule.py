"""The rule that maps a referer to its page."""

import json
import re
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from .fixed_settings import read_settings

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

# A slash after another one precedes a host, which is not a segment of the path.
_id_in_path = re.compile(
    r"(?<!/)/(?:[0-9]+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?=/|$)", re.IGNORECASE
)


@dataclass(frozen=True)
class PageRule:
    """Which parts of a referer make up its page."""

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
    """Return the rule that maps referers to pages in a database."""
    fixed = read_settings(connection)
    return PageRule(fixed["keep_query"] == "on", fixed["collapse_ids"] == "on")


def change_page_rule(
    connection: sqlite3.Connection, rule: PageRule, kept: Collection[int] = ()
) -> None:
    """Store a new rule, and map all referers to pages again.

    Pages that have no referer any more are deleted, except those in `kept`. The caller must drop
    the summaries, which are derived from pages.
    """
    connection.create_function("page_of", 1, rule.page_of, deterministic=True)
    for statement in REMAP:
        connection.execute(statement, {"kept": json.dumps(list(kept))})
    fixed = {"keep_query": rule.keep_query, "collapse_ids": rule.collapse_ids}
    for name, value in fixed.items():
        parameters = {"name": name, "value": "on" if value else "off"}
        connection.execute(UPDATE_SETTING, parameters)
