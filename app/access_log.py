"""The access log: one line a request, without anything secret."""

import logging
import time

from flask import Flask, Response, g, request

from .api import request_target

logger = logging.getLogger("saasus_analysis.access")


def init_app(app: Flask) -> None:
    """Log each request of an application."""
    app.before_request(_start)
    app.after_request(_log)


def _start() -> None:
    g.started = time.perf_counter()


def _log(response: Response) -> Response:
    if not logger.isEnabledFor(logging.INFO):
        return response
    logger.info(
        "%s %s %s %s %.1fms key=%s trace=%s",
        request.remote_addr,
        request.method,
        # Raw targets hold no spaces, but some servers let other bytes through.
        ascii(request_target())[1:-1],
        response.status_code,
        (time.perf_counter() - g.started) * 1000 if "started" in g else 0,
        g.get("key_name", "-"),
        response.headers.get("X-Saasus-Trace-Id"),
    )
    return response
