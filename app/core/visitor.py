"""A visitor of the site in this process: every page, and what the apps' visits do, for `manage.py try_requests`.

Every route without parameters is asked for, as a guest and as a user. What needs a form or a parameter is in a module
`visit` of its app: a context manager `visit(visitor)`, which is entered in the order of INSTALLED_APPS and left in the
reverse order. So `users` makes an account before, and deletes it after, what `flags` does with it.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from importlib import import_module
from typing import Any
from urllib.parse import urlencode

from django.apps import apps
from django.conf import settings
from django.core import mail
from django.http import HttpResponse
from django.test import Client
from django.test.utils import override_settings
from django.urls import URLPattern, URLResolver, get_resolver, resolve
from django.urls.resolvers import RegexPattern

from core import health

Visit = Callable[["Visitor"], AbstractContextManager[None]]

# Mail stays in this process, and so the links that it has can be opened. The test client asks this host.
SETTINGS = {
    "EMAIL_BACKEND": "django.core.mail.backends.locmem.EmailBackend",
    "SENDS_MAIL": True,
    "ALLOWED_HOSTS": ["testserver"],
}
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
LONGEST = 300  # characters of an error


def try_all() -> dict[str, list[Any]]:
    """Every request, and the routes that none was for: {"requests", "untried"}; see Visitor.tried.

    Rows are written and deleted.
    """
    visitor, known = Visitor(), dict(routes())
    pages = [f"/{route}" for route, has_parameters in known.items() if not has_parameters]
    with override_settings(**SETTINGS), visitor.errors:
        for page in (*health.PATHS, *pages):
            visitor.get(page, None)
        try:
            with ExitStack() as entered:
                for visit in visits():
                    entered.enter_context(visit(visitor))
                for page in pages if visitor.has_session else ():
                    visitor.get(page, None)
        except Exception as error:
            visitor.stop(error)
    return {"requests": visitor.tried, "untried": sorted(known.keys() - visitor.routes)}


def visits() -> Iterator[Visit]:
    """What the apps bring."""
    for config in apps.get_app_configs():
        name = f"{config.name}.visit"
        try:
            module = import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
        else:
            yield module.visit


def routes(resolver: URLResolver | None = None, before: str = "") -> Iterator[tuple[str, bool]]:
    """The routes of the site, as `resolve` names them, and whether each has parameters. The admin is for staff."""
    for pattern in (resolver or get_resolver()).url_patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield route, "<" in route or isinstance(pattern.pattern, RegexPattern)
        elif pattern.app_name != "admin":
            yield from routes(pattern, route)


class Visitor:
    """A browser without scripts.

    `tried` has each request: {"request", "session" (whether it had one), "status", "took_ms", "error" ("" without)}.
    """

    def __init__(self) -> None:
        self.client = Client(raise_request_exception=False)
        self.errors = Errors()
        self.tried: list[dict[str, Any]] = []
        self.routes: set[str] = set()

    @property
    def has_session(self) -> bool:
        """Whether it sends the cookie of a session: when it is logged in, and while it sets a forgotten password."""
        cookie = self.client.cookies.get(settings.SESSION_COOKIE_NAME)
        return bool(cookie and cookie.value)

    def get(self, path: str, expected: int | None = 200) -> Any:
        """Open a page. Returns the response; None as `expected` accepts what is no error of the server."""
        return self._request("GET", path, expected)

    def post(self, path: str, expected: int = 302, **fields: str) -> Any:
        """Send a form."""
        return self._request("POST", path, expected, urlencode(fields), FORM)

    def api(self, method: str, path: str, expected: int = 200, **body: Any) -> Any:
        """Call an operation of the API."""
        return self._request(method, path, expected, json.dumps(body), JSON)

    def mailed_link(self) -> str:
        """The path of the link in the last mail."""
        text = str(mail.outbox[-1].body)
        found = re.search(r"https?://testserver(/\S+)", text)
        if not found:
            raise LookupError("the mail has no link of this site")
        return found[1]

    def stop(self, error: Exception) -> None:
        """A visit could not go on: that is the last request's error, unless it has one."""
        self.tried[-1]["error"] = self.tried[-1]["error"] or f"the visit ended here: {in_words(error)}"

    def _request(self, method: str, path: str, expected: int | None, body: str = "", kind: str = FORM) -> Any:
        has_session = self.has_session
        self.errors.seen.clear()
        began = time.perf_counter()
        response: Any = HttpResponse(status=500)  # as gunicorn answers, when the page of the error fails, too
        try:
            response = self.client.generic(method, path, body, content_type=kind, secure=True)
            response.getvalue()  # a streamed one asks the database now
        except Exception as error:
            self.errors.seen.append(error)
        milliseconds = round((time.perf_counter() - began) * 1000, 1)
        if response.status_code != 405:
            self.routes.add(resolve(path.partition("?")[0]).route if path not in health.PATHS else path)
        self.tried.append(
            {
                "request": f"{method} {path.partition('?')[0]}",
                "session": has_session,
                "status": response.status_code,
                "took_ms": milliseconds,
                "error": self._error(response.status_code, expected),
            }
        )
        return response

    def _error(self, status: int, expected: int | None) -> str:
        if self.errors.seen:
            return in_words(self.errors.seen[0])
        if status >= 500 if expected is None else status != expected:
            return f"status {status}" + (f", not {expected}" if expected else "")
        return ""


class Errors(logging.Handler):
    """The exceptions that are logged as errors: those that no code handled, and the database's."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Remember the exception."""
        if record.exc_info and record.exc_info[1]:
            self.seen.append(record.exc_info[1])

    def __enter__(self) -> None:
        logging.getLogger().addHandler(self)

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


def in_words(error: BaseException) -> str:
    """An exception's type and the first line of its text."""
    return f"{type(error).__qualname__}: {(str(error).splitlines() or [''])[0]}"[:LONGEST]
