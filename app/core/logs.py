"""Logs on stdout: one JSON object per line, with the id of the request."""

import json
import logging
import logging.config
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

# The id of the request that this thread handles; empty outside a request.
request_id: ContextVar[str] = ContextVar("request_id", default="")


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON.

    Only `extra={"fields": {...}}` is added to the message. Django's own extras (the request, the SQL parameters) may
    hold a password or a session, and are not written.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id.get():
            line["request_id"] = request_id.get()
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # ASCII only: a lone surrogate or a control character in a URL would break the line or the stream's encoding.
        return json.dumps(line, default=str, ensure_ascii=True)


def logging_config() -> dict[str, Any]:
    """Return the configuration for `logging.config.dictConfig`; Django and gunicorn share it."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}},
        "root": {"handlers": ["stdout"], "level": "INFO"},
        "loggers": {
            # nginx logs each request; a 5xx comes with its traceback.
            "django.request": {"level": "ERROR"},
            # `runserver` would print a second line for each request.
            "django.server": {"handlers": [], "level": "ERROR"},
            # Otherwise gunicorn adds its own handlers, and each line appears twice.
            "gunicorn.error": {"handlers": [], "level": "INFO", "propagate": True},
        },
    }


def configure(config: dict[str, Any]) -> None:
    """Install this configuration without Django's default handlers, which print text and send mail."""
    logging.config.dictConfig(config)
    logging.captureWarnings(True)  # otherwise Python prints warnings as text
