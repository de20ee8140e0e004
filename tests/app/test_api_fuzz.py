"""Generated requests for the whole OpenAPI document: no 5xx, no undocumented response."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import schemathesis
from django.core.cache import cache
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import Client
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import unsupported_method

from config.wsgi import application
from flags import services
from flags.models import Country
from users.models import User

guests = schemathesis.openapi.from_wsgi("/api/openapi.json", application)


def document_of_a_player() -> dict[str, Any]:
    """The document without authentication: the client's real session must not be replaced by a generated one."""
    document: dict[str, Any] = deepcopy(guests.raw_schema)
    for operations in document["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)
    return document


players = schemathesis.openapi.from_dict(document_of_a_player())
players.app = application

# Without a token, the response to an unknown method is 403: test_api_errors.py tests the 405.
LEFT_OUT = [unsupported_method]

CSRF_TOKEN = "t" * 32

per_operation = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def one_connection() -> Iterator[None]:
    """Keep the handler from closing the connection, and the test's transaction with it."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@guests.parametrize()
@per_operation
def test_any_request_of_a_guest(case: schemathesis.Case, countries: dict[str, Country]) -> None:
    cache.clear()  # resets the throttle
    case.call_and_validate(
        headers={"X-CSRFToken": CSRF_TOKEN}, cookies={"csrftoken": CSRF_TOKEN}, excluded_checks=LEFT_OUT
    )


@players.parametrize()
@per_operation
def test_any_request_of_a_player(case: schemathesis.Case, countries: dict[str, Country], user: User) -> None:
    cache.clear()
    client = Client()
    client.force_login(user)
    services.new_practice_question(user)
    cookies = {"csrftoken": CSRF_TOKEN, "sessionid": client.cookies["sessionid"].value}
    case.call_and_validate(headers={"X-CSRFToken": CSRF_TOKEN}, cookies=cookies, excluded_checks=LEFT_OUT)
