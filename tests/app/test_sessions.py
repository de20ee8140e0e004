"""Sessions: one statement reads a session, its user and the totals; what changes counts at the next request."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DjangosStore
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils.http import int_to_base36
from pytest_django import DjangoAssertNumQueries

from conftest import PASSWORD, right
from flags import services
from flags.models import Country, Question
from users.models import User, UserStats
from users.sessions import LARGEST_ID, MODEL_BACKEND, SessionStore

ClientOf = Callable[[User], Client]


def key(client: Client) -> str:
    return client.cookies["sessionid"].value


def name(client: Client, session_key: str | None = None) -> str | None:
    """Who the API says is logged in; with another session key, if one is given."""
    if session_key is not None:
        client.cookies["sessionid"] = session_key
    user = client.get("/api/session").json()["user"]
    return user["name"] if user else None


def stored(session_key: str, user: User, **changes: str) -> str:
    """Store a login under this key, in place of the one that the session engine would make."""
    data = {
        SESSION_KEY: str(user.pk),
        BACKEND_SESSION_KEY: MODEL_BACKEND,
        HASH_SESSION_KEY: user.get_session_auth_hash(),
    }
    DjangosStore(session_key).create_model_instance({**data, **changes}).save(force_insert=True)
    return session_key


@pytest.fixture
def other(make_user: Callable[..., User]) -> User:
    return make_user(display_name="Bob")


class TestReading:
    @pytest.mark.parametrize("login", ["form", "api", "force"])
    def test_a_logins_key_ends_with_the_users_id(self, client: Client, user: User, login: str) -> None:
        if login == "form":
            client.post("/accounts/login/", {"username": user.email, "password": PASSWORD})
        elif login == "api":
            client.post("/api/session", {"email": user.email, "password": PASSWORD}, "application/json")
        else:
            client.force_login(user)
        assert re.fullmatch("[a-z0-9]{32}" + int_to_base36(user.pk), key(client))
        assert Session.objects.get().session_key == key(client)

    def test_the_user_is_djangos(self, client_of: ClientOf, user: User, practice: Question) -> None:
        """Each field has the value that the ORM reads."""
        services.answer(user, practice.id, right(practice))
        session = SessionStore(key(client_of(user)))
        session.load()
        assert session.user
        for read, model in ((session.user, User), (session.user.stats, UserStats)):
            expected: Any = model.objects.get(pk=user.pk)
            for field in model._meta.concrete_fields:
                assert getattr(read, field.attname) == getattr(expected, field.attname)
                assert type(getattr(read, field.attname)) is type(getattr(expected, field.attname))
            assert not read._state.adding

    def test_one_statement_reads_session_and_user(
        self, client_of: ClientOf, user: User, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        client = client_of(user)
        with django_assert_num_queries(1):
            assert name(client) == "Ann"

    def test_the_largest_id_fits_the_column(self) -> None:
        assert len("x" * 32 + int_to_base36(LARGEST_ID)) == Session._meta.get_field("session_key").max_length

    def test_a_guests_session_has_djangos_key(self, db: None) -> None:
        session = SessionStore()
        session["language"] = "fr"
        session.save()
        assert len(session.session_key or "") == 32
        assert SessionStore(session.session_key)["language"] == "fr"


class TestAnswerReadWithTheUser:
    """The statement that reads session and user also reads an answer, if that is asked for before."""

    @pytest.fixture
    def session(self, client_of: ClientOf, user: User) -> SessionStore:
        return SessionStore(key(client_of(user)))

    @pytest.fixture
    def daily(self, countries: dict[str, Country]) -> Question:
        return services.daily_question()

    def test_it_costs_no_query_and_is_forgotten_with_an_answer(
        self, session: SessionStore, daily: Question, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        services.read_answer_with_user(session, daily)
        session.load()
        assert session.user
        with django_assert_num_queries(0):
            assert services.answer_to(session.user, daily) is None
        services.answer(session.user, daily.id, right(daily))
        given = services.answer_to(session.user, daily)
        assert given
        assert given.is_correct

    def test_it_is_the_users_own_and_the_questions(
        self, session: SessionStore, user: User, other: User, daily: Question, practice: Question
    ) -> None:
        for player, question in ((other, daily), (user, practice)):
            services.answer(player, question.id, right(question))
        services.read_answer_with_user(session, daily)
        session.load()
        assert session.user
        assert services.answer_to(session.user, daily) is None
        assert services.answer_to(session.user, practice)

    def test_asked_for_too_late_it_costs_a_query(
        self, session: SessionStore, user: User, daily: Question, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        services.answer(user, daily.id, right(daily))
        session.load()
        services.read_answer_with_user(session, daily)
        assert session.user
        with django_assert_num_queries(1):
            assert services.answer_to(session.user, daily)


class TestAtOnce:
    """Another client's change counts at the next request, whichever worker handles it: none keeps anything."""

    def test_a_logout_ends_the_session(self, client_of: ClientOf, user: User) -> None:
        client = client_of(user)
        before, _ = key(client), client.delete("/api/session")
        assert name(Client(), before) is None

    def test_a_changed_password_ends_the_others(self, client_of: ClientOf, user: User) -> None:
        here, elsewhere = client_of(user), client_of(user)
        new = "another long sentence of words"
        here.post("/accounts/password/", {"old_password": PASSWORD, "new_password1": new, "new_password2": new})
        assert (name(here), name(elsewhere)) == ("Ann", None)
        assert key(here).endswith(int_to_base36(user.pk))

    @pytest.mark.parametrize("change", [{"is_active": False}, {"password": "!"}])
    def test_a_deactivated_account_is_a_guest(self, client_of: ClientOf, user: User, change: dict[str, object]) -> None:
        client = client_of(user)
        assert name(client) == "Ann"
        User.objects.update(**change)
        assert name(client) is None

    def test_a_deleted_account_is_a_guest(self, client_of: ClientOf, user: User) -> None:
        client = client_of(user)
        user.delete()
        assert name(client) is None

    def test_a_changed_row_is_read(self, client_of: ClientOf, user: User) -> None:
        client = client_of(user)
        assert name(client) == "Ann"
        User.objects.update(display_name="Anna")
        assert name(client) == "Anna"

    def test_an_expired_session_is_a_guests(self, client_of: ClientOf, user: User) -> None:
        client = client_of(user)
        Session.objects.update(expire_date=user.date_joined)
        assert name(client) is None


class TestForgery:
    def test_another_users_id_in_the_cookie_is_no_session(self, client_of: ClientOf, user: User, other: User) -> None:
        assert name(Client(), key(client_of(user))[:32] + int_to_base36(other.pk)) is None

    def test_the_sessions_data_decides_and_not_its_key(self, user: User, other: User) -> None:
        assert name(Client(), stored("k" * 32 + int_to_base36(other.pk), user)) == "Ann"

    @pytest.mark.parametrize(
        "change", [{BACKEND_SESSION_KEY: "another.Backend"}, {HASH_SESSION_KEY: "another password's"}]
    )
    def test_what_django_does_not_accept_is_not_accepted(self, user: User, change: dict[str, str]) -> None:
        assert name(Client(), stored("k" * 32 + int_to_base36(user.pk), user, **change)) is None


class TestVersions:
    """Old and new containers serve side by side during a rollout, and after a rollback the old ones alone."""

    def test_a_session_from_before_keeps_its_user(self, user: User) -> None:
        assert name(Client(), stored("k" * 32, user)) == "Ann"

    def test_djangos_engine_reads_the_new_keys(self, client_of: ClientOf, user: User) -> None:
        assert DjangosStore(key(client_of(user)))[SESSION_KEY] == str(user.pk)
