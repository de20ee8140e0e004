"""Concurrent requests: real threads, connections and transactions."""

import datetime
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from django.db import IntegrityError, connection

from conftest import as_read, right, wrong
from flags import guesses, services
from flags.countries import load_countries
from flags.models import OPTIONS_PER_QUESTION, Country, DailyChallenge, Question, UserAnswer
from flags.totals import differences
from users.models import User, UserStats
from users.personal_data import delete
from users.services import expire_streaks

pytestmark = pytest.mark.django_db(transaction=True)

# Below the application role's connection limit.
CROWD = 40

LAST_MOMENT = datetime.datetime(2026, 3, 10, 23, 59, 59, tzinfo=datetime.UTC)
MIDNIGHT = datetime.datetime(2026, 3, 11, tzinfo=datetime.UTC)


def together(*acts: Callable[[], Any]) -> list[Any]:
    """Run the acts concurrently, each on its own connection; return each result or exception."""
    ready = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        try:
            connection.ensure_connection()
            ready.wait(timeout=30)
            return act()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def practice_questions(user: User, count: int) -> list[Question]:
    """Several unanswered practice questions, which the game itself never creates."""
    countries = list(Country.objects.all()[:OPTIONS_PER_QUESTION])
    options = [country.id for country in countries]
    return Question.objects.bulk_create(
        Question(kind="practice", user=user, country=countries[0], options=options) for _ in range(count)
    )


def test_concurrent_first_requests_create_one_challenge(countries: dict[str, Country]) -> None:
    asked = together(*[lambda: services.daily_question(MIDNIGHT).id] * CROWD)
    assert asked == [Question.objects.get().id] * CROWD
    assert DailyChallenge.objects.count() == 1


def test_ten_concurrent_requests_create_one_practice_question(countries: dict[str, Country], user: User) -> None:
    asked = together(*[lambda: services.new_practice_question(user).id] * 10)
    assert asked == [Question.objects.get().id] * 10


def test_ten_concurrent_answers_store_one(practice: Question, user: User) -> None:
    results = together(*[lambda: services.answer(as_read(user), practice.id, right(practice))] * 10)
    assert Counter(type(result) for result in results) == {UserAnswer: 1, services.AlreadyAnswered: 9}
    assert services.statistics(user).total_answers == 1


def test_concurrent_answers_of_one_user_all_count(countries: dict[str, Country], user: User) -> None:
    def answering(question: Question) -> Callable[[], UserAnswer]:
        return lambda: services.answer(as_read(user), question.id, right(question))

    together(*[answering(question) for question in practice_questions(user, 20)])
    assert services.statistics(user).total_correct == 20


def test_concurrent_answers_of_one_user_store_one_in_a_statement_of_its_own(
    countries: dict[str, Country], user: User
) -> None:
    """All have read the same totals: one answer is stored with them at once, the others under the lock."""
    services.answer(user, practice_questions(user, 1)[0].id, "AF")
    questions, at_once = practice_questions(user, 10), services._store_at_once
    read = [as_read(user) for _ in questions]
    stored: list[bool] = []

    def counted(user_answer: UserAnswer) -> bool:
        stored.append(at_once(user_answer))
        return stored[-1]

    with patch.object(services, "_store_at_once", counted):
        results = together(
            *[
                partial(services.answer, reader, question.id, right(question))
                for reader, question in zip(read, questions, strict=True)
            ]
        )
    assert [type(result) for result in results] == [UserAnswer] * 10
    assert sorted(stored) == [False] * 9 + [True]
    assert services.statistics(user).total_answers == 11
    assert differences(services.utc_date()) == []


def test_concurrent_users_answer_the_daily_challenge(
    countries: dict[str, Country], make_user: Callable[..., User]
) -> None:
    question = services.daily_question(MIDNIGHT)

    def answering(player: User) -> Callable[[], UserAnswer]:
        return lambda: services.answer(as_read(player), question.id, right(question), MIDNIGHT)

    together(*[answering(make_user()) for _ in range(CROWD)])
    assert UserStats.objects.filter(current_streak=1, total_correct=1).count() == CROWD


@pytest.mark.parametrize(("choose", "streak"), [(right, 2), (wrong, 1)])
def test_answers_on_both_sides_of_midnight(
    countries: dict[str, Country],
    make_user: Callable[..., User],
    choose: Callable[[Question], str],
    streak: int,
) -> None:
    yesterday, today = services.daily_question(LAST_MOMENT), services.daily_question(MIDNIGHT)
    for player in [make_user() for _ in range(10)]:
        together(
            lambda: services.answer(as_read(player), yesterday.id, choose(yesterday), LAST_MOMENT),  # noqa: B023
            lambda: services.answer(as_read(player), today.id, right(today), MIDNIGHT),  # noqa: B023
        )
        assert services.statistics(player, MIDNIGHT).current_streak == streak
    assert differences(MIDNIGHT.date()) == []


def test_a_streak_is_not_expired_while_it_is_extended(
    countries: dict[str, Country], make_user: Callable[..., User]
) -> None:
    days = [MIDNIGHT + datetime.timedelta(days=offset) for offset in (0, 1)]
    first, second = (services.daily_question(day) for day in days)
    for player in [make_user() for _ in range(5)]:
        services.answer(player, first.id, right(first), days[0])
        together(
            lambda: services.answer(as_read(player), second.id, right(second), days[1]),  # noqa: B023
            lambda: expire_streaks(days[1].date()),
        )
        assert services.statistics(player, days[1]).current_streak == 2


def test_an_account_that_is_deleted_while_it_plays_leaves_nothing(
    countries: dict[str, Country], make_user: Callable[..., User]
) -> None:
    for player in [make_user() for _ in range(5)]:
        asked = practice_questions(player, 10)
        answers = [partial(services.answer, player, question.id, right(question)) for question in asked]
        *answered, deleted = together(*answers, lambda: list(delete(User.objects.get(pk=player.pk))))  # noqa: B023
        assert isinstance(deleted, list), deleted
        # A request that came too late: its question or its user are gone.
        late = {services.QuestionNotFound, IntegrityError, UserStats.DoesNotExist}
        assert {type(result) for result in answered} <= {UserAnswer, *late}
    assert not User.objects.exists()
    assert not UserAnswer.objects.exists()
    assert (differences(MIDNIGHT.date()), guesses.differences()) == ([], [])


def test_two_stacks_that_start_together_load_the_countries_once(db: None) -> None:
    results = together(*[load_countries] * 4)
    assert [result.total for result in results] == [195] * 4
    assert Country.objects.count() == 195
