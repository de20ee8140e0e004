"""The API under /api/: session cookies, CSRF tokens, JSON. Its schema is /api/openapi.json.

config.urls adds the routers. The documentation page is core.api_docs'.
"""

from typing import NoReturn

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from core.errors import error_response

api = NinjaAPI(
    title="Flag Learning",
    version="1.0.0",
    description=(
        "Play the daily flag challenge. Create an account at /accounts/signup/, delete it at /accounts/; log in with "
        "POST /api/session. "
        "Requests that change something need the token from GET /api/csrf in the X-CSRFToken header (and, over https, "
        "a Referer or Origin of this site). "
        "Every error has the shape of the schema Error."
    ),
    docs_url=None,
    urls_namespace="api",
)


@api.exception_handler(HttpError)
def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    return error_response(error.status_code)


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    problems = (f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors)
    return error_response(422, message="; ".join(problems))


@api.exception_handler(Exception)
def _crash(request: HttpRequest, error: Exception) -> NoReturn:
    # Django logs the traceback and ApiErrorMiddleware makes the response. With DEBUG, django-ninja's own handler would
    # put the traceback into the response.
    raise error


def api_urls() -> tuple[list[URLPattern | URLResolver], str, str]:
    """Return the API's routes with Django's CSRF check on: django-ninja exempts its views from it.

    django-ninja checks a token only where an operation has cookie authentication, hence not when logging in.
    """
    patterns, app_name, namespace = api.urls
    for pattern in patterns:
        pattern.callback.csrf_exempt = False  # type: ignore[union-attr]
    return patterns, app_name, namespace
