"""Errors to Sentry, or a server that speaks its protocol, when SENTRY_DSN is set. Without personal data.

What is sent is a list (KEPT), not all that the SDK collects less what is known to be private: no message (PostgreSQL's
quote rows), no variable, no request, no address, no user. The request's id leads to the log, which has the rest.
"""

from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from core import release
from core.logs import request_id

KEPT = ("event_id", "timestamp", "platform", "level", "release", "environment", "sdk")
KEPT_OF_A_FRAME = ("module", "function", "filename", "lineno", "in_app", "context_line", "pre_context", "post_context")


@cache
def sdk() -> Any:
    """The SDK, started in this process at its first error: its thread would not survive gunicorn's fork."""
    import sentry_sdk

    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        release=release.VERSION,
        environment="production" if settings.SECURE_SSL_REDIRECT else "development",
        default_integrations=False,
        auto_enabling_integrations=False,
        auto_session_tracking=False,
        send_client_reports=False,
        include_local_variables=False,
        max_breadcrumbs=0,
        project_root=str(settings.BASE_DIR),
        before_send=without_personal_data,
    )
    return sentry_sdk


def send(error: BaseException, group: str, request: HttpRequest) -> None:
    """Queue the error; a thread sends it. Nothing without SENTRY_DSN."""
    if not settings.SENTRY_DSN:
        return
    with sdk().new_scope() as scope:
        scope.set_extra("group", group)
        # The pattern of the path: a path may hold a token.
        scope.set_extra("route", request.resolver_match.route if request.resolver_match else "")
        scope.set_extra("request_id", request_id.get())
        scope.capture_exception(error)


def without_personal_data(event: Any, _hint: object) -> Any:
    """The event with what KEPT names, types and places of the exceptions, and the tags that `send` gives."""
    extra = event.get("extra", {})
    exceptions = [
        {
            "type": one.get("type"),
            "module": one.get("module"),
            "stacktrace": {
                "frames": [
                    {name: frame[name] for name in KEPT_OF_A_FRAME if name in frame}
                    for frame in (one.get("stacktrace") or {}).get("frames", ())
                ]
            },
        }
        for one in event.get("exception", {}).get("values", ())
    ]
    return {
        **{name: event[name] for name in KEPT if name in event},
        "transaction": extra.get("route"),
        "fingerprint": [extra.get("group", "")],
        "tags": {"request_id": extra.get("request_id", "")},
        "exception": {"values": exceptions},
    }
