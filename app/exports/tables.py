"""The tables of an export, with names instead of the database's internal integers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..analytics import export_rows
from ..user_analysis.schemas import UpdateActiveUsersParam
from ..validation.schema import Schema
from . import schemas

VERSION = 1
"""The version of the format, to be increased by changes that older programs would misread."""

HEAD = "export"
"""The kind of the first record of NDJSON."""


@dataclass(frozen=True)
class Table:
    """A table of an export; `kind` is the kind of its records in NDJSON."""

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
"""The tables by name, in the order of a full export.

Users' calls follow the active users, because an import stores them in the rows of active users.
"""

EVENT_IDS_IN_CLEAR = Table("event-id", schemas.EventIdInClear, export_rows.read_event_ids)
"""The table that older versions wrote instead of `event-ids`; it is only read."""
