"""What happens to every request: an id and a line in the log; errors in the shape that the client expects."""

import logging
import re
import time
import uuid
from collections.abc import Callable

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers

from core import health
from core.errors import error_response, is_api
from core.logs import request_id

logger = logging.getLogger("request")

GetResponse = Callable[[HttpRequest], HttpResponse]

# What nginx's $request_id and other proxies send. Anything else could smuggle text into the logs.
SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


class RequestLogMiddleware:
    """Names each request (X-Request-ID, taken over or made) and logs one line about it.

    The line has the path but no query string, header or body: those may hold what nobody should read.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        token = request_id.set(given if SANE_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex)
        started = time.perf_counter()
        try:
            response = self.get_response(request)
            response["X-Request-ID"] = request_id.get()
            self._log(request, response, time.perf_counter() - started)
        finally:
            request_id.reset(token)
        return response

    def _log(self, request: HttpRequest, response: HttpResponse, seconds: float) -> None:
        if request.path in health.PATHS and response.status_code == 200:
            return  # a line every few seconds that says nothing
        fields = {
            "method": request.method,
            "path": request.path,
            "status": response.status_code,
            "duration_ms": round(seconds * 1000, 1),
            "user_id": self._user_id(request),
        }
        logger.info("%s %s %s", request.method, request.path, response.status_code, extra={"fields": fields})

    def _user_id(self, request: HttpRequest) -> int | None:
        # Only a user that something has loaded already: a log line is no reason to ask the database.
        user = getattr(request, "_cached_user", None)
        return user.pk if user else None


class DatabaseAwayMiddleware:
    """Says "try again soon" (503) instead of "we are broken" (500) while the database doesn't answer."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Takes what Django raises for a lost, refused or timed out database connection."""
        if not isinstance(error, (OperationalError, InterfaceError)):
            return None
        logger.error("the database doesn't answer", exc_info=error)
        return HttpResponse(render_to_string("503.html"), status=503, headers={"Retry-After": "5"})


class ApiErrorMiddleware:
    """Gives every error under /api/ the API's shape, also those that Django makes before or after django-ninja.

    Those are: unknown paths, methods that a path doesn't have, CSRF failures, unknown hosts, oversized bodies, crashes.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code < 400 or not is_api(request) or response["Content-Type"].startswith("application/json"):
            return response
        shaped = error_response(response.status_code)
        for header in ("Allow", "Retry-After"):
            if header in response:
                shaped[header] = response[header]
        shaped.cookies = response.cookies
        # Django logged the response that this one replaces.
        shaped._has_been_logged = True  # type: ignore[attr-defined]
        if "Vary" in response:
            patch_vary_headers(shaped, response["Vary"].split(", "))
        return shaped
