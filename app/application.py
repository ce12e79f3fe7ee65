"""The application, put together."""

from flask import Flask

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


def make_app(settings: Settings, database: Database, guard: Guard) -> Flask:
    """Return the WSGI application that answers from a database whatever a guard lets through."""
    app = Flask(__package__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=settings.max_body)
    app.extensions["settings"] = settings
    app.extensions["database"] = database
    access_log.init_app(app)
    described = api.init_app(app)
    security.init_app(app, settings)
    auth.init_app(app, settings, guard)
    monitoring.init_app(app, settings)
    for feature in (user_analysis, metrics, ingest, operations, docs):
        feature.init_app(app, described)
    return app
