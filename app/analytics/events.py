"""Events, which the records of every feed become, and the report on these records."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from blinker import Signal
from marshmallow import ValidationError

from ..storage.dictionary import NO_TENANT
from ..validation.messages import describe

CREATIONS = ("create_tenant", "create_saas_user", "create_tenant_user")
TYPES = ("userinfo", *CREATIONS)
TYPE_NUMBERS = {type_: number for number, type_ in enumerate(TYPES)}
"""The integers of the types in the database (schema.sql)."""
USERINFO = TYPE_NUMBERS["userinfo"]
USER_TYPES = ("userinfo", "create_saas_user", "create_tenant_user")
"""The types of events that have a user."""
SOURCES = ("client", "eventbridge", "eventbridge-log", "apilog")

EventId = tuple[str, str]
"""Where an id comes from (`client`, `eventbridge`, `eventbridge-log`, `apilog`), and the id."""


class Place(NamedTuple):
    """A tenant, and its environments in which a user was active."""

    tenant_id: str = NO_TENANT
    env_ids: tuple[int, ...] = ()


class Event(NamedTuple):
    """Something that happened, reported by any feed.

    An event counts as a call in each of its places. `userinfo` marks the user active in each, and
    adds a history entry if there is a referer. A creation has one place, no environment and no
    referer; its user is stored only so that it can be erased. An event is a duplicate if `id` or
    `duplicate_of`, its id in another feed, is stored already; otherwise `id` and `log_id` are
    stored.
    """

    type: str
    timestamp: int
    user_id: str | None = None
    places: tuple[Place, ...] = (Place(),)
    referer: str | None = None
    id: EventId | None = None
    duplicate_of: EventId | None = None
    log_id: EventId | None = None


LISTED = 10_000
"""How many refused records of one request or file transaction are listed one by one."""

Reader = Callable[[Any], Event | None]
"""Reads one record of a feed. Returns None if it is to be ignored; raises ValidationError."""


events_stored = Signal(
    "Events were stored. Sent by the database before the commit, with `connection` and `events`."
)


@dataclass
class Report:
    """How many records of one request or file were stored, and why others were refused."""

    accepted: int = 0
    duplicates: int = 0
    ignored: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)
    unlisted: int = 0
    """How many more were refused than the first ones, which `refused` lists."""

    def counts(self) -> dict[str, int]:
        """Return how many records had each outcome."""
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "ignored": self.ignored,
            "refused": len(self.refused) + self.unlisted,
        }

    def document(self) -> dict[str, Any]:
        """Return the report as the body of a response. Shape: `IngestReport`."""
        unlisted = {"unlisted": self.unlisted} if self.unlisted else {}
        return self.counts() | {"refused": self.refused} | unlisted

    def refuse(self, index: int, error: ValidationError) -> None:
        """Report why the record at an index was refused."""
        if len(self.refused) < LISTED:
            self.refused.append({"index": index, "message": "; ".join(describe(error))})
        else:
            self.unlisted += 1


def read_records(
    records: Iterable[Any], read: Reader, report: Report, first: int = 0
) -> list[Event]:
    """Return the events of records; report which records were ignored or refused.

    A record that could not be parsed is given as the ValidationError that explains why.
    """
    events = []
    for index, record in enumerate(records, first):
        try:
            if isinstance(record, ValidationError):
                raise record
            event = read(record)
        except ValidationError as error:
            report.refuse(index, error)
            continue
        if event is None:
            report.ignored += 1
        else:
            events.append(event)
    return events
