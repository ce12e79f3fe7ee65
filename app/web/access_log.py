"""The access log: one line per request, without secrets."""

import logging
import time
from http import HTTPStatus

from flask import Flask, Response, g, request

from .client_address import client_address
from .request_target import redacted_target

logger = logging.getLogger("saasus_analysis.access")


def init_app(app: Flask) -> None:
    """Log each request of an application."""
    app.before_request(_start)
    app.after_request(_log)


def _start() -> None:
    g.started = time.perf_counter()


def _log(response: Response) -> Response:
    if not logger.isEnabledFor(logging.INFO) or response.status_code == HTTPStatus.CONTINUE:
        return response
    fields = {
        "address": str(client_address() or "-"),
        "method": request.method,
        "target": redacted_target(),
        "status": response.status_code,
        "milliseconds": round((time.perf_counter() - g.started) * 1000, 1) if "started" in g else 0,
        "key": g.get("key_name", "-"),
    }
    logger.info(
        "%(address)s %(method)s %(target)s %(status)s %(milliseconds)sms key=%(key)s",
        fields,
        extra={"request": fields},
    )
    return response
