"""Logging in and out: /api/csrf and /api/session."""

from typing import Annotated, Any

from django.contrib.auth import authenticate, login, logout
from django.http import HttpRequest
from django.middleware.csrf import get_token
from ninja import Field, Router, Schema
from ninja.responses import Status
from ninja.throttling import AnonRateThrottle

from core.errors import error_response
from core.schemas import errors
from users.forms import TOO_MANY
from users.login_attempts import too_many
from users.models import User

router = Router(tags=["session"])

# By address, also for clients that are logged in: the operation has no authentication. Per worker (settings.CACHES);
# nginx limits the address exactly, on the login page as well.
logging_in = AnonRateThrottle("10/m")


class CsrfOut(Schema):
    """The token for the X-CSRFToken header; it belongs to the csrftoken cookie of the same response."""

    csrf_token: str


class UserOut(Schema):
    """The logged-in user."""

    id: int
    email: str
    name: str

    @staticmethod
    def resolve_name(user: User) -> str:
        return user.public_name


class SessionOut(Schema):
    """The logged-in user, null for a guest, and the CSRF token: logging in and out changes it."""

    user: UserOut | None
    csrf_token: str


class Credentials(Schema):
    """E-mail address and password."""

    # PostgreSQL rejects a NUL in a query's parameters.
    email: Annotated[str, Field(min_length=1, max_length=254, pattern=r"^[^\x00]+$")]
    # Hashing is slow on purpose: a megabyte of password would block a worker.
    password: Annotated[str, Field(min_length=1, max_length=256)]


@router.get("csrf", response={200: CsrfOut, **errors()}, operation_id="csrf")
def csrf(request: HttpRequest) -> dict[str, str]:
    """Return a CSRF token, and set the cookie it is compared with."""
    return {"csrf_token": get_token(request)}


@router.get("session", response={200: SessionOut, **errors()}, operation_id="who_am_i")
def who_am_i(request: HttpRequest) -> dict[str, Any]:
    """Return the logged-in user."""
    return _session(request)


@router.post(
    "session",
    throttle=logging_in,
    response={200: SessionOut, **errors(400, 401, 403, 422, 429)},
    operation_id="log_in",
)
def log_in(request: HttpRequest, body: Credentials) -> Any:
    """Log in and set the session cookie."""
    user = authenticate(request, username=body.email, password=body.password)
    if user is None and too_many(body.email):
        return error_response(429, "too_many_requests", TOO_MANY)
    if user is None:
        return error_response(401, "wrong_credentials", "The e-mail address or the password is wrong.")
    login(request, user)
    return _session(request)


@router.delete("session", response={204: None, **errors(403)}, operation_id="log_out")
def log_out(request: HttpRequest) -> Status[None]:
    """Log out; a guest gets the same response."""
    logout(request)
    return Status(204, None)


def _session(request: HttpRequest) -> dict[str, Any]:
    return {"user": request.user if request.user.is_authenticated else None, "csrf_token": get_token(request)}
