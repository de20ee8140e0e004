"""Logs: JSON lines with the request's id, without secrets."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from conftest import PASSWORD
from core.logs import JsonFormatter, request_id
from flags import services
from users.models import User

Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The log so far, as the container prints it."""
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)
    yield lambda: [json.loads(line) for line in handler.stream.getvalue().splitlines()]
    logging.getLogger().removeHandler(handler)


def record(message: str, *args: object, **kwargs: Any) -> logging.LogRecord:
    return logging.LogRecord("test", logging.INFO, __file__, 1, message, args, None, **kwargs)


METRICS = re.compile(r"user=(\d*) queries=(\d+) database_ms=\d+\.\d release=[\w.-]+@\d+")


def test_a_request_is_no_line_here_and_its_figures_go_to_nginx(client: Client, lines: Lines) -> None:
    """nginx logs it (tests/stack/test_proxy.py)."""
    response = client.get("/api/csrf?token=s3cret")
    assert METRICS.fullmatch(response["X-App-Metrics"]).groups() == ("", "0")  # type: ignore[union-attr]
    assert lines() == []


def test_a_players_request_has_their_id_and_its_statements(client: Client, user: User) -> None:
    client.force_login(user)
    for path, statements in {"/api/session": "1", "/api/practice": "2", "/api/csrf": "0"}.items():
        found = METRICS.fullmatch(client.get(path)["X-App-Metrics"])
        assert found
        assert found.groups() == (str(user.id) if int(statements) else "", statements)


def test_a_slow_request_is_logged(client: Client, user: User, lines: Lines, settings: Any) -> None:
    settings.SLOW_REQUEST_SECONDS = 0
    client.force_login(user)
    client.get("/api/session?token=s3cret")
    (line,) = lines()
    assert {key: line[key] for key in ("level", "method", "path", "status", "user_id", "queries")} == {
        "level": "WARNING",
        "method": "GET",
        "path": "/api/session",
        "status": 200,
        "user_id": user.id,
        "queries": 1,
    }
    assert "s3cret" not in str(line)


def test_an_error_is_logged_with_its_traceback(client: Client, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "leaderboard", lambda _: 1 / 0)
    client.raise_request_exception = False
    response = client.get("/api/leaderboard")
    (line,) = lines()
    assert (response.status_code, line["level"]) == (500, "ERROR")
    assert (line["request_id"], "ZeroDivisionError" in str(line["exception"])) == (response["X-Request-ID"], True)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_health_check_has_no_figures_and_no_line(client: Client, lines: Lines, path: str) -> None:
    assert "X-App-Metrics" not in client.get(path)
    assert lines() == []


@pytest.mark.parametrize("given", ["0123456789abcdef0123456789abcdef", "a1b2-c3d4_E5"])
def test_a_valid_request_id_is_used(client: Client, lines: Lines, given: str, settings: Any) -> None:
    settings.SLOW_REQUEST_SECONDS = 0
    response = client.get("/api/csrf", headers={"X-Request-ID": given})
    assert response["X-Request-ID"] == given
    assert lines()[-1]["request_id"] == given


@pytest.mark.parametrize("given", ["", "short", "x" * 65, "a b c d e f", 'id","level":"FAKE', "id\x1b[31mred"])
def test_an_invalid_request_id_is_replaced(client: Client, given: str) -> None:
    assert re.fullmatch("[0-9a-f]{32}", client.get("/api/csrf", headers={"X-Request-ID": given})["X-Request-ID"])


def test_the_id_ends_with_the_request(client: Client) -> None:
    client.get("/api/csrf")
    assert request_id.get() == ""


def test_every_line_of_a_request_has_its_id(lines: Lines, settings: Any) -> None:
    settings.SLOW_REQUEST_SECONDS = 0
    Client(enforce_csrf_checks=True).post("/api/practice", headers={"X-Request-ID": "abcdefgh"})
    assert [line["request_id"] for line in lines()] == ["abcdefgh"] * 2


def test_no_password_and_no_session_is_logged(client: Client, user: User, lines: Lines) -> None:
    for password in (PASSWORD, "wrong password"):
        client.post("/api/session", {"email": user.email, "password": password}, "application/json")
        client.post("/accounts/login/", {"username": user.email, "password": password})
    logged = str(lines())
    for secret in (PASSWORD, "wrong password", client.cookies["sessionid"].value, user.password):
        assert secret not in logged


@pytest.mark.parametrize("message", ["two\nlines", "\x1b[31m", '"quoted"', "\ud800", "naïve 🇫🇷"])
def test_every_message_is_one_line_of_ascii(message: str) -> None:
    line = JsonFormatter().format(record(message))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["message"] == message


def test_a_traceback_is_in_the_line() -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError as error:
        failed = record("oh")
        failed.exc_info = (RuntimeError, error, error.__traceback__)
    assert "RuntimeError: broken" in json.loads(JsonFormatter().format(failed))["exception"]


def test_extras_stay_out_unless_they_are_fields() -> None:
    said = record("oh")
    said.__dict__ |= {"request": "secret", "fields": {"status": 200, "odd": object}}
    line = json.loads(JsonFormatter().format(said))
    assert "request" not in line
    assert line["status"] == 200
