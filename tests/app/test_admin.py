"""The admin: every page opens, obeys the CSP, and needs as many queries for many rows as for one."""

import datetime
import re
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.plugins.otp_totp.models import TOTPDevice

from conftest import PASSWORD, right
from flags import services
from flags.models import Country, Question, UserAnswer
from users.models import User, UserStats

LISTS = [
    "/admin/users/user/",
    "/admin/users/userstats/",
    "/admin/flags/country/",
    "/admin/flags/dailychallenge/",
    "/admin/flags/question/",
    "/admin/flags/useranswer/",
]


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    root = User.objects.create_superuser("root@example.org", PASSWORD)
    client.force_login(root)
    session = client.session
    session[DEVICE_ID_SESSION_KEY] = TOTPDevice.objects.create(user=root).persistent_id
    session.save()
    return client


@pytest.fixture
def play(countries: dict[str, Country], make_user: Callable[..., User]) -> Callable[[int], None]:
    """Fill every table with a user's answers of so many days."""

    def days(count: int) -> None:
        for offset in range(count):
            player = make_user()
            moment = datetime.datetime(2026, 1, 1 + offset, tzinfo=datetime.UTC)
            for question in (services.daily_question(moment), services.new_practice_question(player)):
                services.answer(player, question.id, right(question), moment)

    return days


@pytest.mark.parametrize("path", ["/admin/", "/admin/users/user/add/", *LISTS])
def test_every_page_opens_and_needs_no_inline_code(admin: Client, play: Callable[[int], None], path: str) -> None:
    play(1)
    page = admin.get(path).content.decode()
    assert "Log out" in page
    assert not re.search(r"<style|<script(?![^>]*(src=|application/json))|<[^>]+\s(style|on\w+)=", page)


@pytest.mark.parametrize("path", LISTS)
def test_more_rows_need_no_more_queries(admin: Client, play: Callable[[int], None], path: str) -> None:
    play(1)
    admin.get(path)  # content types are read once per process
    with CaptureQueriesContext(
        connection,
    ) as one:
        admin.get(path)
    play(5)
    with CaptureQueriesContext(connection) as many:
        admin.get(path)
    assert len(many) == len(one)


@pytest.mark.parametrize("path", LISTS)
def test_every_search_works(admin: Client, play: Callable[[int], None], path: str) -> None:
    play(1)
    assert admin.get(path, {"q": "example"}).status_code == 200


@pytest.mark.parametrize("model", [UserStats, Country, Question, UserAnswer])
def test_the_games_rows_are_read_only(admin: Client, play: Callable[[int], None], model: type[Country]) -> None:
    play(1)
    row = model.objects.first()
    assert row is not None
    path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    assert admin.get(f"{path}{row.pk}/change/").status_code == 200
    assert admin.post(f"{path}{row.pk}/change/").status_code == 403
    assert admin.get(f"{path}add/").status_code == 403


def test_a_created_account_can_log_in(admin: Client) -> None:
    form = {"email": "New@Example.org", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    assert admin.post("/admin/users/user/add/", form).status_code == 302
    assert Client().login(username="new@example.org", password=PASSWORD)


def test_an_address_that_has_an_account_is_a_message_not_a_crash(admin: Client, user: User) -> None:
    form = {"email": user.email.upper(), "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    assert "has an account already" in admin.post("/admin/users/user/add/", form).content.decode()


def test_an_account_can_be_deactivated(admin: Client, user: User) -> None:
    form = {"email": user.email, "display_name": "Ann"}
    assert admin.post(f"/admin/users/user/{user.pk}/change/", form).status_code == 302
    assert not Client().login(username=user.email, password=PASSWORD)


@pytest.mark.parametrize("way", ["page", "action"])
def test_deleting_a_user_deletes_their_questions_and_answers(
    admin: Client, practice: Question, user: User, way: str
) -> None:
    services.answer(user, practice.id, right(practice))
    if way == "page":
        path, form = f"/admin/users/user/{user.pk}/delete/", {}
    else:
        path, form = "/admin/users/user/", {"action": "delete_selected", "_selected_action": str(user.pk)}
    asked = admin.get(path) if way == "page" else admin.post(path, form)
    assert f"{user}, with all answers" in asked.content.decode()
    admin.post(path, {**form, "post": "yes"})
    assert not User.objects.filter(pk=user.pk).exists()
    assert not UserAnswer.objects.exists()
    assert not UserStats.objects.exists()


@pytest.mark.parametrize("way", ["page", "action"])
def test_no_administrator_deletes_the_log_of_their_own_changes(admin: Client, way: str) -> None:
    root = User.objects.get()
    if way == "page":
        path, form = f"/admin/users/user/{root.pk}/delete/", {}
    else:
        path, form = "/admin/users/user/", {"action": "delete_selected", "_selected_action": str(root.pk)}
    page = admin.post(path, {**form, "post": "yes"})
    assert "your own account" in page.content.decode()
    assert User.objects.filter(pk=root.pk).exists()


def test_keys_of_second_factors_are_not_in_the_admin(admin: Client) -> None:
    assert admin.get("/admin/otp_totp/totpdevice/").status_code == 404
