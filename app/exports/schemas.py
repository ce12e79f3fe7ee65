"""The shapes of the records of an export. Dates load as the fields of the API load them."""

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
"""Calls of a day and tenant: so few that what is added to them, and their sum, fits 63 bits."""


class Head(Schema):
    """The first line of NDJSON: what the dates behind it mean."""

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
    """How many of the calls of a day and tenant were one user's."""

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
    """An id of an event as older versions wrote it."""

    source = Choice(SOURCES, required=True)
    id = Text(required=True)
    date = Day(required=True)
