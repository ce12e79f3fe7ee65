"""Operations: health, readiness, metrics, API description, and an error for testing clients."""

from flask import Flask

from ..web.api import Api
from ..web.openapi import BASE_PATH
from .health import READINESS, blueprint, health
from .readiness import Readiness


def init_app(app: Flask, api: Api) -> None:
    """Register the operation of the tag `error`, and the health checks."""
    api.register_blueprint(blueprint, url_prefix=BASE_PATH)
    READINESS.put(app, Readiness())
    app.register_blueprint(health)
