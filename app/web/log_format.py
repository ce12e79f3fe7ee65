"""The log: lines for people or JSON objects, each with the trace id of its request.

Others write into it as well, with paths as they were sent, so tokens of links are taken out here,
of all texts of a line.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime

from flask import g, has_request_context

from ..config import Settings, service_variables
from .request_target import without_tokens

logger = logging.getLogger("saasus_analysis.settings")


def configure(settings: Settings, level: int = logging.INFO) -> None:
    """Send the log of this process to standard error, in the form that is set.

    Begins it with the variables of the environment that were passed over.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler])
    if passed_over := service_variables(os.environ):
        logger.warning("passed over, as made for a service: %s", ", ".join(passed_over))


class TextFormatter(logging.Formatter):
    """A line a record: time, message and trace id. An exception's lines follow."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return without_tokens(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        return f"{super().formatMessage(record)} trace={_trace()}"


class JsonFormatter(logging.Formatter):
    """An object a line: time, level, logger, message, trace, and what the record has beside it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "trace": _trace(),
            **getattr(record, "request", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # Before they are JSON: what is taken out may be longer than a text.
        told = {
            name: without_tokens(value) if isinstance(value, str) else value
            for name, value in line.items()
        }
        return json.dumps(told, ensure_ascii=False)


def _trace() -> str:
    trace: str = g.get("trace_id", "-") if has_request_context() else "-"
    return trace
