"""Errors of the API: JSON in one format, with the right status and a stable code."""

import datetime
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from pytest_django import Settings

from conftest import PASSWORD, right, wrong
from flags import services
from flags.models import Country, Question
from users.models import User

JSON = "application/json"


def code(response: Any, status: int) -> str:
    """Check the error's status and format; return its code."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == JSON
    (error,) = json.loads(response.content).values()
    assert set(error) == {"code", "message", "request_id"}
    assert error["message"]
    assert error["request_id"] == response["X-Request-ID"]
    return str(error["code"])


@pytest.fixture
def player(client_of: Callable[[User], Client], user: User) -> Client:
    return client_of(user)


def answering(player: Client, question_id: object, country_code: object) -> Any:
    return player.post("/api/answers", {"question_id": question_id, "country_code": country_code}, JSON)


# --- The game -------------------------------------------------------------------------------------------------------


def test_already_answered(player: Client, practice: Question) -> None:
    answering(player, practice.id, right(practice))
    assert code(answering(player, practice.id, right(practice)), 409) == "already_answered"


def test_not_an_option(player: Client, practice: Question) -> None:
    assert code(answering(player, practice.id, "ZZ"), 409) == "not_an_option"


def test_question_not_found(player: Client) -> None:
    assert code(answering(player, 2**63 - 1, "FR"), 404) == "question_not_found"


def test_another_users_question_is_not_found(
    client_of: Callable[[User], Client], make_user: Callable[..., User], practice: Question
) -> None:
    assert code(answering(client_of(make_user()), practice.id, right(practice)), 404) == "question_not_found"


def test_yesterdays_challenge_is_closed(player: Client, countries: dict[str, Country]) -> None:
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    question = services.daily_question(yesterday)
    assert code(answering(player, question.id, right(question)), 409) == "challenge_closed"


def test_no_practice_question(player: Client) -> None:
    assert code(player.get("/api/practice"), 404) == "no_practice_question"


@pytest.mark.django_db
def test_no_countries_yet(client: Client) -> None:
    assert code(client.get("/api/challenge/today"), 503) == "no_countries"


# --- Who one is -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/practice"), ("POST", "/api/practice"), ("POST", "/api/answers"), ("GET", "/api/me/statistics")],
)
def test_guests_must_log_in(client: Client, method: str, path: str) -> None:
    assert code(client.generic(method, path), 401) == "not_logged_in"


@pytest.mark.parametrize("password", ["wrong", PASSWORD + " ", "\x00", "é" * 256])
def test_a_wrong_password(client: Client, user: User, password: str) -> None:
    response = client.post("/api/session", {"email": user.email, "password": password}, JSON)
    assert code(response, 401) == "wrong_credentials"


def test_an_unknown_address_looks_like_a_wrong_password(client: Client, db: None) -> None:
    response = client.post("/api/session", {"email": "nobody@example.org", "password": PASSWORD}, JSON)
    assert code(response, 401) == "wrong_credentials"


def test_a_deactivated_account_cannot_log_in(client: Client, make_user: Callable[..., User]) -> None:
    gone = make_user(is_active=False)
    response = client.post("/api/session", {"email": gone.email, "password": PASSWORD}, JSON)
    assert code(response, 401) == "wrong_credentials"


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/session"), ("DELETE", "/api/session"), ("POST", "/api/practice")]
)
def test_without_a_csrf_token_nothing_changes(user: User, method: str, path: str) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    assert code(browser.generic(method, path), 403) == "csrf_failed"


def test_a_wrong_csrf_token_is_refused(user: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.get("/api/csrf")
    response = browser.post("/api/practice", headers={"X-CSRFToken": "a" * 64})
    assert code(response, 403) == "csrf_failed"


@pytest.mark.parametrize("session", [r'"\000aaaaaaaa"', "x" * 5_000, "';DROP TABLE users_user", "\xff"])
def test_a_made_up_session_is_a_guests(client: Client, db: None, session: str) -> None:
    response = client.get("/api/session", headers={"Cookie": f"sessionid={session}"})
    assert response.json()["user"] is None


# --- Malformed requests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"question_id": 1' + b"0" * 5000 + b"}",
        b"question_id=1",
    ],
)
def test_a_body_that_is_not_a_json_object(player: Client, body: bytes) -> None:
    assert code(player.generic("POST", "/api/answers", body, JSON), 400) == "bad_request"


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"1", b"{}"])
def test_a_body_that_is_another_json(player: Client, body: bytes) -> None:
    assert code(player.generic("POST", "/api/answers", body, JSON), 422) == "invalid"


@pytest.mark.parametrize("content_type", ["", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded"])
def test_a_wrong_content_type_is_no_crash(player: Client, content_type: str) -> None:
    assert player.generic("POST", "/api/answers", b"\x00", content_type).status_code == 400


@pytest.mark.parametrize(
    ("question_id", "country_code"),
    [
        (0, "FR"),
        (-1, "FR"),
        (2**63, "FR"),
        (1.5, "FR"),
        (None, "FR"),
        ("one", "FR"),
        (1, "fr"),
        (1, "FRA"),
        (1, "F\x00"),
        (1, "FR\n"),
        (1, "\ud800\udfff"),
        (1, None),
        (1, ["FR"]),
    ],
)
def test_values_that_are_not_valid(player: Client, question_id: object, country_code: object) -> None:
    assert code(answering(player, question_id, country_code), 422) == "invalid"


def test_an_invalid_value_is_named(player: Client) -> None:
    message = answering(player, 0, "FR").json()["error"]["message"]
    assert "question_id" in message


@pytest.mark.parametrize("email", ["", "\x00@example.org", "\ud800@example.org", "x" * 255, None, 5])
def test_an_invalid_email(client: Client, db: None, email: object) -> None:
    body = json.dumps({"email": email, "password": PASSWORD})
    assert code(client.post("/api/session", body, JSON), 422) == "invalid"


def test_a_password_too_long_to_hash(client: Client, user: User) -> None:
    response = client.post("/api/session", {"email": user.email, "password": "x" * 257}, JSON)
    assert code(response, 422) == "invalid"


@pytest.mark.parametrize("limit", ["0", "101", "x", "", "1e9", "9" * 5000, "%00"])
@pytest.mark.parametrize("path", ["/api/leaderboard", "/api/countries/most-guessed"])
def test_an_invalid_limit(client: Client, path: str, limit: str) -> None:
    assert code(client.get(f"{path}?limit={limit}"), 422) == "invalid"


def test_a_body_that_is_too_large(player: Client) -> None:
    assert code(player.generic("POST", "/api/answers", b"x" * 300_000, JSON), 400) == "bad_request"


# --- What isn't there -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/", "/api/nothing", "/api/%00", "/api/%ff", "/api/practice/"])
def test_unknown_addresses(client: Client, path: str) -> None:
    assert code(client.get(path), 404) == "not_found"


def test_a_method_that_is_not_allowed(client: Client) -> None:
    response = client.delete("/api/leaderboard")
    assert code(response, 405) == "method_not_allowed"
    assert response["Allow"] == "GET"


def test_an_unknown_host(client: Client) -> None:
    assert code(client.get("/api/leaderboard", headers={"Host": "evil.example"}), 400) == "bad_request"


# --- Too often, and broken ------------------------------------------------------------------------------------------


def test_logging_in_is_limited_by_address(client: Client, user: User) -> None:
    credentials = {"email": user.email, "password": "wrong"}
    for _ in range(10):
        client.post("/api/session", credentials, JSON)
    response = client.post("/api/session", credentials, JSON)
    assert code(response, 429) == "too_many_requests"
    assert 0 < int(response["Retry-After"]) <= 60


def test_another_address_is_not_limited(client: Client, user: User) -> None:
    credentials = {"email": user.email, "password": PASSWORD}
    for _ in range(11):
        client.post("/api/session", credentials, JSON, headers={"X-Forwarded-For": "192.0.2.1"})
    response = client.post("/api/session", credentials, JSON, headers={"X-Forwarded-For": "192.0.2.2"})
    assert response.status_code == 200


def test_logged_in_clients_are_limited_too(player: Client, user: User) -> None:
    for _ in range(10):
        player.post("/api/session", {"email": user.email, "password": "wrong"}, JSON)
    assert code(player.post("/api/session", {"email": user.email, "password": PASSWORD}, JSON), 429)


def test_playing_is_limited_by_user(
    player: Client, client_of: Callable[[User], Client], make_user: Callable[..., User], practice: Question
) -> None:
    for _ in range(60):
        player.post("/api/practice")
    assert code(player.post("/api/practice"), 429) == "too_many_requests"
    assert client_of(make_user()).post("/api/practice").status_code == 200


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, player: Client) -> Client:
    """A client of an app whose leaderboard raises an exception."""

    def crash(limit: int) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(services, "leaderboard", crash)
    player.raise_request_exception = False
    return player


def test_a_500_has_no_details(broken: Client) -> None:
    response = broken.get("/api/leaderboard")
    assert code(response, 500) == "internal_error"
    assert b"secret detail" not in response.content


def test_a_500_has_no_details_with_debug(broken: Client, settings: Settings) -> None:
    settings.DEBUG = True
    assert code(broken.get("/api/leaderboard"), 500) == "internal_error"


def test_an_exception_is_logged(broken: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        broken.get("/api/leaderboard")
    assert "secret detail" in caplog.text


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(limit: int) -> None:
        raise OperationalError("the connection is closed")

    monkeypatch.setattr(services, "leaderboard", gone)


def test_an_unavailable_database_is_a_503_with_retry_after(client: Client, no_database: None) -> None:
    response = client.get("/api/leaderboard")
    assert code(response, 503) == "unavailable"
    assert response["Retry-After"] == "5"


def test_a_page_without_a_database_is_a_page(client: Client, no_database: None) -> None:
    response = client.get("/leaderboard/")
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert b"<html" in response.content


def test_pages_keep_their_own_errors(client: Client, db: None) -> None:
    assert client.get("/nothing")["Content-Type"].startswith("text/html")


def test_a_wrong_answer_is_not_an_error(player: Client, practice: Question) -> None:
    assert answering(player, practice.id, wrong(practice)).status_code == 201
