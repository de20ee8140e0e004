"""Streaks: updated by each answer, compared with those counted from all answers."""

import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import as_read, right, wrong
from flags import services
from flags.models import Country, Question, UserAnswer
from flags.totals import differences, repair
from users.models import User, UserStats

FIRST = datetime.date(2026, 1, 1)
DAY = datetime.timedelta(days=1)

# A day's answer: right, wrong, or none.
histories = st.lists(st.sampled_from(["right", "wrong", None]), max_size=40)


def play(history: list[str | None]) -> UserStats:
    stats = UserStats()
    for number, outcome in enumerate(history):
        if outcome:
            stats.count(is_correct=outcome == "right")
            stats.extend_streak(FIRST + number * DAY, is_correct=outcome == "right")
    return stats


def runs(history: list[str | None]) -> list[int]:
    """The lengths of the runs of right answers in order: the definition, by string operations."""
    text = "".join("x" if outcome == "right" else " " for outcome in history)
    return [len(run) for run in text.split(" ")]


@given(histories)
def test_the_longest_streak_is_the_longest_run_of_right_days(history: list[str | None]) -> None:
    assert play(history).longest_streak == max(runs(history))


@given(histories)
def test_the_current_streak_is_the_run_that_ends_today(history: list[str | None]) -> None:
    # Today is the last day of the history; without an answer today, the run through yesterday counts.
    today = FIRST + (len(history) - 1) * DAY
    through = history[:-1] if history and history[-1] is None else history
    assert play(history).streak_on(today) == runs(through)[-1]


@given(histories)
def test_a_streak_is_gone_after_a_missed_day(history: list[str | None]) -> None:
    assert play(history).streak_on(FIRST + (len(history) + 1) * DAY) == 0


@pytest.mark.parametrize("days", [364, 365, 366])
def test_a_streak_goes_on_over_new_year_and_leap_day(days: int) -> None:
    stats = UserStats()
    for number in range(days):
        stats.extend_streak(datetime.date(2028, 1, 1) + number * DAY, is_correct=True)
    assert stats.current_streak == days


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, practised=st.lists(st.booleans(), max_size=3), quiet_days=st.integers(0, 3))
def test_answers_recounted_give_the_stored_totals(
    countries: dict[str, Country], history: list[str | None], practised: list[bool], quiet_days: int
) -> None:
    player = User.objects.create_user(f"p{User.objects.count()}@example.org")
    for number, outcome in enumerate(history):
        if outcome:
            noon = datetime.datetime.combine(FIRST + number * DAY, datetime.time(12), datetime.UTC)
            question = services.daily_question(noon)
            services.answer(as_read(player), question.id, (right if outcome == "right" else wrong)(question), noon)
    for is_right in practised:
        question = services.new_practice_question(player)
        services.answer(as_read(player), question.id, (right if is_right else wrong)(question))
    assert differences(FIRST + (len(history) + quiet_days) * DAY) == []


@pytest.fixture
def streak_of_two(countries: dict[str, Country], user: User, noon: datetime.datetime) -> UserStats:
    for moment in (noon - DAY, noon):
        question = services.daily_question(moment)
        services.answer(user, question.id, right(question), moment)
    return UserStats.objects.get(user=user)


@pytest.mark.parametrize(
    "lie",
    [
        {"total_answers": 9},
        {"total_correct": 1, "longest_streak": 1, "current_streak": 1},
        {"current_streak": 1},
        {"last_guess_date": FIRST},
    ],
)
def test_wrong_totals_are_found_and_repaired(
    streak_of_two: UserStats, noon: datetime.datetime, lie: dict[str, object]
) -> None:
    UserStats.objects.filter(pk=streak_of_two.pk).update(**lie)
    (difference,) = differences(noon.date())
    assert next(iter(lie)) in str(difference)
    repair([difference.user_id], noon.date())
    assert UserStats.objects.values().get() == {
        "user_id": streak_of_two.user_id,
        "total_answers": 2,
        "total_correct": 2,
        "current_streak": 2,
        "longest_streak": 2,
        "last_guess_date": noon.date(),
    }


def test_missing_totals_are_created_again(streak_of_two: UserStats, noon: datetime.datetime) -> None:
    streak_of_two.delete()
    repair([difference.user_id for difference in differences(noon.date())], noon.date())
    assert differences(noon.date()) == []


def test_totals_without_answers_become_zero(streak_of_two: UserStats, noon: datetime.datetime) -> None:
    UserAnswer.objects.all().delete()
    repair([streak_of_two.user_id], noon.date())
    assert UserStats.objects.get().total_answers == 0


def test_an_expired_streak_is_no_difference(streak_of_two: UserStats, noon: datetime.datetime) -> None:
    assert differences(noon.date() + 5 * DAY) == []
    UserStats.objects.update(current_streak=0)
    assert differences(noon.date() + 5 * DAY) == []


def test_deleting_a_question_with_its_answers_shows_as_a_difference(
    streak_of_two: UserStats, noon: datetime.datetime
) -> None:
    Question.objects.filter(challenge__date=noon.date()).delete()
    assert len(differences(noon.date())) == 1
