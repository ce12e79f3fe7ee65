"""The operation of the tag `error`, and the health checks, which need no key."""

from typing import NoReturn

import flask
from flask import Response

from ..auth import public
from ..errors import AlwaysFails
from ..web.api import Blueprint, make_answer
from ..web.context import Extension, current_database
from .readiness import Readiness

READINESS = Extension[Readiness]("readiness")

blueprint = Blueprint("error", __name__, description="Errors for testing clients")
health = flask.Blueprint("health", __name__)


@blueprint.operation(
    "GET", "/errors/internal-server-error", "ReturnInternalServerError", scope="read"
)
def return_internal_server_error() -> NoReturn:
    """Answer with an internal server error"""
    raise AlwaysFails("this operation always fails, so that clients can be tested against it")


@health.get("/healthz")
@public
def healthz() -> Response:
    """Answer that the process is up."""
    return make_answer({"status": "ok"})


@health.get("/robots.txt")
@public
def robots() -> Response:
    """Ask search engines to crawl nothing here."""
    return Response("User-agent: *\nDisallow: /\n", mimetype="text/plain")


@health.get("/readyz")
@public
def readyz() -> Response:
    """Answer whether a write to the database would succeed; 503 if not."""
    readiness = READINESS.current()
    readiness.check(current_database())
    return make_answer({"status": "ok"})
