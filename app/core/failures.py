"""Exceptions that no code handled: grouped by type and place, for nginx to count and for Sentry.

nginx reads the group from X-App-Metrics (core.middleware), mtail counts it, and Prometheus alerts when it is a new one.
"""

import re
import sys
import traceback
from typing import Any

from django.conf import settings
from django.core.signals import got_request_exception
from django.db import Error
from django.http import HttpRequest

from core import sentry

# Every statement and every request passes through these: they are not where an error comes from.
PASSED_THROUGH = ("core.postgresql.base", "core.middleware", "core.health")
LONGEST = 100  # characters of a type or a place
# SQLSTATE of a server that can't be reached or accepts no connection now: an outage, which has alerts of its own.
OUTAGE = ("08", "53", "57P")


def group(error: BaseException) -> str:
    """TYPE@PLACE: the exception's class, and the function of ours in which it was raised.

    No line number: the group is the same after the next release. Of a database's error it is the driver's class, which
    says more (DeadlockDetected).
    """
    kind = type(error.__cause__ if isinstance(error, Error) and error.__cause__ else error)
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = [
        frame
        for frame in frames
        if frame.f_code.co_filename.startswith(str(settings.BASE_DIR))
        and frame.f_globals.get("__name__") not in PASSED_THROUGH
    ]
    frame = (own or frames or [sys._getframe()])[-1]
    place = _word(f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}")
    return f"{_word(kind.__qualname__)}@{place}"


def _word(text: str) -> str:
    """Letters that nginx takes over into its log without quotes."""
    return re.sub(r"[^\w.<>]", "_", text, flags=re.ASCII)[:LONGEST]


def is_outage(error: BaseException) -> bool:
    """Whether the database could not be reached, rather than refused a statement."""
    if not isinstance(error, Error):
        return False
    state = getattr(error.__cause__, "sqlstate", None)
    return state is None or state.startswith(OUTAGE)


def record(request: HttpRequest, error: BaseException) -> None:
    """Remember the group for this request's X-App-Metrics, and tell Sentry. An outage of the database is neither."""
    if is_outage(error):
        return
    request.failure = group(error)  # type: ignore[attr-defined]
    sentry.send(error, request.failure, request)  # type: ignore[attr-defined]


def unhandled(sender: object, request: HttpRequest, **_: Any) -> None:
    """A receiver of got_request_exception."""
    if error := sys.exception():
        record(request, error)


def connect() -> None:
    """Receive unhandled exceptions from now on."""
    got_request_exception.connect(unhandled, dispatch_uid="core.failures.unhandled")
