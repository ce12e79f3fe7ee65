"""The control API, below `/__double`."""

from typing import Any

from flask import Flask, Response, g

from .. import __version__
from ..auth import keys, public
from ..days import MAX_TIMESTAMP
from ..errors import InvalidRequest, NotFound, VerificationFailed
from ..ingest.schemas import one_or_many
from ..web import api
from ..web.api import make_answer
from ..web.context import DATABASE, Extension, current_settings
from ..web.request_body import read_json
from . import schemas
from .clock import ClockSetting
from .middleware import CONTROL, current_namespaces, of_all
from .namespaces import Namespace
from .schemas import NAME, is_name, load
from .state import add_to_snapshot, make_snapshot, read_state, write_state

FIXED_SETTINGS = Extension[dict[str, str]]("fixed")

DESCRIPTION = """\
Controls a test double. Operations apply to the namespace that the request names: by `/ns/NAME` at
the start of the path, by the header `X-Double-Namespace`, or by a token or API key `ns-NAME`.
"""


class Blueprint(api.Blueprint):
    reasons = {
        400: "A parameter or the body is invalid; nothing was changed",
        404: "Nothing with this name exists",
        413: "The body is too large",
        415: "The type or encoding of the body is not supported",
        500: "Internal Server Error",
    }


blueprint = Blueprint("double", __name__, description="The double")


def init_app(app: Flask, fixed: dict[str, str]) -> None:
    """Register the control API; `fixed` are the settings of states that name none."""
    FIXED_SETTINGS.put(app, fixed)
    described = api.Api(
        app,
        CONTROL,
        config_prefix="DOUBLE",
        title="The control API of a SaaSus Analysis API double",
        info={"description": DESCRIPTION},
    )
    described.register_blueprint(blueprint, url_prefix=CONTROL)

    @app.get(f"{CONTROL}/openapi.json")
    @public
    @of_all
    def double_openapi() -> Response:
        return make_answer(described.describe())


@of_all
@blueprint.operation("GET", "/health", "GetHealth", scope=None)
@blueprint.response(200, schemas.Health)
def get_health() -> dict[str, Any]:
    """Report that the double is running"""
    settings = current_settings()
    return {
        "status": "ok",
        "version": __version__,
        "namespaces": len(current_namespaces().names()),
        "auth": settings.double_auth,
    }


@blueprint.operation("POST", "/reset", "Reset", scope=None)
@blueprint.response(200)
def reset() -> None:
    """Restore the seed, remove all faults, and clear the journal"""
    _namespace().reset()


@blueprint.operation("PUT", "/seed", "PutSeed", scope=None, bulk=True)
@blueprint.body({"application/json": schemas.State})
@blueprint.response(200)
def put_seed() -> None:
    """Set the seed to a state or a list of events, and reset to it"""
    _namespace().seed = make_snapshot(read_json(), FIXED_SETTINGS.current())
    _namespace().reset()


@blueprint.operation("GET", "/state", "GetState", scope=None)
@blueprint.response(200, schemas.State)
def get_state() -> str:
    """Get all data of the namespace as one document"""
    return write_state(read_state(_namespace().database))


@blueprint.operation("PUT", "/state", "PutState", scope=None, bulk=True)
@blueprint.body({"application/json": schemas.State})
@blueprint.response(200)
def put_state() -> None:
    """Replace all data by a state or a list of events"""
    image = make_snapshot(read_json(), FIXED_SETTINGS.current())
    _namespace().database.restore(image)


@blueprint.operation("POST", "/state", "AddState", scope=None, bulk=True)
@blueprint.body({"application/json": schemas.State})
@blueprint.response(200)
def add_state() -> None:
    """Add a state or a list of events to the existing data"""
    database = _namespace().database
    database.restore(add_to_snapshot(database.capture(), read_json()))


@blueprint.operation("POST", "/snapshots/<name>", "SaveSnapshot", scope=None)
@blueprint.response(200)
def save_snapshot(name: str) -> None:
    """Save all data as a snapshot"""
    if not is_name(name):
        raise InvalidRequest(f"name: must match {NAME}")
    _namespace().save(name)


@blueprint.operation("POST", "/snapshots/<name>/restore", "RestoreSnapshot", scope=None)
@blueprint.response(200)
def restore_snapshot(name: str) -> None:
    """Restore all data from a snapshot"""
    _namespace().database.restore(_namespace().snapshot(name))


@blueprint.operation("DELETE", "/snapshots/<name>", "DeleteSnapshot", scope=None)
@blueprint.response(200)
def delete_snapshot(name: str) -> None:
    """Delete a snapshot"""
    _namespace().snapshot(name)
    del _namespace().snapshots[name]


@blueprint.operation("GET", "/clock", "GetClock", scope=None)
@blueprint.response(200, schemas.Clock)
def get_clock() -> dict[str, Any]:
    """Get the setting and the time of the clock"""
    return _clock()


@blueprint.operation("PUT", "/clock", "PutClock", scope=None)
@blueprint.arguments(schemas.ClockParam)
@blueprint.response(200, schemas.Clock)
def put_clock(body: dict[str, Any]) -> dict[str, Any]:
    """Freeze the clock, move it, run it with an offset, or return to real time"""
    clock = _namespace().database.clock
    setting: ClockSetting = body["setting"](clock.setting)
    if not 0 <= setting.now() <= MAX_TIMESTAMP:
        raise InvalidRequest(f"the time of the clock must be from 0 to {MAX_TIMESTAMP}")
    clock.setting = setting
    return _clock()


@blueprint.operation("GET", "/faults", "GetFaults", scope=None)
@blueprint.response(200, schemas.Faults)
def get_faults() -> dict[str, Any]:
    """Get the faults, with the number of times each was applied"""
    return {"faults": _namespace().faults.shown()}


@blueprint.operation("POST", "/faults", "AddFaults", scope=None, bulk=True)
@blueprint.body({"application/json": one_or_many(schemas.Fault)})
@blueprint.response(200, schemas.Faults)
def add_faults() -> dict[str, Any]:
    """Add a fault, or a list of them"""
    body = read_json()
    if isinstance(body, list):
        loaded = [load(schemas.Fault, one, f"[{index}]") for index, one in enumerate(body)]
    else:
        loaded = [load(schemas.Fault, body)]
    return {"faults": _namespace().faults.add(loaded)}


@blueprint.operation("DELETE", "/faults", "ClearFaults", scope=None)
@blueprint.response(200)
def clear_faults() -> None:
    """Remove all faults"""
    _namespace().faults.clear()


@blueprint.operation("DELETE", "/faults/<int:fault_id>", "DeleteFault", scope=None)
@blueprint.response(200)
def delete_fault(fault_id: int) -> None:
    """Remove a fault"""
    if not _namespace().faults.remove(fault_id):
        raise NotFound(f"there is no fault {fault_id}")


@blueprint.operation("GET", "/requests", "GetRequests", scope=None)
@blueprint.arguments(schemas.RequestsQuery, location="query")
@blueprint.response(200, schemas.Requests)
def get_requests(query: dict[str, Any]) -> dict[str, Any]:
    """Get the requests in the journal, oldest first"""
    journal = _namespace().journal
    found = [entry.document() for entry in journal.select(**query)]
    return {"requests": found, "dropped": journal.dropped}


@blueprint.operation("GET", "/requests/count", "CountRequests", scope=None)
@blueprint.arguments(schemas.RequestsQuery, location="query")
@blueprint.response(200, schemas.Count)
def count_requests(query: dict[str, Any]) -> dict[str, Any]:
    """Count the requests in the journal"""
    return {"count": len(_namespace().journal.select(**query))}


@blueprint.operation("DELETE", "/requests", "ClearRequests", scope=None)
@blueprint.response(200)
def clear_requests() -> None:
    """Clear the journal"""
    _namespace().journal.clear()


@blueprint.operation("POST", "/verify", "Verify", scope=None, bulk=True)
@blueprint.arguments(schemas.Expected)
@blueprint.alt_response(409, schema=api.Error, description="The request was not sent as expected")
@blueprint.response(200)
def verify(expected: dict[str, Any]) -> None:
    """Check how often a request was sent; a 409 says what was sent instead"""
    try:
        failure = _namespace().journal.verify(expected)
    except RecursionError:
        raise InvalidRequest("body: is nested too deeply to be compared") from None
    if failure:
        raise VerificationFailed(failure)


@of_all
@blueprint.operation("GET", "/namespaces", "GetNamespaces", scope=None)
@blueprint.response(200, schemas.Namespaces)
def get_namespaces() -> dict[str, Any]:
    """Get the names of the existing namespaces"""
    return {"namespaces": current_namespaces().names(), "limit": current_namespaces().limit}


@of_all
@blueprint.operation("DELETE", "/namespaces/<name>", "DeleteNamespace", scope=None)
@blueprint.response(200)
def delete_namespace(name: str) -> None:
    """Delete a namespace and everything in it"""
    current_namespaces().delete(name)


@blueprint.operation("POST", "/keys", "CreateKey", scope=None)
@blueprint.arguments(schemas.KeyParam)
@blueprint.response(200, schemas.Key)
def create_key(body: dict[str, Any]) -> dict[str, str]:
    """Create a key, for a double that checks keys; all namespaces accept it, also after resets"""
    database = DATABASE.current()
    kind, name, scopes = body["kind"], body["name"], tuple(body["scopes"])
    try:
        if kind == "signature":
            return keys.create_signature_key(database, name=name, scopes=scopes)
        return {"token": keys.create_bearer_key(database, name=name, scopes=scopes)}
    except keys.NameTaken:
        raise InvalidRequest(f"name: there is already a key {name}") from None


def _clock() -> dict[str, Any]:
    clock = _namespace().database.clock
    return {**clock.setting.document(), "now": clock.now()}


def _namespace() -> Namespace:
    namespace: Namespace = g.namespace
    return namespace
