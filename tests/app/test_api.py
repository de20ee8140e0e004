"""The API's successful responses, and their numbers of queries."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from conftest import PASSWORD, right, wrong
from core import per_worker
from flags import services
from flags.models import Country, Question
from users.models import User

JSON = "application/json"

ClientOf = Callable[[User], Client]


@pytest.fixture
def player(client_of: ClientOf, user: User) -> Client:
    return client_of(user)


@pytest.fixture
def daily(countries: dict[str, Country]) -> Question:
    return services.daily_question()


# --- Today's challenge ----------------------------------------------------------------------------------------------


def test_a_guest_sees_todays_challenge(client: Client, daily: Question) -> None:
    body = client.get("/api/challenge/today").json()
    assert body["date"] == services.utc_date().isoformat()
    assert body["question"]["id"] == daily.id
    assert body["answer"] is None


def test_a_question_has_four_options_with_code_and_name(client: Client, daily: Question) -> None:
    options = client.get("/api/challenge/today").json()["question"]["options"]
    assert options == [{"code": option.code, "name": option.name} for option in services.options_of(daily)]


def test_a_question_does_not_tell_its_answer(client: Client, daily: Question) -> None:
    body = client.get("/api/challenge/today").json()
    assert set(body["question"]) == {"id", "kind", "image_url", "options"}
    assert daily.country.code.lower() not in body["question"]["image_url"].rsplit("/", 1)[-1].split(".")
    assert daily.country.flag_emoji not in str(body)


def test_the_image_is_there(client: Client, daily: Question) -> None:
    image = client.get(client.get("/api/challenge/today").json()["question"]["image_url"])
    assert image["Content-Type"] == "image/svg+xml"


# --- What nginx may keep for a second -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/challenge/today", "/api/leaderboard", "/api/countries/most-guessed"])
def test_shared_responses_may_be_cached_for_a_second(client: Client, daily: Question, path: str) -> None:
    assert client.get(path)["Cache-Control"] == "public, max-age=1"


def test_a_guests_response_is_not_cached_for_a_player(client: Client, player: Client, daily: Question) -> None:
    assert client.get("/api/challenge/today")["Vary"] == "Cookie"
    assert "Cache-Control" not in player.get("/api/challenge/today")


@pytest.mark.parametrize("path", ["/api/session", "/api/me/statistics", "/api/csrf", "/api/practice"])
def test_a_users_own_data_is_not_cached(player: Client, practice: Question, path: str) -> None:
    answer = player.get(path)
    assert answer.status_code == 200
    assert "public" not in answer.get("Cache-Control", "")


def test_an_error_is_not_cached(client: Client) -> None:
    assert "Cache-Control" not in client.get("/api/leaderboard?limit=0")


def test_once_answered_the_challenge_shows_the_answer(player: Client, user: User, daily: Question) -> None:
    services.answer(user, daily.id, wrong(daily))
    answer = player.get("/api/challenge/today").json()["answer"]
    assert answer["correct"]["code"] == right(daily)
    assert answer["answered"]["code"] == wrong(daily)


# --- Practice and answers -------------------------------------------------------------------------------------------


def test_practice_gives_the_same_question_until_it_is_answered(player: Client, countries: dict[str, Country]) -> None:
    first = player.post("/api/practice").json()
    assert first["kind"] == "practice"
    assert player.post("/api/practice").json() == first
    assert player.get("/api/practice").json() == first


def test_an_answer_tells_the_right_country(player: Client, practice: Question) -> None:
    response = player.post("/api/answers", {"question_id": practice.id, "country_code": right(practice)}, JSON)
    assert response.status_code == 201
    country = practice.country
    assert response.json()["is_correct"] is True
    assert response.json()["correct"] == {"code": country.code, "name": country.name, "emoji": country.flag_emoji}


def test_a_wrong_answer_tells_it_too(player: Client, practice: Question) -> None:
    response = player.post("/api/answers", {"question_id": practice.id, "country_code": wrong(practice)}, JSON)
    assert response.json()["is_correct"] is False
    assert response.json()["correct"]["code"] == right(practice)


# --- Figures --------------------------------------------------------------------------------------------------------


def test_my_statistics(player: Client, user: User, practice: Question) -> None:
    services.answer(user, practice.id, right(practice))
    assert player.get("/api/me/statistics").json() == {
        "total_answers": 1,
        "total_correct": 1,
        "accuracy": 100.0,
        "current_streak": 0,
        "longest_streak": 0,
        "last_guess_date": None,
    }


def test_the_leaderboard(client: Client, user: User, practice: Question) -> None:
    services.answer(user, practice.id, right(practice))
    assert client.get("/api/leaderboard").json() == [
        {"rank": 1, "name": "Ann", "total_correct": 1, "current_streak": 0, "longest_streak": 0}
    ]


def test_most_guessed(client: Client, user: User, practice: Question) -> None:
    services.answer(user, practice.id, wrong(practice))
    (row,) = client.get("/api/countries/most-guessed").json()
    assert (row["code"], row["emoji"], row["guesses"]) == (right(practice), practice.country.flag_emoji, 1)


# --- Session --------------------------------------------------------------------------------------------------------


@pytest.fixture
def browser() -> Client:
    """A client that checks CSRF tokens, as a browser's requests are."""
    return Client(enforce_csrf_checks=True)


def log_in(browser: Client, email: str, password: str = PASSWORD) -> Any:
    token = browser.get("/api/csrf").json()["csrf_token"]
    credentials = {"email": email, "password": password}
    return browser.post("/api/session", credentials, JSON, headers={"X-CSRFToken": token}).json()


def test_log_in_play_log_out(browser: Client, user: User, practice: Question) -> None:
    session = log_in(browser, user.email)
    assert session["user"] == {"id": user.id, "email": user.email, "name": "Ann"}

    headers = {"X-CSRFToken": str(session["csrf_token"])}
    answer = {"question_id": practice.id, "country_code": right(practice)}
    assert browser.post("/api/answers", answer, JSON, headers=headers).status_code == 201

    assert browser.delete("/api/session", headers=headers).status_code == 204
    assert browser.get("/api/session").json()["user"] is None


def test_logging_in_does_not_depend_on_capitals(browser: Client, user: User) -> None:
    assert log_in(browser, user.email.upper())["user"]["id"] == user.id


def test_who_am_i(player: Client, client: Client, user: User) -> None:
    assert player.get("/api/session").json()["user"]["email"] == user.email
    assert Client().get("/api/session").json()["user"] is None


# --- Queries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "queries"),
    [
        ("/api/challenge/today", 0),  # question and options are cached for all users
        ("/api/leaderboard", 1),
        ("/api/countries/most-guessed", 1),
        ("/api/session", 0),
        ("/api/openapi.json", 0),
    ],
)
def test_queries_of_a_guests_request(
    client: Client, daily: Question, django_assert_num_queries: DjangoAssertNumQueries, path: str, queries: int
) -> None:
    client.get("/api/challenge/today")
    with django_assert_num_queries(queries):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("path", "queries"),
    [
        ("/api/challenge/today", 1),  # session, user and answer
        ("/api/practice", 2),  # session and user, question
        ("/api/me/statistics", 2),  # session and user; totals, which a new user has not
    ],
)
def test_queries_of_a_players_request(
    player: Client,
    daily: Question,
    practice: Question,
    django_assert_num_queries: DjangoAssertNumQueries,
    path: str,
    queries: int,
) -> None:
    player.get(path)  # fills the cache of shared data
    with django_assert_num_queries(queries):
        assert player.get(path).status_code == 200


def test_todays_question_is_read_again_after_a_second(
    client: Client, daily: Question, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.get("/api/challenge/today")
    later = time.monotonic() + services.SHARED_SECONDS
    monkeypatch.setattr(per_worker, "monotonic", lambda: later)
    with django_assert_num_queries(1):
        client.get("/api/challenge/today")


def test_a_corrected_name_is_seen_within_a_minute(
    client: Client, daily: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Countries are cached, with a TTL."""
    client.get("/api/challenge/today")
    Country.objects.filter(id=daily.options[0]).update(name="Corrected")
    later = time.monotonic() + services.COUNTRIES.seconds
    monkeypatch.setattr(per_worker, "monotonic", lambda: later)
    options = client.get("/api/challenge/today").json()["question"]["options"]
    assert options[0]["name"] == "Corrected"


def test_queries_of_an_answer(
    player: Client, practice: Question, user: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    player.get("/api/practice")
    body = {"question_id": practice.id, "country_code": right(practice)}
    # session and user, question; savepoint, lock (for the first answer: insert, lock), answer, totals, closing.
    # A later answer: tests/app/test_round_trips.py
    with django_assert_num_queries(10):
        player.post("/api/answers", body, JSON)


def test_a_longer_leaderboard_needs_no_more_queries(
    client: Client,
    make_user: Callable[..., User],
    countries: dict[str, Country],
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for _ in range(5):
        other = make_user()
        question = services.new_practice_question(other)
        services.answer(other, question.id, right(question))
    with django_assert_num_queries(1):
        assert len(client.get("/api/leaderboard").json()) == 5
