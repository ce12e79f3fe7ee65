"""The shapes of the records in an export. Dates load as in the API."""

from ..analytics.events import SOURCES, TYPES, USER_TYPES
from ..days import PERIODS
from ..storage.event_ids import SIZE
from ..validation.fields import (
    Choice,
    Day,
    Digest,
    Id,
    Integer,
    PeriodDate,
    Referer,
    Text,
    Timestamp,
    Uuid,
)
from ..validation.schema import Schema

MAX_CALLS = 10**12
"""The most calls of a day and tenant; sums and later additions still fit 63 bits."""


class Head(Schema):
    """The first line of NDJSON: the version of the format, and the time zone of its dates."""

    version = Integer(required=True)
    time_zone = Text(required=True)


class History(Schema):
    timestamp = Timestamp(required=True)
    user_id = Uuid(required=True)
    referer = Referer(required=True)


class Call(Schema):
    type = Choice(TYPES, required=True)
    date = Day(required=True)
    tenant_id = Uuid(required=True)
    count = Integer(least=1, most=MAX_CALLS, required=True)


class UserCall(Schema):
    """The calls of one user in a day and tenant."""

    type = Choice(USER_TYPES, required=True)
    date = Day(required=True)
    tenant_id = Uuid(required=True)
    user_id = Uuid(required=True)
    count = Integer(least=1, most=MAX_CALLS, required=True)


class ActiveUser(Schema):
    """One user who was active in a day or month."""

    type = Choice(tuple(PERIODS), required=True)
    date = PeriodDate(required=True)
    tenant_id = Uuid(required=True)
    env_id = Id(required=True)
    user_id = Uuid(required=True)


class EventId(Schema):
    digest = Digest(SIZE, required=True)
    date = Day(required=True)


class EventIdInClear(Schema):
    """An event id in the format of older versions, which exported it without hashing."""

    source = Choice(SOURCES, required=True)
    id = Text(required=True)
    date = Day(required=True)
