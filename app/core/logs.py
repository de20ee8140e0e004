"""Logs: one JSON object a line on stdout, each with the id of the request that caused it."""

import json
import logging
import logging.config
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

# The id of the request that this thread or task is serving; empty outside a request.
request_id: ContextVar[str] = ContextVar("request_id", default="")


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON.

    Beside the message it writes only what was handed over as `extra={"fields": {...}}`. Django's own extras (the
    request, the SQL parameters) stay out: what is never written can't leak a password or a session.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON; never fails on a value it doesn't know."""
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
        # ASCII only: a lone surrogate or a control character from a URL can't break the line or the stream's encoding.
        return json.dumps(line, default=str, ensure_ascii=True)


def logging_config() -> dict[str, Any]:
    """The configuration that Django and gunicorn share (`logging.config.dictConfig`)."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}},
        "root": {"handlers": ["stdout"], "level": "INFO"},
        "loggers": {
            # The request log has a line for every 4xx already; 5xx come with their traceback.
            "django.request": {"level": "ERROR"},
            # `runserver` prints its own line for a request: ours says more.
            "django.server": {"handlers": [], "level": "ERROR"},
            # gunicorn attaches handlers of its own otherwise, and its lines would come twice.
            "gunicorn.error": {"handlers": [], "level": "INFO", "propagate": True},
        },
    }


def configure(config: dict[str, Any]) -> None:
    """Installs our configuration alone, without Django's default handlers (they print text, and mail)."""
    logging.config.dictConfig(config)
    logging.captureWarnings(True)  # or Python prints them as text
