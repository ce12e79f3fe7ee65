"""The application, put together."""

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from flask import Flask, request

from . import (
    access_log,
    api,
    auth,
    docs,
    ingest,
    metrics,
    monitoring,
    operations,
    security,
    user_analysis,
)
from .auth import Guard
from .config import Settings
from .database import Database
from .target import told_target


class Application(Flask):
    """A Flask application that logs no token of a link."""

    def log_exception(self, exc_info: Any) -> None:
        """Log an exception with the target as the access log has it."""
        self.logger.error("Exception on %s %s", request.method, told_target(), exc_info=exc_info)


def make_app(
    settings: Settings, database: Database, guard: Guard, more: Iterable[ModuleType] = ()
) -> Flask:
    """Return the WSGI application that answers from a database whatever a guard lets through.

    `more` are features beside those that every application has.
    """
    app = Application(__package__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=settings.max_body)
    app.extensions["settings"] = settings
    app.extensions["database"] = database
    access_log.init_app(app)
    described = api.init_app(app)
    security.init_app(app, settings)
    auth.init_app(app, settings, guard)
    monitoring.init_app(app, settings)
    for feature in (user_analysis, metrics, ingest, *more, operations, docs):
        feature.init_app(app, described)
    return app
