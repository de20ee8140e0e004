"""`manage.py try_requests`: every route of the site is tried, an error is reported with its request, and it refuses
every database but a rehearsal's."""

import logging
from types import ModuleType
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection
from django.http import HttpRequest, HttpResponse
from django.urls import get_resolver, include, path, re_path

from core import visitor
from core.api import api
from core.management.commands import try_requests
from flags import services
from flags.models import Country, UserAnswer
from users.models import User

pytestmark = pytest.mark.django_db


def errors(report: dict[str, list[Any]]) -> dict[str, str]:
    """Request → its error, of those that have one."""
    return {one["request"]: one["error"] for one in report["requests"] if one["error"]}


def forms() -> set[str]:
    """The requests that send the forms of class-based views without parameters."""
    found = set()
    for part in get_resolver().url_patterns:
        for pattern in getattr(part, "url_patterns", ()):
            route = f"/{part.pattern}{pattern.pattern}"
            view = getattr(pattern, "callback", None)
            if hasattr(getattr(view, "view_class", None), "post") and "<" not in route and "admin" not in route:
                found.add(f"POST {route}")
    return found


def test_every_route_is_tried_without_an_error(countries: dict[str, Country], settings: Any) -> None:
    """A new page without parameters is tried by itself; one with parameters, a form or an operation of the API fails
    here until its app's visit has it. Mail stays in the process, whatever the settings say."""
    settings.EMAIL_BACKEND, settings.EMAIL_HOST = "core.mail.BackgroundEmailBackend", "mail.example.org"
    # as in production
    settings.SECURE_SSL_REDIRECT = settings.SESSION_COOKIE_SECURE = True
    settings.ALLOWED_HOSTS = ["play.example.org"]
    handlers = list(logging.getLogger().handlers)
    report = visitor.try_all()
    assert logging.getLogger().handlers == handlers
    assert (errors(report), report["untried"]) == ({}, [])
    tried = {one["request"] for one in report["requests"] if one["status"] < 400}
    operations = {
        f"{method.upper()} {path}" for path, methods in api.get_openapi_schema()["paths"].items() for method in methods
    }
    assert "POST /api/answers" in operations
    assert "POST /accounts/signup/confirm/" in forms()
    assert forms() | operations <= tried
    assert {one["request"] for one in report["requests"] if one["session"]} >= {"GET /statistics/", "POST /api/answers"}
    assert (User.objects.count(), UserAnswer.objects.count()) == (0, 0)


def test_an_error_is_reported_with_its_request_and_the_others_are_tried(
    countries: dict[str, Country], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(limit: int) -> None:
        raise ProgrammingError('column "gone" does not exist\nLINE 1: SELECT gone')

    monkeypatch.setattr(services, "most_guessed", broken)
    found = errors(visitor.try_all())
    assert set(found) == {"GET /most-guessed/", "GET /api/countries/most-guessed"}
    assert all(error == 'ProgrammingError: column "gone" does not exist' for error in found.values())


def test_a_visit_that_can_not_go_on_says_where_it_ended(
    countries: dict[str, Country], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("users.views.sign_up.send", lambda *_: None)
    report = visitor.try_all()
    assert errors(report) == {"POST /accounts/signup/": "the visit ended here: IndexError: list index out of range"}
    assert "questions/<int:question_id>/" in report["untried"]


def test_another_site_gets_its_routes_without_parameters(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Without visits (docs/your-app.md) there is no session. A page that fails is found, even if the error's own page
    fails, too (it links `home`)."""

    def broken(request: HttpRequest) -> HttpResponse:
        raise LookupError("gone")

    urls: Any = ModuleType("urls")
    urls.urlpatterns = [
        path("", lambda _: HttpResponse("3 notes")),
        path("broken/", broken),
        path("private/", lambda _: HttpResponse(status=403)),
        path("notes/", include([path("<int:number>/", lambda _: HttpResponse("a note"))])),
        re_path(r"^tags/(.*)$", lambda _: HttpResponse("a tag")),
    ]
    monkeypatch.setattr(visitor, "visits", lambda: iter(()))
    settings.ROOT_URLCONF = urls
    report = visitor.try_all()
    assert set(errors(report)) == {"GET /broken/"}
    assert [one["request"] for one in report["requests"]] == [
        f"GET {path}" for path in ("/healthz", "/readyz", "/", "/broken/", "/private/")
    ]
    assert report["untried"] == ["^tags/(.*)$", "notes/<int:number>/"]


def test_it_makes_no_request_where_visitors_are() -> None:
    """This server is no rehearsal's."""
    with pytest.raises(CommandError, match="no request was made: the database server is not a rehearsal's"):
        call_command("try_requests")
    assert not User.objects.exists()


def test_it_makes_no_request_with_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('cluster_name')")
        monkeypatch.setattr(try_requests, "REHEARSAL", cursor.fetchone()[0])
    with pytest.raises(CommandError, match="this container has a network"):
        call_command("try_requests")
    assert not User.objects.exists()
    (table := tmp_path / "route").write_text("Iface\tDestination\tGateway\n")
    monkeypatch.setattr(try_requests, "ROUTES", table)
    assert try_requests.refusal() == ""
