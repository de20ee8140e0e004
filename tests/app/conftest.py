"""Fixtures of the app's tests: users, countries, times, clients."""

import datetime
from collections.abc import Callable
from itertools import count

import pytest
from django.core.cache import cache
from django.test import Client
from hypothesis import settings as hypothesis_settings

from flags import services
from flags.countries import load_countries
from flags.models import Country, Question
from users.models import User

# The same examples in every run, so that a failure is caused by the change.
hypothesis_settings.register_profile("stable", derandomize=True, database=None, deadline=None)
hypothesis_settings.load_profile("stable")

PASSWORD = "correct horse battery staple"

numbers = count(1)


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    """Clear throttle counters and cached data of earlier tests."""
    cache.clear()


@pytest.fixture
def countries(db: None) -> dict[str, Country]:
    """The 195 countries, by code."""
    load_countries()
    return {country.code: country for country in Country.objects.all()}


@pytest.fixture
def make_user(db: None) -> Callable[..., User]:
    def make(**fields: object) -> User:
        return User.objects.create_user(f"player{next(numbers)}@example.org", PASSWORD, **fields)

    return make


@pytest.fixture
def user(make_user: Callable[..., User]) -> User:
    return make_user(display_name="Ann")


@pytest.fixture
def noon() -> datetime.datetime:
    """A time far from midnight."""
    return datetime.datetime(2026, 3, 10, 12, tzinfo=datetime.UTC)


@pytest.fixture
def practice(countries: dict[str, Country], user: User) -> Question:
    """The user's unanswered practice question."""
    return services.new_practice_question(user)


@pytest.fixture
def client_of() -> Callable[[User], Client]:
    """A client that is logged in and exempt from CSRF checks."""

    def of(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return of


def right(question: Question) -> str:
    """The code of the right answer."""
    return question.country.code


def wrong(question: Question) -> str:
    """The code of a wrong option."""
    return next(option.code for option in services.options_of(question) if option.id != question.country_id)
