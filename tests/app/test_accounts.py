"""Signing up by mail, one's own data, and the account's end."""

import json
import logging
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core import mail, signing
from django.db import connection
from django.db.models.signals import pre_save
from django.test import Client
from django.test.utils import CaptureQueriesContext

from conftest import PASSWORD, right, wrong
from flags import guesses, personal_data, services, totals
from flags.models import Country, Question, UserAnswer
from users import login_attempts, mail_limit, sign_up, views
from users.models import User, UserStats

SIGN_UP, SENT, CONFIRM = "/accounts/signup/", "/accounts/signup/sent/", "/accounts/signup/confirm/"
ACCOUNT, EXPORT, DELETE = "/accounts/", "/accounts/export/", "/accounts/delete/"
NEW = "new@example.org"
FORM = {"display_name": "New one", "password": "a sentence no one else uses"}


def ask(client: Client, email: str = NEW, **fields: str) -> Any:
    return client.post(SIGN_UP, {"email": email, **fields})


def link() -> str:
    """The path of the link in the only mail."""
    (sent,) = mail.outbox
    (url,) = re.findall(r"http://testserver\S+", str(sent.body))
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


class TestSigningUpByMail:
    def test_the_link_makes_the_account_and_logs_in(self, client: Client, countries: dict[str, Country]) -> None:
        assert ask(client, "New@Example.org").headers["Location"] == SENT
        assert mail.outbox[0].to == [NEW]
        assert not User.objects.exists(), "nothing is stored for an address that is not verified"
        elsewhere = Client()
        assert NEW in elsewhere.get(link()).content.decode()
        assert not User.objects.exists(), "scanners of mails open links"
        page = elsewhere.post(link(), FORM, follow=True)
        assert page.redirect_chain == [("/", 302)]
        assert (page.context["user"].email, page.context["user"].display_name) == (NEW, "New one")
        assert Client().login(username=NEW, password=FORM["password"])

    def test_an_address_with_an_account_gets_the_same_answer_and_another_mail(self, user: User) -> None:
        def answer(email: str) -> tuple[object, ...]:
            client = Client()
            with CaptureQueriesContext(connection) as captured:
                asked = ask(client, email)
            page = client.get(SENT)
            queries = [query["sql"].replace(email.lower(), "…") for query in captured]
            return asked.status_code, asked["Location"], asked.cookies.keys(), page.content, queries

        assert answer(user.email.upper()) == answer(NEW)
        known, unknown = mail.outbox
        assert "has an account already" in str(known.body)
        assert CONFIRM not in str(known.body)
        assert CONFIRM in str(unknown.body)
        assert User.objects.get().check_password(PASSWORD)

    @pytest.mark.parametrize("state", ["deactivated", "without a password"])
    def test_an_account_that_can_not_log_in_is_not_revealed_nor_replaced(
        self, client: Client, make_user: Callable[..., User], state: str
    ) -> None:
        other = make_user(is_active=state != "deactivated")
        other.set_unusable_password()
        other.save()
        assert ask(client, other.email)["Location"] == SENT
        assert CONFIRM not in str(mail.outbox[0].body)

    def test_a_link_makes_one_account(self, client: Client, countries: dict[str, Country]) -> None:
        ask(client)
        client.post(link(), FORM)
        again = Client()
        assert "was used already" in again.get(link()).content.decode()
        again.post(link(), {**FORM, "password": "another long sentence"})
        assert User.objects.get().check_password(FORM["password"])

    def test_of_two_clicks_at_once_one_makes_the_account(self, client: Client, db: None) -> None:
        ask(client)

        def faster(sender: object, **_: object) -> None:
            User.objects.bulk_create([User(email=NEW)])

        pre_save.connect(faster, sender=User)
        try:
            assert client.post(link(), FORM)["Location"] == link()
        finally:
            pre_save.disconnect(faster, sender=User)

    def test_a_link_is_for_a_day(self, client: Client, db: None, settings: Any) -> None:
        ask(client)
        settings.SIGN_UP_TIMEOUT = -1
        assert "older than a day" in client.post(link(), FORM).content.decode()
        assert not User.objects.exists()

    @pytest.mark.parametrize("token", ["", "x", "\x00", signing.dumps([NEW, ""]), signing.dumps([NEW, ""], key="k")])
    def test_a_forged_link_makes_none(self, client: Client, db: None, token: str) -> None:
        assert "incomplete" in client.post(f"{CONFIRM}?token={token}", FORM).content.decode()
        assert not User.objects.exists()

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [({"password": "password1"}, "too common"), ({"password": NEW}, "too similar"), ({"display_name": "@"}, "@")],
    )
    def test_the_second_page_reports_errors(
        self, client: Client, db: None, change: dict[str, str], complaint: str
    ) -> None:
        ask(client)
        assert complaint in client.post(link(), {**FORM, **change}).content.decode()
        assert not User.objects.exists()

    def test_another_address_can_not_be_set_on_the_second_page(
        self, client: Client, countries: dict[str, Country]
    ) -> None:
        ask(client)
        client.post(link(), {**FORM, "email": "other@example.org", "is_staff": "on"})
        assert User.objects.values_list("email", "is_staff").get() == (NEW, False)

    @pytest.mark.parametrize(("target", "page"), [("/practice/", "/practice/"), ("https://evil.example/", "/")])
    def test_it_leads_to_next_on_this_site(self, client: Client, db: None, target: str, page: str) -> None:
        ask(client, next=target)
        assert client.post(link(), FORM)["Location"] == page

    def test_an_invalid_address_is_an_error(self, client: Client, db: None) -> None:
        assert "Enter a valid email address" in ask(client, "nothing").content.decode()
        assert mail.outbox == []

    def test_another_host_is_not_in_the_mail(self, client: Client, db: None) -> None:
        assert client.post(SIGN_UP, {"email": NEW}, HTTP_HOST="evil.example").status_code == 400
        assert mail.outbox == []

    def test_an_address_gets_so_many_mails(self, client: Client, user: User, make_user: Callable[..., User]) -> None:
        for address in (NEW, user.email):
            answers = {ask(client, address)["Location"] for _ in range(mail_limit.MAILS + 1)}
            client.post("/accounts/password/reset/", {"email": address.upper()})
            assert answers == {SENT}
            assert sum(message.to == [address] for message in mail.outbox) == mail_limit.MAILS
        ask(client, make_user().email)
        assert len(mail.outbox) == 2 * mail_limit.MAILS + 1, "other addresses get theirs"

    def test_without_a_mail_server_there_are_no_links(self, client: Client, db: None, settings: Any) -> None:
        settings.SENDS_MAIL = False
        token = signing.dumps([NEW, ""], salt=sign_up.SALT)
        paths = (SENT, f"{CONFIRM}?token={token}")
        assert [client.post(path, FORM).status_code for path in paths] == [404, 404]
        assert not User.objects.exists()

    @pytest.mark.parametrize(("server", "words"), [("", True), ("smtp.example", False)])
    def test_development_says_where_the_mail_is(
        self, client: Client, db: None, settings: Any, server: str, words: bool
    ) -> None:
        settings.EMAIL_HOST = server
        assert ("docker compose logs app" in client.get(SENT).content.decode()) is words


@pytest.fixture
def player(client_of: Callable[[User], Client], user: User) -> Client:
    return client_of(user)


@pytest.fixture
def play(countries: dict[str, Country]) -> Callable[..., None]:
    """Answer today's challenge, and so many practice questions."""

    def play(user: User, practice: int = 1) -> None:
        today = services.daily_question()
        services.answer(user, today.id, right(today))
        for number in range(practice):
            question = services.new_practice_question(user)
            services.answer(user, question.id, (right if number % 2 else wrong)(question))

    return play


class TestAccountPage:
    def test_it_leads_to_everything(self, player: Client, user: User) -> None:
        page = player.get(ACCOUNT).content.decode()
        assert user.email in page
        assert all(f'"{path}"' in page for path in ("/accounts/password/", EXPORT, DELETE))

    @pytest.mark.parametrize("path", [ACCOUNT, EXPORT, DELETE])
    def test_a_guest_is_sent_to_log_in(self, client: Client, db: None, path: str) -> None:
        assert client.get(path)["Location"] == f"/accounts/login/?next={path}"
        assert client.post(path).status_code in (302, 405)

    @pytest.mark.parametrize("path", [EXPORT, DELETE])
    def test_a_form_of_another_site_does_nothing(self, user: User, path: str) -> None:
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(user)
        assert strict.post(path, {"password": PASSWORD}).status_code == 403
        assert User.objects.exists()


class TestExport:
    def exported(self, client: Client) -> Any:
        answer = client.post(EXPORT)
        assert re.fullmatch(r'attachment; filename="flag-learning-[0-9-]{10}\.json"', answer["Content-Disposition"])
        assert "no-store" in answer["Cache-Control"]
        return json.loads(b"".join(answer.streaming_content))  # type: ignore[attr-defined]

    def test_it_has_account_totals_and_answers(self, player: Client, user: User, play: Callable[..., None]) -> None:
        play(user)
        found = self.exported(player)
        assert (found["account"]["email"], found["account"]["display_name"]) == (user.email, "Ann")
        assert (found["totals"]["total_answers"], found["totals"]["current_streak"]) == (2, 1)
        practised, today = found["answers"]
        assert (practised["kind"], practised["is_correct"], practised["challenge"]) == ("practice", False, None)
        assert today["country"] == today["answer"] == services.daily_question().country.name
        assert today["challenge"] == str(services.utc_date())

    def test_a_new_account_has_a_valid_file(self, player: Client) -> None:
        found = self.exported(player)
        assert (found["totals"], found["answers"]) == (None, [])

    def test_it_has_no_secret_and_no_row_of_others(
        self, player: Client, user: User, make_user: Callable[..., User], play: Callable[..., None]
    ) -> None:
        play(make_user(), practice=2)
        found = self.exported(player)
        assert found["answers"] == []
        assert "password" not in json.dumps(found)

    def test_many_answers_come_in_batches_each_once(
        self, player: Client, user: User, play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(personal_data, "EXPORT_BATCH", 2)
        play(user, practice=4)
        times = [answer["answered_at"] for answer in self.exported(player)["answers"]]
        assert len(set(times)) == 5
        assert times == sorted(times, reverse=True)

    def test_coming_back_from_the_login_page_is_the_account_page(self, player: Client) -> None:
        assert player.get(EXPORT)["Location"] == ACCOUNT


def consistent() -> bool:
    """Whether totals and guess counts are those of the answers."""
    return totals.differences(services.utc_date()) == [] and guesses.differences() == []


class TestDeletion:
    @pytest.fixture(autouse=True)
    def small_batches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(personal_data, "DELETE_BATCH", 2)

    def delete(self, client: Client, password: str = PASSWORD) -> Any:
        return client.post(DELETE, {"password": password}, follow=True)

    def test_everything_goes_and_every_session_ends(
        self, player: Client, client_of: Callable[[User], Client], user: User, play: Callable[..., None]
    ) -> None:
        play(user, practice=4)
        services.new_practice_question(user)
        elsewhere = client_of(user)
        page = self.delete(player)
        assert page.redirect_chain == [("/", 302)]
        assert "are deleted" in page.content.decode()
        for model in (User, UserStats, UserAnswer):
            assert not model.objects.exists()
        assert not Question.objects.exclude(user=None).exists()
        assert [session.get("/statistics/").status_code for session in (player, elsewhere)] == [302, 302]
        assert not Client().login(username=user.email, password=PASSWORD)

    def test_an_interrupted_deletion_is_done_again(
        self, player: Client, user: User, play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        play(user, practice=4)
        monkeypatch.setattr(views, "DELETION_SECONDS", -1)
        assert "Send the form once more" in self.delete(player).content.decode()
        assert UserAnswer.objects.count() == 3
        assert consistent()
        monkeypatch.setattr(views, "DELETION_SECONDS", 20)
        self.delete(player)
        assert not User.objects.exists()

    def test_a_wrong_password_deletes_nothing_and_is_a_failed_login(
        self, player: Client, user: User, play: Callable[..., None], caplog: pytest.LogCaptureFixture
    ) -> None:
        play(user)
        with caplog.at_level(logging.WARNING):
            assert "not your password" in self.delete(player, "typed").content.decode()
        assert "login failed: wrong_password" in caplog.text
        assert UserAnswer.objects.count() == 2
        for _ in range(login_attempts.ATTEMPTS):
            page = self.delete(player, "typed")
        assert "Too many attempts" in page.content.decode()
        self.delete(player)
        assert User.objects.exists(), "the right one is refused, too: guessing it must not pay"

    def test_a_stolen_session_can_not_guess_the_password_by_changing_it(self, player: Client, user: User) -> None:
        form = {"old_password": "typed", "new_password1": FORM["password"], "new_password2": FORM["password"]}
        for _ in range(login_attempts.ATTEMPTS):
            page = player.post("/accounts/password/", form)
        assert "Too many attempts" in page.content.decode()
        player.post("/accounts/password/", {**form, "old_password": PASSWORD})
        user.refresh_from_db()
        assert user.check_password(PASSWORD)

    def test_staff_can_not_delete_the_log_of_what_they_did(
        self, client_of: Callable[[User], Client], make_user: Callable[..., User]
    ) -> None:
        staff = make_user(is_staff=True)
        page = self.delete(client_of(staff))
        assert "Another administrator" in page.content.decode()
        assert User.objects.filter(pk=staff.pk).exists()
