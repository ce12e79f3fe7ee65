"""States: all data of a namespace as one document, which can be written and read.

A state contains records that could have been sent to the API: events in the format of `POST
/ingest/events`, histories by day in that of `PUT /user-behavior-day`, and numbers in that of `PUT
/active-users`. It contains the clock, too. Only days whose histories differ from those of the
events are written.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from marshmallow import ValidationError

from ..analytics import active_user_counts, histories
from ..analytics.event_reader import event_reader
from ..analytics.events import Event, Place, Report, events_stored
from ..analytics.export_rows import days_to_read, read_histories, read_put_numbers
from ..analytics.recording import record_events
from ..days import Calendar
from ..errors import InvalidRequest
from ..storage import double_events
from ..storage.dictionary import NO_TENANT
from ..storage.fixed_settings import FIXED, read_settings
from ..user_analysis.schemas import UpdateActiveUsersParam, UpdateUserBehaviorHistoriesByDayParam
from ..validation.messages import describe
from ..validation.records import TOLD, record_loader
from ..validation.schema import Schema
from . import schemas
from .clock import SettableClock
from .memory_database import MemoryDatabase, Snapshot, blank
from .schemas import load

VERSION = 1

NEEDS = {
    "userinfo": ("user_id",),
    "create_tenant": ("tenant_id",),
    "create_saas_user": (),
    "create_tenant_user": ("tenant_id",),
}
"""The required fields of the events of a state, by type: fewer than for fed events."""

Days = dict[tuple[str, int], list[dict[str, Any]]]
"""Histories by user and day."""


def read_state(database: MemoryDatabase) -> dict[str, Any]:
    """Return the state of a namespace. Shape: `State`."""
    with database.reading() as connection:
        fed = [json.loads(record) for record in double_events.read(connection)]
        days = days_to_read(database.calendar)
        stored = read_histories(connection, days)
        actual = _days(database.calendar, ((user, at, referer) for at, user, referer in stored))
        numbers = list(read_put_numbers(connection, days))
        settings = read_settings(connection)
    expected = _days(database.calendar, _views(fed))
    return {
        "version": VERSION,
        "settings": {name: settings[name] for name in FIXED},
        "clock": database.clock.setting.document(),
        "events": fed,
        "histories": [
            {
                "user_id": user_id,
                "timestamp": database.calendar.day_start(day),
                "histories": actual.get((user_id, day), []),
            }
            for user_id, day in sorted(actual.keys() | expected.keys())
            if actual.get((user_id, day)) != expected.get((user_id, day))
        ],
        "active_users": [
            {
                "type": type_,
                "date": date,
                "tenant_id": tenant_id,
                "env_id": env_id,
                "active_users": put,
            }
            for type_, date, tenant_id, env_id, put in numbers
        ],
    }


def write_state(state: dict[str, Any]) -> str:
    """Return a state as JSON with a line for each record, for version control and diffs."""
    parts = []
    for name, value in state.items():
        text = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list) and value:
            records = (f"    {json.dumps(record, ensure_ascii=False)}" for record in value)
            text = "[\n" + ",\n".join(records) + "\n  ]"
        parts.append(f'  "{name}": {text}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def make_snapshot(document: Any, settings: dict[str, str]) -> Snapshot:
    """Return a snapshot with the data of a state, or of a list of events.

    `settings` has a value for each of `migrations.FIXED`; those of the state take precedence.
    Raises InvalidRequest, which names the place of each error.
    """
    state = _load_state(document)
    return _apply(state, blank(**settings | state.get("settings", {})))


def add_to_snapshot(image: Snapshot, document: Any) -> Snapshot:
    """Return a snapshot with the data of a state, or of a list of events, added to it.

    Raises InvalidRequest, as `make_snapshot` does.
    """
    state = _load_state(document)
    if "settings" in state:
        raise InvalidRequest("settings: cannot be changed when a state is added")
    return _apply(state, image)


def _load_state(document: Any) -> dict[str, Any]:
    return load(schemas.State, {"events": document} if isinstance(document, list) else document)


def _apply(state: dict[str, Any], image: Snapshot) -> Snapshot:
    clock = SettableClock()
    database = MemoryDatabase(image, clock)
    try:
        clock.setting = state.get("clock", clock.setting)
        _feed(database, state.get("events", []))
        _put(
            database,
            "histories",
            state.get("histories", []),
            UpdateUserBehaviorHistoriesByDayParam,
            histories.update_user_behavior_histories_by_day,
        )
        _put(
            database,
            "active_users",
            state.get("active_users", []),
            UpdateActiveUsersParam,
            active_user_counts.update_active_users,
        )
        return database.capture()
    finally:
        database.close()


@events_stored.connect
def keep_events(
    database: object, *, connection: sqlite3.Connection, events: Sequence[Event]
) -> None:
    """Keep the events that a double stores as records of a state, in the same transaction."""
    if isinstance(database, MemoryDatabase):
        records = (json.dumps(_record(event), ensure_ascii=False) for event in events)
        double_events.keep(connection, records)


def _views(records: list[dict[str, Any]]) -> list[tuple[str, int, str]]:
    """Return user, timestamp and referer of the history entries of events, in stored order."""
    views = [
        (record["user_id"], record["timestamp"], record["referer"])
        for record in records
        if record["type"] == "userinfo" and record.get("referer")
    ]
    return sorted(views, key=lambda view: view[:2])


def _days(calendar: Calendar, views: Iterable[tuple[str, int, str]]) -> Days:
    days: defaultdict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for user_id, timestamp, referer in views:
        entry = {"timestamp": timestamp, "referer": referer}
        days[user_id, calendar.day_of(timestamp)].append(entry)
    return dict(days)


def _record(event: Event) -> dict[str, Any]:
    """Return an event as a record of a state: the fields of a fed event and `schemas.KeptEvent`."""
    (tenant_id, env_ids), *more = event.places or (Place(),)
    record: dict[str, Any] = {
        "type": event.type,
        "timestamp": event.timestamp,
        "user_id": event.user_id,
        "tenant_id": tenant_id if tenant_id != NO_TENANT else None,
        "env_id": env_ids[0] if env_ids else None,
        "referer": event.referer,
    }
    if more or len(env_ids) > 1:
        places = [
            {"tenant_id": place.tenant_id, "env_ids": place.env_ids} for place in event.places
        ]
        record |= {"tenant_id": None, "env_id": None, "places": places}
    if event.id:
        source, record["id"] = event.id
        record["source"] = source if source != "client" else None
    if event.log_id:
        record["log_id"] = event.log_id[1]
    return {name: value for name, value in record.items() if value is not None}


def _reader(now: Callable[[], int]) -> Callable[[Any], Event]:
    """Return the reader of the events of a state."""
    read_event = event_reader(now, NEEDS)
    load_kept = record_loader(schemas.KeptEvent)

    def read(record: Any) -> Event:
        event, kept = read_event(record), load_kept(record)
        if "places" in kept:
            event = event._replace(places=kept["places"])
        if event.id and "source" in kept:
            log_id = ("eventbridge-log", kept["log_id"]) if "log_id" in kept else None
            event = event._replace(id=(kept["source"], event.id[1]), log_id=log_id)
        return event

    return read


def _feed(database: MemoryDatabase, records: list[Any]) -> None:
    read = _reader(database.clock.now)
    events, violations = [], []
    for index, record in enumerate(records):
        try:
            events.append(read(record))
        except ValidationError as error:
            violations += describe(error, f"events[{index}]")
            if len(violations) >= TOLD:
                break
    if violations:
        raise InvalidRequest(*violations)
    record_events(database, events, Report())


def _put(
    database: MemoryDatabase,
    name: str,
    records: list[Any],
    schema: type[Schema],
    put: Callable[..., None],
) -> None:
    violations: list[str] = []
    for index, record in enumerate(records):
        if len(violations) >= TOLD:
            break
        place = f"{name}[{index}]"
        try:
            loaded = load(schema, record, place)
        except InvalidRequest as error:
            violations += error.violations
            continue
        try:
            put(database, **loaded)
        except InvalidRequest as error:
            violations += (f"{place}.{violation}" for violation in error.violations)
    if violations:
        raise InvalidRequest(*violations)
