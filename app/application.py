"""Assembling the Flask application from its features."""

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from flask import Flask, request
from flask.typing import ResponseReturnValue

from . import auth, ingest, metrics, operations, user_analysis
from .auth import Guard
from .config import Settings
from .operations import api_docs, prometheus
from .storage.database import Database
from .web import access_log, api, body_memory, browser_security, early_refusal
from .web.context import DATABASE, SETTINGS
from .web.proxies import restore_request
from .web.request_body import is_pending
from .web.request_target import redacted_target, use_authority


class Application(Flask):
    """A Flask application that sees through proxies, can refuse early, and logs no tokens."""

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a request after undoing what proxies changed; see `Flask.__call__`."""
        use_authority(environ)
        restore_request(environ, SETTINGS.of(self))
        return super().__call__(environ, start_response)

    def dispatch_request(self) -> ResponseReturnValue:
        """Answer a request that every function before its view let through."""
        if is_pending() and request.routing_exception is None:
            answer = early_refusal.answer()
            if answer is not None:
                return answer
        return super().dispatch_request()

    def log_exception(self, exc_info: Any) -> None:
        """Log an exception with the request target redacted, as in the access log."""
        self.logger.error(
            "Exception on %s %s", request.method, redacted_target(), exc_info=exc_info
        )


def make_app(
    settings: Settings, database: Database, guard: Guard, more: Iterable[ModuleType] = ()
) -> Flask:
    """Return the WSGI application that serves a database behind a guard.

    `more` are features in addition to those that every application has.
    """
    app = Application(__package__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=settings.max_body, LIMIT_BY_VIEW=True)
    SETTINGS.put(app, settings)
    DATABASE.put(app, database)
    access_log.init_app(app)
    described = api.init_app(app)
    browser_security.init_app(app, settings)
    early_refusal.init_app(app)
    body_memory.init_app(app, settings)
    auth.init_app(app, settings, guard)
    prometheus.init_app(app, settings)
    for feature in (user_analysis, metrics, ingest, *more, operations, api_docs):
        feature.init_app(app, described)
    return app
