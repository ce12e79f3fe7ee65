"""Ingestion: our own events, EventBridge events and pages of the Apilog API."""

from flask import Flask

from ..web.api import Api
from ..web.openapi import BASE_PATH
from .routes import blueprint


def init_app(app: Flask, api: Api) -> None:
    """Register the operations of the tag `ingest`, also at `/ingest/…` on the server's root."""
    api.register_blueprint(blueprint, url_prefix=BASE_PATH)
    app.register_blueprint(blueprint, name="ingest_at_root")
