"""EventBridge events, as the platform sends them (contract A, "Where the numbers come from")."""

from datetime import UTC, datetime
from typing import Any

from marshmallow import ValidationError

from ..analytics.events import CREATIONS, Event
from ..validation.fields import Timestamp, Uuid
from .platform_calls import Call, as_object, as_text, checked, content_of, embedded, succeeded

TIME_FIELD = "time"


def read_eventbridge(record: Any) -> Event | None:
    """Return the event of a record, or None if it is not counted.

    `detail.event` is the log of the call as JSON text. Calls that failed are not counted. Raises
    ValidationError if the record is malformed.
    """
    record = as_object(record, "_schema")
    detail = as_object(record.get("detail"), "detail")
    type_ = detail.get("event_type")
    if not isinstance(type_, str):
        raise ValidationError("must be text", "detail.event_type")
    if type_ not in CREATIONS:
        return None
    log = embedded(detail.get("event"), "detail.event")
    if not succeeded(log.get("http_status", 200)):
        return None
    call = Call(
        place="detail.event.",
        uri=as_text(log.get("uri")),
        response_body=log.get("response_body"),
        referer=None,
    )
    own_id = record.get("id") or detail.get("trace_id")
    log_id = log.get("log_id")
    if log_id:
        log_id = checked(Uuid(), log_id, "detail.event.log_id")
    return Event(
        type=type_,
        timestamp=_timestamp(record.get(TIME_FIELD)),
        id=("eventbridge", checked(Uuid(), own_id, "id")),
        log_id=("eventbridge-log", log_id) if log_id else None,
        duplicate_of=("apilog", log_id) if log_id else None,
        **content_of(type_, call),
    )


def _timestamp(text: object) -> int:
    try:
        time = datetime.fromisoformat(as_text(text))
    except ValueError:
        raise ValidationError("must be a time such as 2026-05-19T02:22:58Z", TIME_FIELD) from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return int(checked(Timestamp(), int(time.timestamp()), TIME_FIELD))
