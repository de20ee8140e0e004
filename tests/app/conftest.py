"""Fixtures of the app's tests: users, countries, times, clients."""

import datetime
from collections.abc import Callable, Generator
from itertools import count
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from hypothesis import settings as hypothesis_settings
from psycopg.pq import TransactionStatus

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
    services.DAILY_QUESTIONS.clear()
    services.COUNTRIES.clear()


# What a session keeps after its transaction. PgBouncer would lend it to the next request like that. It knows which
# client has prepared which statement, if the protocol's message has done that and not SQL.
LASTING_STATE = """
    SELECT 'setting ' || name FROM pg_settings WHERE source = 'session'
    UNION ALL SELECT 'lock ' || objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
    UNION ALL SELECT 'channel ' || channel FROM pg_listening_channels() AS channel
    UNION ALL SELECT 'cursor ' || name FROM pg_cursors WHERE is_holdable
    UNION ALL SELECT 'statement ' || name FROM pg_prepared_statements WHERE from_sql
    UNION ALL SELECT 'temporary table ' || oid FROM pg_class WHERE relnamespace = pg_my_temp_schema()"""


def lasting_state(session: Any) -> list[str]:
    """What would leak to the next user of this server session. The query goes past Django, and is not counted."""
    return [row[0] for row in session.execute(LASTING_STATE).fetchall()]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """After each test that used the database: its session is as it was when it was opened."""
    result = yield
    uses_database = item.get_closest_marker("django_db") or {"db", "transactional_db"} & set(item.fixturenames)  # type: ignore[attr-defined]
    session = connection.connection
    usable = session and not session.closed and session.info.transaction_status != TransactionStatus.INERROR
    if uses_database and usable:
        assert lasting_state(session) == [], "the app changed its session, which PgBouncer shares"
    return result


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


def as_read(user: User) -> User:
    """The user as a request has it: read now, with the totals (users.sessions)."""
    return User.objects.select_related("stats").get(pk=user.pk)


def right(question: Question) -> str:
    """The code of the right answer."""
    return question.country.code


def wrong(question: Question) -> str:
    """The code of a wrong option."""
    return next(option.code for option in services.options_of(question) if option.id != question.country_id)
