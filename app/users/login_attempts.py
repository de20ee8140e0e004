"""Failed logins: each is logged with account and reason, and an account takes only so many in a while.

The limit is per e-mail address, whether it has an account or not, so that it does not tell which have one. It counts in
each worker's cache (settings.CACHES): with three workers, up to three times as many attempts pass.
"""

import contextlib
import logging
from typing import Any

from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from users.models import User

logger = logging.getLogger(__name__)

ATTEMPTS = 10
SECONDS = 15 * 60


def digest(email: str) -> str:
    """What stands for an address in the log and in the cache: a password typed into the wrong field stays unknown."""
    return salted_hmac("users.login_attempts", email.lower(), algorithm="sha256").hexdigest()[:16]


def key(email: str) -> str:
    return f"login_attempts:{digest(email)}"


def too_many(email: str) -> bool:
    """Whether the address has failed too often; until SECONDS after the first failure."""
    return int(cache.get(key(email), 0)) >= ATTEMPTS


class LimitBackend:
    """The first of AUTHENTICATION_BACKENDS: refuses before a password is hashed, and accepts none."""

    def authenticate(self, request: HttpRequest | None, username: str = "", password: str = "") -> None:
        if username and too_many(username):
            raise PermissionDenied


def count_and_log(sender: object, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """A receiver of user_login_failed."""
    email = str(credentials.get("username") or "").lower()
    user = User.objects.filter(email=email).first() if email and "\x00" not in email else None
    if too_many(email):
        reason = "too_many_attempts"
    else:
        reason = "no_such_account" if user is None else "wrong_password" if user.is_active else "deactivated"
        cache.add(key(email), 0, SECONDS)
        with contextlib.suppress(ValueError):  # it expired in this instant
            cache.incr(key(email))
    fields = {
        "event": "login_failed",
        "account": user.pk if user else None,
        "address": digest(email),
        "reason": reason,
        "client": request.META.get("HTTP_X_FORWARDED_FOR", "") if request else "",
    }
    logger.warning("login failed: %s", reason, extra={"fields": fields})


def forget(sender: object, user: User, **_: Any) -> None:
    """A receiver of user_logged_in."""
    cache.delete(key(user.email))


def connect() -> None:
    """Register the receivers."""
    user_login_failed.connect(count_and_log, dispatch_uid="users.login_attempts.count_and_log")
    user_logged_in.connect(forget, dispatch_uid="users.login_attempts.forget")
