"""The operations of the tag `ingest`."""

from typing import Any

from ..analytics import event_reader
from ..web.api import Blueprint
from ..web.context import current_database
from ..web.request_body import JSON, NDJSON
from . import apilog, eventbridge, schemas
from .intake import flat, one_or_list, one_or_list_or_lines, take_in

blueprint = Blueprint("ingest", __name__, description="Ingestion of events")


@blueprint.operation("POST", "/ingest/events", "IngestEvents", scope="ingest", bulk=True)
@blueprint.arguments(schemas.IngestQuery, location="query")
@blueprint.body(
    {
        JSON: schemas.one_or_many(schemas.event_schema()),
        NDJSON: {"type": "string", "description": "An Event as JSON on each line"},
    }
)
@blueprint.response(200, schemas.IngestReport)
def ingest_events(query: dict[str, Any]) -> dict[str, Any]:
    """Ingest events: one, a list, or one per line"""
    database = current_database()
    read = event_reader.event_reader(database.clock.now)
    return take_in(database, one_or_list_or_lines(), read, **query)


@blueprint.operation("POST", "/ingest/eventbridge", "IngestEventBridge", scope="ingest", bulk=True)
@blueprint.arguments(schemas.IngestQuery, location="query")
@blueprint.body({JSON: schemas.one_or_many(schemas.EventBridgeEvent)})
@blueprint.response(200, schemas.IngestReport)
def ingest_eventbridge(query: dict[str, Any]) -> dict[str, Any]:
    """Ingest EventBridge events of the platform: one or a list"""
    read, field = eventbridge.read_eventbridge, eventbridge.TIME_FIELD
    return take_in(current_database(), one_or_list(), read, time_field=field, **query)


@blueprint.operation("POST", "/ingest/apilog", "IngestApilog", scope="ingest", bulk=True)
@blueprint.arguments(schemas.IngestQuery, location="query")
@blueprint.body({JSON: schemas.one_or_many(schemas.ApilogPage)})
@blueprint.response(200, schemas.IngestReport)
def ingest_apilog(query: dict[str, Any]) -> dict[str, Any]:
    """Ingest pages of the platform's Apilog API: one or a list"""
    logs = flat(one_or_list(), apilog.logs_of)
    read, field = apilog.read_apilog, apilog.TIME_FIELD
    return take_in(current_database(), logs, read, time_field=field, **query)
