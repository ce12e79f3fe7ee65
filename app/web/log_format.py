"""The log: lines for people or JSON objects, each with the trace id of its request.

Libraries write to it too, with paths as they were sent. So the tokens of links are redacted here,
in every text of a line.
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
    """Send the log of this process to standard error, in the configured format.

    Its first line names the environment variables that were ignored, if there are any.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler])
    if passed_over := service_variables(os.environ):
        logger.warning("ignored, since they describe a service: %s", ", ".join(passed_over))


class TextFormatter(logging.Formatter):
    """One line per record: time, message and trace id. The lines of an exception follow."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return without_tokens(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        return f"{super().formatMessage(record)} trace={_trace()}"


class JsonFormatter(logging.Formatter):
    """One object per line: time, level, logger, message, trace, and the record's further fields."""

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
        # Redact before encoding as JSON: on the whole line, a redaction could extend past a text.
        told = {
            name: without_tokens(value) if isinstance(value, str) else value
            for name, value in line.items()
        }
        return json.dumps(told, ensure_ascii=False)


def _trace() -> str:
    trace: str = g.get("trace_id", "-") if has_request_context() else "-"
    return trace
