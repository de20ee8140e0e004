"""Database sessions: one statement reads a session, its user and the user's totals.

Django reads the session, then the user whose id is in its data. Here a session's key ends with that id, so that one
statement joins both. The id in the key only says which row to read with the session; who is logged in is in the
session's signed data, as in Django, and `user_of` compares the two. Nothing is kept after the request: a logout, a
changed password or a deactivated account counts in every worker at its next request.
"""

import re
from typing import Any

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.middleware import AuthenticationMiddleware as DjangoAuthenticationMiddleware
from django.contrib.auth.middleware import get_user
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore
from django.db import connection
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject
from django.utils.http import base36_to_int, int_to_base36

from users.models import User, UserStats

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"

# Django's key, 32 random characters, and the user's id: 8 digits to the base 36 fit the column.
KEY = re.compile(r"[a-z0-9]{32}([a-z0-9]{1,8})")
LARGEST_ID = 36**8 - 1


def _columns(model: type[Model]) -> list[str]:
    return [f'"{model._meta.db_table}"."{field.column}"' for field in model._meta.concrete_fields]


READ = f"""
    SELECT session_data, {", ".join(_columns(User) + _columns(UserStats))}
    FROM django_session
    LEFT JOIN users_user ON users_user.id = %s
    LEFT JOIN users_userstats ON users_userstats.user_id = users_user.id
    WHERE session_key = %s AND expire_date > %s"""  # noqa: S608 - the models' own columns


class SessionStore(DatabaseSessionStore):
    """Django's, with the user that its key names."""

    user: User | None = None  # with `stats`, if there is a row; to be used through user_of()

    def load(self) -> dict[str, Any]:
        """Return the session's data; an unknown or expired key gives an empty session, as in Django."""
        named = KEY.fullmatch(self.session_key or "")
        if not named:  # a guest's session, or one from before keys had ids
            return super().load()
        with connection.cursor() as cursor:
            cursor.execute(READ, [base36_to_int(named[1]), self.session_key, timezone.now()])
            row = cursor.fetchone()
        if row is None:
            self._session_key = None
            return {}
        self.user = _user_from(row[1:])
        return self.decode(row[0])

    def _get_new_session_key(self) -> str:
        key: str = super()._get_new_session_key()  # type: ignore[misc]  # Django's, not in its stubs
        user_id = int(getattr(self, "_session_cache", {}).get(auth.SESSION_KEY, 0))
        return key + int_to_base36(user_id) if 0 < user_id <= LARGEST_ID else key

    def _validate_session_key(self, key: str) -> bool:
        """Django looks up any cookie of eight characters; with a NUL, PostgreSQL rejects the query: a 500."""
        return bool(key) and len(key) >= 8 and key.isascii() and key.isalnum()


class AuthenticationMiddleware(DjangoAuthenticationMiddleware):
    """Django's; `request.user` is the row that came with the session, when Django would accept it."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.user = SimpleLazyObject(lambda: user_of(request))  # type: ignore[assignment]


def user_of(request: HttpRequest) -> Any:
    """Return the request's user; where a condition of Django's own get_user fails, that decides, with a query."""
    if not hasattr(request, "_cached_user"):
        session: Any = request.session
        data = {name: session.get(name, "") for name in (auth.SESSION_KEY, auth.BACKEND_SESSION_KEY)}
        user = session.user
        if (
            user is not None
            and user.is_active
            and data == {auth.SESSION_KEY: str(user.pk), auth.BACKEND_SESSION_KEY: MODEL_BACKEND}
            and MODEL_BACKEND in settings.AUTHENTICATION_BACKENDS
            and constant_time_compare(session.get(auth.HASH_SESSION_KEY, ""), user.get_session_auth_hash())
        ):
            request._cached_user = user  # type: ignore[attr-defined]
    return get_user(request)


def _user_from(row: tuple[Any, ...]) -> User | None:
    """The user and the totals of a row of READ; None for an id without an account."""
    fields, totals = User._meta.concrete_fields, UserStats._meta.concrete_fields
    if row[0] is None:
        return None
    user = User.from_db("default", [field.attname for field in fields], row[: len(fields)])
    if row[len(fields)] is not None:
        user.stats = UserStats.from_db("default", [field.attname for field in totals], row[len(fields) :])
    return user


def name_the_user(sender: object, request: HttpRequest, user: User, **_: Any) -> None:
    """A receiver of user_logged_in: from now on the session's key has the user's id."""
    request.session.cycle_key()
