"""Database sessions: one statement reads a session, its user and the user's totals.

Django reads the session, then the user whose id is in its data. Here a session's key ends with that id, so that one
statement joins both. The id in the key only says which row to read with the session; who is logged in is in the
session's signed data, as in Django, and `user_of` compares the two. Nothing is kept after the request: a logout, a
changed password or a deactivated account counts in every worker at its next request.
"""

import re
from functools import cache
from typing import Any, TypeVar

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

from core.postgresql.prepared import Prepared, result_columns
from users.models import User, UserStats

M = TypeVar("M", bound=Model)

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"

# Django's key, 32 random characters, and the user's id: 8 digits to the base 36 fit the column.
KEY = re.compile(r"[a-z0-9]{32}([a-z0-9]{1,8})")
LARGEST_ID = 36**8 - 1


def _read(columns: str = "", join: str = "") -> Prepared:
    return Prepared(f"""
        SELECT session_data::text COLLATE "default", {result_columns(User)}, {result_columns(UserStats)}{columns}
        FROM django_session
        LEFT JOIN users_user ON users_user.id = %(user_id)s
        LEFT JOIN users_userstats ON users_userstats.user_id = users_user.id
        {join}
        WHERE session_key = %(session_key)s AND expire_date > %(now)s""")  # noqa: S608 - the models' own columns


READ = _read()


class OneMore:
    """One more row of the user's that the statement reads: a row of `model`, found by the user and the column `by`."""

    def __init__(self, model: type[Model], by: str) -> None:
        self.model = model
        table = model._meta.db_table
        join = f"LEFT JOIN {table} ON {table}.user_id = users_user.id AND {table}.{by} = %(value)s"
        self.read = _read(f", {result_columns(model)}", join)


class SessionStore(DatabaseSessionStore):
    """Django's, with the user that its key names."""

    user: User | None = None  # with `stats`, if there is a row; to be used through user_of()
    one_more: tuple[OneMore, int] | None = None

    def read_too(self, more: OneMore, value: int) -> None:
        """Read this row with the session and the user; nothing when those are read already. users.services finds it."""
        self.one_more = more, value

    def load(self) -> dict[str, Any]:
        """Return the session's data; an unknown or expired key gives an empty session, as in Django."""
        named = KEY.fullmatch(self.session_key or "")
        if not named:  # a guest's session, or one from before keys had ids
            return super().load()
        more, value = self.one_more or (None, None)
        values = {
            "user_id": base36_to_int(named[1]),
            "session_key": self.session_key,
            "now": timezone.now(),
            "value": value,
        }
        with connection.cursor() as cursor:
            cursor.execute(more.read if more else READ, values)
            row = cursor.fetchone()
        if row is None:
            self._session_key = None
            return {}
        self.user = _user_from(row[1:], more, value)
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


def _user_from(row: tuple[Any, ...], more: OneMore | None, value: int | None) -> User | None:
    """The user, the totals and one row more of a row of the statement; None for an id without an account."""
    user = _instance(User, row)
    if user is None:
        return None
    place = len(User._meta.concrete_fields)
    if stats := _instance(UserStats, row[place:]):
        user.stats = stats
    if more:
        place += len(UserStats._meta.concrete_fields)
        user.read_with = {(more.model, value): _instance(more.model, row[place:])}
    return user


def _instance(model: type[M], row: tuple[Any, ...]) -> M | None:
    """A model's instance from the first columns of a row; None when the join found none (no key)."""
    names, key = _names(model)
    return None if row[key] is None else model.from_db("default", names, row[: len(names)])


@cache
def _names(model: type[Model]) -> tuple[list[str], int]:
    """The attributes of a model's columns, and which one is the key."""
    names = [field.attname for field in model._meta.concrete_fields]
    return names, names.index(model._meta.pk.attname)


def name_the_user(sender: object, request: HttpRequest, user: User, **_: Any) -> None:
    """A receiver of user_logged_in: from now on the session's key has the user's id."""
    request.session.cycle_key()
