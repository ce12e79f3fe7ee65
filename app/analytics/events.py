"""What all feeds become: events, and a report of what became of the records."""

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
    """A tenant, and those of its environments that a user was active in."""

    tenant_id: str = NO_TENANT
    env_ids: tuple[int, ...] = ()


class Event(NamedTuple):
    """Something that happened, whichever feed told of it.

    Each counts as a call in its places. `userinfo` marks the user active in each, and with a
    referer adds a history entry; a creation has one place, no environment and no referer, and its
    user is known for the sake of erasing only. An event is a duplicate if
    `id` or `duplicate_of`, its id in another feed, is stored already; otherwise `id` and
    `log_id` are stored.
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
"""How many refused records of one call or file transaction are told one by one."""

Reader = Callable[[Any], Event | None]
"""Reads one record of a feed. Returns None for what is not counted; raises ValidationError."""


events_stored = Signal(
    "Events were stored. Sent by the database, with the `connection` and `events`, before commit."
)


@dataclass
class Report:
    """What became of the records of one call or file."""

    accepted: int = 0
    duplicates: int = 0
    ignored: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)
    unlisted: int = 0
    """How many are refused beside these, which are the first."""

    def counts(self) -> dict[str, int]:
        """Return how many records had which outcome."""
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "ignored": self.ignored,
            "refused": len(self.refused) + self.unlisted,
        }

    def document(self) -> dict[str, Any]:
        """Return the report as it is answered. Shape: `IngestReport`."""
        unlisted = {"unlisted": self.unlisted} if self.unlisted else {}
        return self.counts() | {"refused": self.refused} | unlisted

    def refuse(self, index: int, error: ValidationError) -> None:
        """Note why the record at an index was refused."""
        if len(self.refused) < LISTED:
            self.refused.append({"index": index, "message": "; ".join(describe(error))})
        else:
            self.unlisted += 1


def read_records(
    records: Iterable[Any], read: Reader, report: Report, first: int = 0
) -> list[Event]:
    """Return the events of records; the report says what was ignored or refused.

    A record that could not even be parsed comes as the ValidationError that tells why.
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
