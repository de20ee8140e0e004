"""Middleware: request ids and metrics; errors in the format that the client expects."""

import logging
import re
import time
import uuid
from collections.abc import Callable

from csp.utils import build_policy
from django.conf import settings
from django.db import InterfaceError, OperationalError, connections
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.http.request import split_domain_port
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers

from core import failures, health, release
from core.errors import error_response, is_api
from core.logs import request_id
from core.postgresql.base import Usage

logger = logging.getLogger("request")

GetResponse = Callable[[HttpRequest], HttpResponse]

# What nginx's $request_id and other proxies send. Other values could inject text into the logs.
VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


class RequestLogMiddleware:
    """Gives each request an id (X-Request-ID, from the client or new), and nginx what its log line can't know.

    nginx logs each request, once, with the id (docker/proxy/nginx.conf). X-App-Metrics has the figures for that line;
    nginx removes the header from the response. Here only a slow request is logged. Neither line has a query string, a
    header or a body: those may hold secrets.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        failures.connect()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        token = request_id.set(given if VALID_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex)
        usage = Usage()
        for database in connections.all():  # core.postgresql's
            database.usage = usage  # type: ignore[attr-defined]
        started = time.perf_counter()
        try:
            response = self.get_response(request)
            response["X-Request-ID"] = request_id.get()
            if request.path not in health.PATHS:
                self._measure(request, response, usage, time.perf_counter() - started)
        finally:
            request_id.reset(token)
        return response

    def _measure(self, request: HttpRequest, response: HttpResponse, usage: Usage, seconds: float) -> None:
        # Only if the user is loaded already: the log makes no query.
        user = getattr(request, "_cached_user", None)
        user_id = user.pk if user else None
        database_ms = round(usage.seconds * 1000, 1)
        response["X-App-Metrics"] = (
            f"user={user_id or ''} queries={usage.statements} database_ms={database_ms} "
            f"release={release.VERSION}@{release.STARTED}"
        )
        if failure := getattr(request, "failure", ""):
            response["X-App-Metrics"] += f" failure={failure}"
        if seconds >= settings.SLOW_REQUEST_SECONDS:
            fields = {
                "method": request.method,
                "path": request.path,
                "status": response.status_code,
                "duration_ms": round(seconds * 1000, 1),
                "user_id": user_id,
                "queries": usage.statements,
                "database_ms": database_ms,
            }
            logger.warning("slow request: %s %s", request.method, request.path, extra={"fields": fields})


class ContentSecurityPolicyMiddleware:
    """Adds the policy of CONTENT_SECURITY_POLICY, which django-csp makes into a header: once, not for each response.

    Its own middleware is for policies that differ between views or have a nonce. Ours do not.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.policy = build_policy()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not (settings.DEBUG and response.status_code in (404, 500)):  # Django's debug pages have inline styles
            response.headers.setdefault("Content-Security-Policy", self.policy)
        return response


class HttpsPortMiddleware:
    """Redirects plain http to the public https port; Django would keep the port of the http request."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not settings.SECURE_SSL_REDIRECT or request.is_secure():
            return self.get_response(request)
        host, _ = split_domain_port(request.get_host())
        port = "" if settings.PUBLIC_HTTPS_PORT == 443 else f":{settings.PUBLIC_HTTPS_PORT}"
        return HttpResponsePermanentRedirect(f"https://{host}{port}{request.get_full_path()}")


class DatabaseUnavailableMiddleware:
    """Returns 503 with Retry-After, not 500, while the database is unavailable."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Handle the errors of a lost, refused or timed out database connection."""
        if not isinstance(error, (OperationalError, InterfaceError)):
            return None
        logger.error("the database is unavailable", exc_info=error)
        failures.record(request, error)
        return HttpResponse(render_to_string("503.html"), status=503, headers={"Retry-After": "5"})


class ApiErrorMiddleware:
    """Gives every error under /api/ the API's format, also those that Django makes outside django-ninja:

    unknown paths, methods that are not allowed, CSRF failures, unknown hosts, oversized bodies, exceptions.
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
        # Django has logged the response that this one replaces.
        shaped._has_been_logged = True  # type: ignore[attr-defined]
        if "Vary" in response:
            patch_vary_headers(shaped, response["Vary"].split(", "))
        return shaped
