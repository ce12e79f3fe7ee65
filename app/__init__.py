"""saasus-analysis: a self-hosted server for the SaaSus Analysis API."""

import os
from collections.abc import Mapping

from flask import Flask

from . import access_log, api, auth, docs, ingest, metrics, operations, user_analysis
from .config import load_settings
from .database import Database
from .days import Clock


def create_app(
    config: Mapping[str, object] | None = None, *, clock: Clock | None = None, **settings: object
) -> Flask:
    """Return the WSGI application.

    Settings (see `config.Settings`) come from `config`, from keywords, and for those not given
    there from the environment. Names of Flask's own configuration, such as TESTING, are taken in
    `config` too. Raises StartError if a setting or the database cannot be used.
    """
    given = {**(config or {}), **settings}
    flask_config = {name: given.pop(name) for name in given.keys() & Flask.default_config.keys()}
    values = load_settings({name.lower(): value for name, value in given.items()}, os.environ)

    app = Flask(__name__, static_folder=None)
    app.config.update(flask_config, MAX_CONTENT_LENGTH=values.max_body)
    app.extensions["settings"] = values
    app.extensions["database"] = Database.open(values, clock)
    access_log.init_app(app)
    described = api.init_app(app)
    auth.init_app(app, values)
    for feature in (user_analysis, metrics, ingest, operations, docs):
        feature.init_app(app, described)
    return app
