"""Refusing events that are too old, or of an impossible time."""

from typing import Any

from marshmallow import ValidationError

from ..storage.cutoffs import Cutoffs, before_cutoff, cutoffs_of
from ..storage.database import Database
from .accepted_times import accepted_times
from .events import Event, Reader


def checking_times(database: Database, read: Reader, field: str) -> Reader:
    """Return a reader that also refuses events with a timestamp that a database does not accept.

    Such a timestamp is impossible or before a retention cutoff. `field` is the field of records
    that the error names.
    """
    kept = cutoffs_of(database)
    pruned = any(kept)
    times = accepted_times(database)

    def read_and_check(record: Any) -> Event | None:
        event = read(record)
        if event and (refusal := times.refusal(event.timestamp)):
            raise ValidationError(refusal, field)
        if pruned and event and event.timestamp < (since := cutoff_of(kept, event)):
            raise ValidationError(before_cutoff(since), field)
        return event

    return read_and_check


def cutoff_of(kept: Cutoffs, event: Event) -> int:
    """Return the timestamp before which an event cannot be stored."""
    return max(
        kept.counts,
        kept.histories if event.user_id else 0,
        kept.event_ids if event.id or event.duplicate_of else 0,
    )
