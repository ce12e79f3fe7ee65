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

blueprint = Blueprint("error", __name__, description="Errors to test clients with")
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
    """Tell that the process is up."""
    return make_answer({"status": "ok"})


@health.get("/robots.txt")
@public
def robots() -> Response:
    """Tell search engines that nothing here is for them."""
    return Response("User-agent: *\nDisallow: /\n", mimetype="text/plain")


@health.get("/readyz")
@public
def readyz() -> Response:
    """Tell that a write to the database would work; 503 if not."""
    readiness = READINESS.current()
    readiness.check(current_database())
    return make_answer({"status": "ok"})
