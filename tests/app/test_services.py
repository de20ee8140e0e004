"""The rules of the game."""

import datetime
from collections.abc import Callable

import pytest
from django.db import transaction

from conftest import as_read, right, wrong
from flags import selection, services
from flags.models import Country, DailyChallenge, Question, UserAnswer
from users.models import User, UserStats

UTC = datetime.UTC
DAY = datetime.timedelta(days=1)


# --- The daily challenge --------------------------------------------------------------------------------------------


def test_all_players_get_the_same_challenge(countries: dict[str, Country]) -> None:
    today = datetime.date(2026, 3, 10)
    assert services.challenge_for(today) == services.challenge_for(today)


def test_a_challenge_stores_the_version_of_its_algorithm(countries: dict[str, Country]) -> None:
    assert services.challenge_for(datetime.date(2026, 3, 10)).selection_algorithm_version == selection.VERSION


def test_the_past_stays_when_the_algorithm_changes(
    countries: dict[str, Country], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = services.challenge_for(datetime.date(2026, 3, 10))
    monkeypatch.setattr(selection, "VERSION", 2)
    assert services.challenge_for(before.date).country == before.country


def test_the_daily_question_asks_for_the_challenges_country(
    countries: dict[str, Country], noon: datetime.datetime
) -> None:
    assert services.daily_question(noon).country == services.challenge_for(noon.date()).country


@pytest.mark.parametrize("offset", [-11, 0, 14])
def test_the_day_is_utcs_wherever_the_clock_is(countries: dict[str, Country], offset: int) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=offset))
    moment = datetime.datetime(2026, 3, 10, 23, 59, 59, tzinfo=UTC).astimezone(zone)
    challenge = services.daily_question(moment).challenge
    assert challenge
    assert challenge.date == datetime.date(2026, 3, 10)


def test_without_countries_the_error_says_what_to_run(db: None, user: User) -> None:
    asks: list[Callable[[], Question]] = [services.daily_question, lambda: services.new_practice_question(user)]
    for ask in asks:
        with pytest.raises(services.NoCountries, match="run `python manage"):
            ask()


def test_too_few_countries_that_look_different_are_not_enough(db: None, user: User) -> None:
    for code in ("AA", "AB", "AC", "AD"):
        Country.objects.create(code=code, name=code, lookalikes=["AA", "AB", "AC", "AD"])
    with pytest.raises(services.NoCountries):
        services.new_practice_question(user)


# --- Options --------------------------------------------------------------------------------------------------------


def options_for(country: Country) -> list[Country]:
    by_id = Country.objects.in_bulk(services._options_for(country))
    return list(by_id.values())


def test_every_country_gets_four_different_options_with_itself(countries: dict[str, Country]) -> None:
    for country in countries.values():
        options = services._options_for(country)
        assert country.id in options
        assert len(set(options)) == 4


def test_no_two_options_look_alike(countries: dict[str, Country]) -> None:
    for country in countries.values():
        options = options_for(country)
        assert not any(one.looks_like(other) for one in options for other in options if one != other)


def test_wrong_options_come_from_the_same_region(countries: dict[str, Country]) -> None:
    for country in countries.values():
        assert {option.region for option in options_for(country)} == {country.region}


def test_a_region_that_is_too_small_borrows_from_the_world(countries: dict[str, Country]) -> None:
    lonely = Country.objects.create(code="ZZ", name="Atlantis", region="Ocean floor")
    assert len(services._options_for(lonely)) == 4


def test_the_right_option_is_not_always_in_the_same_place(countries: dict[str, Country]) -> None:
    france = countries["FR"]
    assert {services._options_for(france).index(france.id) for _ in range(100)} == {0, 1, 2, 3}


def test_options_are_shown_in_the_stored_order(practice: Question) -> None:
    assert [option.id for option in services.options_of(practice)] == practice.options


# --- Practice -------------------------------------------------------------------------------------------------------


def test_an_unanswered_practice_question_is_asked_again(practice: Question, user: User) -> None:
    assert services.new_practice_question(user) == practice
    assert services.open_practice_question(user) == practice


def test_after_the_answer_comes_another_question(practice: Question, user: User) -> None:
    services.answer(user, practice.id, right(practice))
    assert services.open_practice_question(user) is None
    assert services.new_practice_question(user) != practice


def test_practice_does_not_repeat_soon(countries: dict[str, Country], user: User) -> None:
    asked = []
    for _ in range(services.PRACTICE_MEMORY + 1):
        question = services.new_practice_question(user)
        services.answer(user, question.id, right(question))
        asked.append(question.country_id)
    assert len(set(asked)) == len(asked)


# --- Answering ------------------------------------------------------------------------------------------------------


def test_a_right_answer(practice: Question, user: User) -> None:
    answer = services.answer(user, practice.id, right(practice))
    assert answer.is_correct
    assert services.statistics(user).total_correct == 1


def test_a_wrong_answer(practice: Question, user: User) -> None:
    answer = services.answer(user, practice.id, wrong(practice))
    assert not answer.is_correct
    assert (services.statistics(user).total_answers, services.statistics(user).total_correct) == (1, 0)


def test_a_question_is_answered_once(practice: Question, user: User) -> None:
    services.answer(user, practice.id, wrong(practice))
    with pytest.raises(services.AlreadyAnswered):
        services.answer(user, practice.id, right(practice))
    assert services.statistics(user).total_answers == 1


def test_the_daily_question_is_answered_once_by_each(
    countries: dict[str, Country], make_user: Callable[..., User], noon: datetime.datetime
) -> None:
    question = services.daily_question(noon)
    for player in (make_user(), make_user()):
        services.answer(player, question.id, right(question), noon)
    assert UserAnswer.objects.filter(question=question).count() == 2


@pytest.mark.parametrize("code", ["ZZ", "", "fr", "\x00\x00", "X" * 10_000])
def test_only_an_option_is_an_answer(practice: Question, user: User, code: str) -> None:
    with pytest.raises(services.NotAnOption):
        services.answer(user, practice.id, code)


def test_another_users_practice_question_does_not_exist(practice: Question, make_user: Callable[..., User]) -> None:
    with pytest.raises(services.QuestionNotFound):
        services.answer(make_user(), practice.id, right(practice))


@pytest.mark.parametrize("question_id", [0, -1, 2**63, 10**30])
def test_an_invalid_id_does_not_exist(user: User, question_id: int) -> None:
    with pytest.raises(services.QuestionNotFound):
        services.answer(user, question_id, "FR")


def test_an_answer_that_fails_leaves_no_trace(practice: Question, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UserStats, "save", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        services.answer(user, practice.id, right(practice))
    assert not UserAnswer.objects.exists()
    assert services.open_practice_question(user) == practice


def test_an_unforeseen_constraint_is_not_taken_for_a_second_answer(
    practice: Question, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UserStats, "count", lambda self, is_correct: setattr(self, "total_correct", 5))
    with pytest.raises(Exception, match="userstats_correct_le_answers"):
        services.answer(user, practice.id, right(practice))


def test_answer_to_finds_the_users_own_answer(practice: Question, user: User, make_user: Callable[..., User]) -> None:
    given = services.answer(user, practice.id, right(practice))
    assert services.answer_to(user, practice) == given
    assert services.answer_to(make_user(), practice) is None


# --- Midnight -------------------------------------------------------------------------------------------------------

LAST_MOMENT = datetime.datetime(2026, 3, 10, 23, 59, 59, 999999, tzinfo=UTC)
MIDNIGHT = datetime.datetime(2026, 3, 11, tzinfo=UTC)


def test_a_challenge_can_be_answered_until_midnight(countries: dict[str, Country], user: User) -> None:
    question = services.daily_question(LAST_MOMENT)
    services.answer(user, question.id, right(question), LAST_MOMENT)
    assert services.statistics(user, LAST_MOMENT).last_guess_date == datetime.date(2026, 3, 10)


def test_at_midnight_it_is_closed(countries: dict[str, Country], user: User) -> None:
    question = services.daily_question(LAST_MOMENT)
    with pytest.raises(services.ChallengeClosed):
        services.answer(user, question.id, right(question), MIDNIGHT)


def test_at_midnight_there_is_a_new_one(countries: dict[str, Country]) -> None:
    assert services.daily_question(LAST_MOMENT) != services.daily_question(MIDNIGHT)


def test_tomorrows_question_does_not_exist_yet(countries: dict[str, Country], user: User) -> None:
    tomorrow = services.daily_question(MIDNIGHT)
    with pytest.raises(services.QuestionNotFound):
        services.answer(user, tomorrow.id, right(tomorrow), LAST_MOMENT)


def test_an_answer_that_is_overtaken_at_midnight_still_counts(countries: dict[str, Country], user: User) -> None:
    # Both arrived in time; yesterday's was handled later.
    yesterday, today = services.daily_question(LAST_MOMENT), services.daily_question(MIDNIGHT)
    services.answer(user, today.id, right(today), MIDNIGHT)
    services.answer(user, yesterday.id, right(yesterday), LAST_MOMENT)
    statistics = services.statistics(user, MIDNIGHT)
    assert (statistics.current_streak, statistics.longest_streak, statistics.total_correct) == (2, 2, 2)


def test_a_wrong_answer_that_is_overtaken_does_not_end_the_new_streak(
    countries: dict[str, Country], user: User
) -> None:
    yesterday, today = services.daily_question(LAST_MOMENT), services.daily_question(MIDNIGHT)
    services.answer(user, today.id, right(today), MIDNIGHT)
    services.answer(user, yesterday.id, wrong(yesterday), LAST_MOMENT)
    assert services.statistics(user, MIDNIGHT).current_streak == 1


# --- Figures --------------------------------------------------------------------------------------------------------


def test_a_new_user_has_empty_statistics(user: User) -> None:
    assert services.statistics(user) == services.Statistics(0, 0, 0, 0, None)
    assert services.statistics(user).accuracy == 0


def test_accuracy_is_a_percentage() -> None:
    assert services.Statistics(3, 1, 0, 0, None).accuracy == 33.3


def test_practice_does_not_touch_the_streak(practice: Question, user: User) -> None:
    services.answer(user, practice.id, right(practice))
    assert services.statistics(user).longest_streak == 0
    assert services.statistics(user).last_guess_date is None


def stats_of(user: User, correct: int, longest: int = 0, **fields: object) -> None:
    today = datetime.date(2026, 3, 10)
    UserStats.objects.create(
        user=user,
        total_answers=correct,
        total_correct=correct,
        **{"longest_streak": longest, "last_guess_date": today, **fields},
    )


def test_the_leaderboard_orders_by_right_answers_then_streak(make_user: Callable[..., User]) -> None:
    for name, correct, longest in (("Bo", 5, 1), ("Cy", 9, 1), ("Di", 5, 2)):
        stats_of(make_user(display_name=name), correct, longest)
    assert [(row.rank, row.name) for row in services.leaderboard().rows] == [(1, "Cy"), (2, "Di"), (3, "Bo")]


def test_equal_results_share_a_rank(make_user: Callable[..., User]) -> None:
    for correct in (7, 7, 3):
        stats_of(make_user(), correct)
    assert [row.rank for row in services.leaderboard().rows] == [1, 1, 3]


def test_the_leaderboard_leaves_out_deactivated_users(make_user: Callable[..., User]) -> None:
    stats_of(make_user(is_active=False), 5)
    stats_of(make_user(), 0)
    assert services.leaderboard().rows == []


def test_the_leaderboard_shows_no_email(make_user: Callable[..., User]) -> None:
    player = make_user()
    stats_of(player, 5)
    assert player.email not in str(services.leaderboard().rows)


def test_the_leaderboard_shows_a_missed_day(make_user: Callable[..., User]) -> None:
    stats_of(make_user(), 5, 3, current_streak=3)
    the_day_after_next = datetime.datetime(2026, 3, 12, tzinfo=UTC)
    assert services.leaderboard(now=the_day_after_next).rows[0].current_streak == 0


def test_the_leaderboard_is_as_long_as_asked(make_user: Callable[..., User]) -> None:
    for correct in (1, 2, 3):
        stats_of(make_user(), correct)
    assert len(services.leaderboard(2).rows) == 2


def test_most_guessed_counts_the_asked_country(practice: Question, user: User) -> None:
    services.answer(user, practice.id, wrong(practice))
    (row,) = services.most_guessed().rows
    assert (row.code, row.guesses) == (right(practice), 1)


def test_most_guessed_leaves_out_todays_challenge_until_it_is_over(
    countries: dict[str, Country], user: User, noon: datetime.datetime
) -> None:
    question = services.daily_question(noon)
    services.answer(user, question.id, wrong(question), noon)
    assert services.most_guessed(now=noon).rows == []
    (row,) = services.most_guessed(now=noon + DAY).rows
    assert (row.code, row.guesses) == (right(question), 1)


def test_most_guessed_is_cached(practice: Question, user: User) -> None:
    assert services.most_guessed().rows == []
    services.answer(user, practice.id, wrong(practice))
    assert services.most_guessed().rows == []
    assert services.most_guessed(9).rows != []


def test_a_challenge_created_in_advance_is_used_on_its_day(
    countries: dict[str, Country], noon: datetime.datetime
) -> None:
    DailyChallenge.objects.create(date=noon.date(), country=countries["TD"], selection_algorithm_version=0)
    assert services.daily_question(noon).country.code == "TD"


# --- The totals that were read with the user -------------------------------------------------------------------------


def answer_daily(user: User, moment: datetime.datetime) -> None:
    question = services.daily_question(moment)
    services.answer(user, question.id, right(question), moment)


@pytest.mark.parametrize("days", [0, 1])
def test_totals_that_changed_since_they_were_read_are_read_again(
    countries: dict[str, Country], user: User, noon: datetime.datetime, days: int
) -> None:
    """By answers of two requests at once: the later one is counted on top."""
    answer_daily(user, noon)
    early, late = as_read(user), as_read(user)
    question = services.new_practice_question(early)
    services.answer(early, question.id, right(question))
    answer_daily(late, noon + datetime.timedelta(days=1 + days))
    stats = UserStats.objects.get(user=user)
    assert (stats.total_answers, stats.total_correct, stats.current_streak) == (3, 3, 2 - days)


def test_a_second_answer_breaks_no_transaction_around_it(practice: Question, user: User) -> None:
    services.answer(user, practice.id, right(practice))
    with transaction.atomic():
        with pytest.raises(services.AlreadyAnswered):
            services.answer(as_read(user), practice.id, right(practice))
        assert services.statistics(user).total_answers == 1


def test_an_answer_is_shown_in_the_statistics_of_the_same_request(
    countries: dict[str, Country], user: User, noon: datetime.datetime
) -> None:
    answer_daily(user, noon - datetime.timedelta(days=1))
    player = as_read(user)
    answer_daily(player, noon)
    assert services.statistics(player, noon).current_streak == 2


def test_a_practice_question_is_closed_with_its_answer(practice: Question, user: User) -> None:
    services.answer(user, practice.id, right(practice))
    question = services.new_practice_question(player := as_read(user))
    services.answer(player, question.id, right(question))
    assert services.open_practice_question(user) is None
