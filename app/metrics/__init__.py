"""Counts of calls and creations, and page statistics."""

from flask import Flask

from ..web.api import Api
from ..web.openapi import BASE_PATH
from .routes import blueprint


def init_app(_app: Flask, api: Api) -> None:
    """Register the operations of the tag `metrics`."""
    api.register_blueprint(blueprint, url_prefix=BASE_PATH)
