"""Errors of the API, all in one format: {"error": {"code": …, "message": …, "request_id": …}}.

`code` is for programs and stable, `message` is for people, `request_id` finds the log lines.
"""

from http import HTTPStatus

from django.http import HttpRequest, JsonResponse

from core.logs import request_id

# The default code and message of each status.
MESSAGES = {
    400: ("bad_request", "The request is malformed: send valid JSON and headers."),
    401: ("not_logged_in", "Log in first: POST /api/session."),
    403: ("csrf_failed", "The CSRF token is missing or wrong: get one from /api/csrf and send it as X-CSRFToken."),
    404: ("not_found", "No such path: see /api/openapi.json."),
    405: ("method_not_allowed", "This path doesn't allow the method: see the Allow header."),
    413: ("too_large", "The request's body is too large."),
    422: ("invalid", "The request's values are not valid."),
    429: ("too_many_requests", "Too many requests: wait the seconds of the Retry-After header."),
    500: ("internal_error", "Internal error: the server's log has it under this request id."),
    503: ("unavailable", "The database is unavailable: try again in a few seconds."),
}


def is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def error_response(status: int, code: str = "", message: str = "") -> JsonResponse:
    default_code, default_message = MESSAGES.get(status) or ("error", HTTPStatus(status).phrase)
    return JsonResponse(
        {
            "error": {
                "code": code or default_code,
                "message": message or default_message,
                "request_id": request_id.get(),
            }
        },
        status=status,
    )
