"""Behaviour histories of users, and daily and monthly active users."""

from flask import Flask

from ..web.api import Api
from ..web.openapi import BASE_PATH
from .routes import blueprint


def init_app(_app: Flask, api: Api) -> None:
    """Register the operations of the tag `userAnalysis`."""
    api.register_blueprint(blueprint, url_prefix=BASE_PATH)
