"""Constraints and indexes."""

from collections.abc import Callable

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, models

from conftest import PASSWORD
from flags.models import Country, DailyChallenge, Question, UserAnswer
from users.models import User, UserStats

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("model", "table"),
    [
        (User, "users_user"),
        (UserStats, "users_userstats"),
        (Country, "flags_country"),
        (DailyChallenge, "flags_dailychallenge"),
        (Question, "flags_question"),
        (UserAnswer, "flags_useranswer"),
    ],
)
def test_the_tables_have_the_references_names(model: type[models.Model], table: str) -> None:
    assert model._meta.db_table == table


def test_no_index_is_the_beginning_of_another() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT short.indexrelid::regclass::text, long.indexrelid::regclass::text
            FROM pg_index short
            JOIN pg_index long ON short.indrelid = long.indrelid AND short.indexrelid <> long.indexrelid
            JOIN pg_class c ON c.oid = short.indrelid
            WHERE (c.relname LIKE 'users\\_user%' OR c.relname LIKE 'flags\\_%') AND c.relname NOT LIKE '%\\_groups'
              AND c.relname NOT LIKE '%\\_permissions'
              AND long.indkey::text || ' ' LIKE short.indkey::text || ' %'
              AND short.indpred IS NOT DISTINCT FROM long.indpred
            """
        )
        assert cursor.fetchall() == []


# --- People ---------------------------------------------------------------------------------------------------------


def test_an_email_is_case_insensitive() -> None:
    created = User.objects.create_user("Ann@Example.ORG", PASSWORD)
    assert created.email == "ann@example.org"
    assert User.objects.get(email="ANN@example.org") == created


def test_an_email_has_one_account() -> None:
    User.objects.create_user("ann@example.org")
    with pytest.raises(IntegrityError, match="user_email_once"):
        User.objects.create_user("ANN@example.org")


def test_the_database_rejects_capitals_that_bypass_the_field(user: User) -> None:
    with pytest.raises(IntegrityError, match="user_email_lowercase"), connection.cursor() as cursor:
        cursor.execute("UPDATE users_user SET email = 'ANN@example.org'")


def test_a_user_needs_an_email() -> None:
    with pytest.raises(ValueError, match="e-mail address"):
        User.objects.create_user("")


def test_a_superuser_may_open_the_admin() -> None:
    root = User.objects.create_superuser("root@example.org", PASSWORD)
    assert root.is_staff
    assert root.is_superuser


def test_the_public_name_is_never_the_email(make_user: Callable[..., User]) -> None:
    assert make_user(display_name="Ann").public_name == "Ann"
    anonymous = make_user()
    assert anonymous.public_name == f"Player {anonymous.pk}"


@pytest.mark.parametrize(
    ("totals", "constraint"),
    [
        ({"total_correct": 1}, "userstats_correct_le_answers"),
        ({"total_answers": 1, "total_correct": 1, "current_streak": 1}, "userstats_current_le_longest"),
        ({"total_answers": 1, "longest_streak": 1}, "userstats_longest_le_correct"),
        ({"total_answers": 1, "total_correct": 1, "longest_streak": 1}, "userstats_streak_has_a_date"),
        ({"current_streak": -1}, "users_userstats_current_streak_check"),
    ],
)
def test_contradictory_totals_are_rejected(user: User, totals: dict[str, int], constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        UserStats.objects.create(user=user, **totals)


# --- The game -------------------------------------------------------------------------------------------------------


def question(countries: dict[str, Country], **fields: object) -> Question:
    france = countries["FR"]
    options = [france.id, *(countries[code].id for code in ("DE", "IT", "ES"))]
    return Question(**{"kind": "practice", "country": france, "options": options, **fields})


def test_a_practice_question_has_a_user(countries: dict[str, Country]) -> None:
    with pytest.raises(IntegrityError, match="question_kind_consistent"):
        question(countries).save()


def test_a_daily_question_has_no_user(countries: dict[str, Country], user: User) -> None:
    with pytest.raises(IntegrityError, match="question_kind_consistent"):
        question(countries, kind="daily", user=user).save()


def test_a_question_has_four_options(countries: dict[str, Country], user: User) -> None:
    with pytest.raises(IntegrityError, match="question_four_options"):
        question(countries, user=user, options=[countries["FR"].id]).save()


def test_the_right_answer_is_an_option(countries: dict[str, Country], user: User) -> None:
    with pytest.raises(IntegrityError, match="question_has_right_option"):
        question(countries, user=user, country=countries["JP"]).save()


def test_one_practice_question_is_open_per_user(countries: dict[str, Country], user: User) -> None:
    question(countries, user=user, is_open=True).save()
    question(countries, user=user, is_open=False).save()
    with pytest.raises(IntegrityError, match="question_one_open_per_user"):
        question(countries, user=user, is_open=True).save()


def test_a_challenge_has_one_question(countries: dict[str, Country]) -> None:
    challenge = DailyChallenge.objects.create(date="2026-01-01", country=countries["FR"], selection_algorithm_version=1)
    question(countries, kind="daily", challenge=challenge).save()
    with pytest.raises(IntegrityError, match="flags_question_challenge_id_key"):
        question(countries, kind="daily", challenge=challenge).save()


def test_a_day_has_one_challenge(countries: dict[str, Country]) -> None:
    day = {"date": "2026-01-01", "selection_algorithm_version": 1}
    DailyChallenge.objects.create(country=countries["FR"], **day)
    with pytest.raises(IntegrityError, match="dailychallenge_date_once"):
        DailyChallenge.objects.create(country=countries["DE"], **day)


def test_a_country_code_is_two_capitals() -> None:
    with pytest.raises(IntegrityError, match="country_code_form"):
        Country.objects.create(code="fr", name="France", flag_emoji="🇫🇷", region="Europe", subregion="Western Europe")
    with pytest.raises(ValidationError):
        Country(code="FR\n"[:3], name="France").clean_fields()


def test_looking_alike_counts_in_both_directions() -> None:
    monaco, indonesia = Country(code="MC", lookalikes=["ID"]), Country(code="ID")
    assert indonesia.looks_like(monaco)
    assert monaco.looks_like(indonesia)
