"""saasus-analysis: a self-hosted server for the SaaSus Analysis API.

Importing the package loads nothing else, because pytest imports it for the plugin in every run.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from .days import Clock

__version__ = "0.1.0"


def create_app(
    config: Mapping[str, object] | None = None, *, clock: "Clock | None" = None, **settings: object
) -> "Flask":
    """Return the WSGI application.

    Settings (see `config.Settings`) come from `config` and keywords, or else from the environment.
    `config` may also hold Flask's own configuration, such as TESTING. Raises StartError if a
    setting or the database cannot be used.
    """
    # These take 160 ms, which commands without an application save.
    from flask import Flask

    from . import dashboard
    from .application import make_app
    from .auth import require_key, require_loopback
    from .config import load_settings
    from .maintenance import routes as retention
    from .storage.database import Database

    given = {**(config or {}), **settings}
    flask_config = {name: given.pop(name) for name in given.keys() & Flask.default_config.keys()}
    values = load_settings({name.lower(): value for name, value in given.items()}, os.environ)
    guard = require_key if values.auth else require_loopback
    database = Database.open(values, clock, create=True, migrate=True)
    database.enter_server()
    app = make_app(values, database, guard, [retention])
    if values.dashboard:
        dashboard.init_app(app)
    app.config.update(flask_config)
    return app
