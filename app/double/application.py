"""The application of a double."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from flask import Flask

from ..application import make_app
from ..config import Settings
from ..errors import InvalidRequest, StartError
from ..server import Server, listen
from ..storage.database import SWITCHED
from ..storage.fixed_settings import FIXED
from ..validation.strict_json import parse_json
from ..web.context import DATABASE, SETTINGS
from . import control_api, middleware
from .memory_database import MemoryDatabase, blank
from .namespaces import Namespaces
from .state import make_snapshot


def make_double(settings: Settings, seed: Any = None) -> Flask:
    """Return the WSGI application of a double whose namespaces start from a seed.

    The seed is a state or a list of events; if it is None, the settings may name one. Raises
    StartError if it is invalid.
    """
    if seed is None and settings.double_seed:
        seed = read_seed(settings.double_seed)
    fixed = {}
    for name, default in FIXED.items():
        value = getattr(settings, name)
        fixed[name] = SWITCHED.get(value, value) or default
    empty = blank(**fixed)
    try:
        image = empty if seed is None else make_snapshot(seed, fixed)
    except InvalidRequest as error:
        raise StartError(f"the seed: {error.description}") from None
    # This database has the keys, which are shared by all namespaces.
    database = MemoryDatabase(empty, middleware.CurrentClock())
    settings = replace(settings, metrics="off", rate_limit=None, failed_keys=None)
    app = make_app(settings, database, middleware.make_guard(settings))
    # No limit by operation: the journal records requests with larger bodies, too.
    app.config["LIMIT_BY_VIEW"] = False
    accepted: dict[str, Any] = {
        "accept_ahead": settings.accept_ahead,
        "accept_from": settings.accept_from,
    }
    middleware.init_app(app, Namespaces(image, settings.double_namespaces, **accepted))
    control_api.init_app(app, fixed)
    return app


def serve(app: Flask) -> Server:
    """Return a server for a double that listens at the address in its settings."""
    settings = SETTINGS.of(app)
    loopback_for = None if settings.double_remote else "without --remote"
    return Server(app, listen(settings.host, settings.port, loopback_for), settings)


def close(app: Flask) -> None:
    """Release all resources of a double."""
    middleware.NAMESPACES.of(app).close()
    DATABASE.of(app).close()


def read_seed(text: str) -> Any:
    """Parse a seed: JSON (a state or a list of events) or NDJSON (events).

    `text` is the seed itself or the path of a file with it. Raises StartError.
    """
    if not text.lstrip().startswith(("{", "[")):
        try:
            text = Path(text).read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise StartError(f"the seed {text} cannot be read: {error}") from None
    try:
        return parse_json(text, "the seed")
    except InvalidRequest as error:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            first, *others = (parse_json(line) for line in lines)
        except (InvalidRequest, ValueError):
            raise StartError(str(error.description)) from None
        return [first, *others]
