"""Pages of the platform's Apilog API (contract A, "Where the numbers come from")."""

from typing import Any

from ..analytics.events import Event
from ..validation.fields import Timestamp, Uuid
from .platform_calls import (
    Call,
    as_list,
    as_object,
    as_text,
    checked,
    content_of,
    succeeded,
    type_of,
)

TIME_FIELD = "created_at"


def logs_of(page: object) -> list[Any]:
    """Return the logs of a page. Raises ValidationError if the value is not a page."""
    return as_list(as_object(page, "_schema").get("api_logs"), "api_logs")


def read_apilog(record: Any) -> Event | None:
    """Return the event of one log, or None if the call is not counted, as most are not.

    Raises ValidationError if the record is malformed.
    """
    record = as_object(record, "_schema")
    uri = as_text(record.get("request_uri"))
    type_ = type_of(record.get("request_method"), uri)
    if type_ is None or not succeeded(record.get("response_status")):
        return None
    call = Call(
        place="",
        uri=uri,
        response_body=record.get("response_body"),
        referer=record.get("referer"),
    )
    log_id = record.get("api_log_id")
    if log_id:
        log_id = checked(Uuid(), log_id, "api_log_id")
    return Event(
        type=type_,
        timestamp=checked(Timestamp(), record.get(TIME_FIELD), TIME_FIELD),
        id=("apilog", log_id) if log_id else None,
        duplicate_of=("eventbridge-log", log_id) if log_id else None,
        **content_of(type_, call),
    )
