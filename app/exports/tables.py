"""The tables of an export: what a user understands of the data."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..analytics import export_rows
from ..user_analysis.schemas import UpdateActiveUsersParam
from ..validation.schema import Schema
from . import schemas

VERSION = 1
"""The version of the form; a change that an older program would misread has another."""

HEAD = "export"
"""The kind of the first record of NDJSON."""


@dataclass(frozen=True)
class Table:
    """A table of an export; `kind` is what NDJSON calls a record of it."""

    kind: str
    schema: type[Schema]
    read: export_rows.Read
    """Yields the columns in the order of the schema's fields."""

    @cached_property
    def columns(self) -> Sequence[str]:
        return tuple(self.schema().fields)


TABLES = {
    "histories": Table("history", schemas.History, export_rows.read_histories),
    "calls": Table("call", schemas.Call, export_rows.read_calls),
    "active-users": Table("active-user", schemas.ActiveUser, export_rows.read_active_users),
    "user-calls": Table("user-call", schemas.UserCall, export_rows.read_user_calls),
    "numbers": Table("number", UpdateActiveUsersParam, export_rows.read_put_numbers),
    "event-ids": Table("event-id", schemas.EventId, export_rows.read_event_ids),
}
"""The tables by name, in the order of an export of all.

Calls are behind the active users with whom an import stores them.
"""

EVENT_IDS_IN_CLEAR = Table("event-id", schemas.EventIdInClear, export_rows.read_event_ids)
"""What older versions wrote in the place of `event-ids`; it is only read."""
