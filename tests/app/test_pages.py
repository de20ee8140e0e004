"""The pages: contents, permissions, and equal results with htmx and with plain forms."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from conftest import PASSWORD, right, wrong
from flags import services
from flags.flag_images import flag_url
from flags.models import Country, Question
from users.forms import HAS_ACCOUNT
from users.models import User

HTMX = {"HX-Request": "true"}


@pytest.fixture
def player(client_of: Callable[[User], Client], user: User) -> Client:
    return client_of(user)


def text(response: Any) -> str:
    """The page's text without markup."""
    assert response.status_code == 200, response
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def answer_page(client: Client, question: Question, code: str, **extra: Any) -> Any:
    return client.post(reverse("question", args=[question.id]), {"country": code}, **extra)


class TestToday:
    def test_a_guest_sees_the_flag_and_is_asked_to_sign_up(self, client: Client, countries: dict[str, Country]) -> None:
        page = client.get("/")
        assert flag_url(services.daily_question().country) in page.content.decode()
        assert "Sign up to answer" in text(page)
        assert b'name="country"' not in page.content

    def test_a_player_gets_four_buttons_in_order(self, player: Client, countries: dict[str, Country]) -> None:
        codes = re.findall(rb'name="country" value="(\w\w)" data-key="(\d)"', player.get("/").content)
        expected = [option.code for option in services.options_of(services.daily_question())]
        assert [(code.decode(), int(key)) for code, key in codes] == [(c, n) for n, c in enumerate(expected, 1)]

    def test_the_answer_is_not_on_the_page_before_it_is_given(
        self, player: Client, countries: dict[str, Country]
    ) -> None:
        question = services.daily_question()
        page = player.get("/").content.decode()
        assert page.count(question.country.name) == 1, "once, as an option"
        assert question.country.flag_emoji not in page
        assert page.count("/flags/") == 1, "one picture: the options have none"

    def test_a_right_answer_starts_a_streak(self, player: Client, countries: dict[str, Country]) -> None:
        question = services.daily_question()
        response = answer_page(player, question, right(question), follow=True)
        assert response.redirect_chain[-1] == ("/", 302)
        assert f"Right! It’s {question.country.name}" in text(response)
        assert "Streak: 1 day" in text(response)

    def test_a_wrong_answer_shows_the_right_one(self, player: Client, countries: dict[str, Country]) -> None:
        question = services.daily_question()
        page = text(answer_page(player, question, wrong(question), follow=True))
        assert f"Not quite. It’s {question.country.name}" in page
        assert "A new streak can begin tomorrow" in page

    def test_the_page_says_how_long_the_challenge_is_open(self, player: Client, countries: dict[str, Country]) -> None:
        question = services.daily_question()
        answer_page(player, question, right(question))
        assert re.search(r"Next flag in (\d+ h )?\d+ min", text(player.get("/")))

    def test_answered_options_show_their_flags(self, player: Client, countries: dict[str, Country]) -> None:
        question = services.daily_question()
        answer_page(player, question, wrong(question))
        page = player.get("/").content.decode()
        assert all(flag_url(option) in page for option in services.options_of(question))


class TestPractice:
    def test_the_same_question_waits_until_it_is_answered(self, player: Client, practice: Question) -> None:
        assert reverse("question", args=[practice.id]) in player.get("/practice/").content.decode()
        assert reverse("question", args=[practice.id]) in player.get("/practice/").content.decode()

    def test_without_htmx_an_answer_redirects_to_the_question(self, player: Client, practice: Question) -> None:
        response = answer_page(player, practice, right(practice), follow=True)
        assert response.redirect_chain == [(reverse("question", args=[practice.id]), 302)]
        assert f"Right! It’s {practice.country.name}" in text(response)

    def test_with_htmx_the_response_is_a_part_of_the_page(self, player: Client, practice: Question) -> None:
        response = answer_page(player, practice, right(practice), headers=HTMX)
        assert f"Right! It’s {practice.country.name}" in text(response)
        assert b"<html" not in response.content
        assert b'id="announcer" hx-swap-oob' in response.content

    def test_with_htmx_the_next_question_is_a_part_and_varies_by_the_header(
        self, player: Client, practice: Question
    ) -> None:
        response = player.get("/practice/", headers=HTMX)
        assert response.status_code == 200
        assert b"<html" not in response.content
        assert "HX-Request" in response["Vary"]
        assert "no-store" in response["Cache-Control"]

    def test_a_second_answer_shows_the_first(self, player: Client, practice: Question, user: User) -> None:
        answer_page(player, practice, right(practice))
        page = text(answer_page(player, practice, wrong(practice), headers=HTMX))
        assert "Right!" in page
        assert services.statistics(user).total_answers == 1

    @pytest.mark.parametrize("code", ["", "XX", "nonsense", "\x00"])
    def test_an_answer_that_is_not_an_option_is_rejected(
        self, player: Client, practice: Question, user: User, code: str
    ) -> None:
        assert answer_page(player, practice, code).status_code == 400
        assert services.statistics(user).total_answers == 0

    def test_another_users_question_does_not_exist(
        self, client_of: Callable[[User], Client], make_user: Callable[..., User], practice: Question
    ) -> None:
        other = client_of(make_user())
        assert answer_page(other, practice, right(practice)).status_code == 404
        assert other.get(reverse("question", args=[practice.id])).status_code == 404

    def test_an_id_beyond_bigint_does_not_exist(self, player: Client, countries: dict[str, Country]) -> None:
        assert player.get("/questions/99999999999999999999/").status_code == 404
        assert player.post("/questions/99999999999999999999/", {"country": "FR"}).status_code == 404

    def test_todays_question_redirects_to_the_home_page(self, player: Client, countries: dict[str, Country]) -> None:
        response = player.get(reverse("question", args=[services.daily_question().id]))
        assert response.status_code == 302
        assert response["Location"] == "/"

    def test_yesterdays_challenge_says_that_it_is_over(
        self, player: Client, countries: dict[str, Country], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        question = services.daily_question()

        def closed(*args: object) -> None:
            raise services.ChallengeClosed

        monkeypatch.setattr(services, "answer", closed)
        assert "This challenge has ended" in text(answer_page(player, question, "FR", follow=True))
        assert answer_page(player, question, "FR", headers=HTMX)["HX-Redirect"] == "/"


class TestWhoMaySeeWhat:
    @pytest.mark.parametrize("path", ["/practice/", "/statistics/", "/questions/1/"])
    def test_guests_are_sent_to_log_in_and_back(self, client: Client, path: str) -> None:
        response = client.get(path)
        assert response.status_code == 302
        assert response["Location"] == f"/accounts/login/?next={path}"

    def test_htmx_is_told_to_leave_the_page_for_the_login(self, client: Client) -> None:
        response = client.post("/questions/1/", {"country": "FR"}, headers=HTMX)
        assert response.status_code == 204
        assert response["HX-Redirect"].startswith("/accounts/login/")

    @pytest.mark.parametrize("path", ["/", "/leaderboard/", "/most-guessed/", "/accounts/login/", "/accounts/signup/"])
    def test_guests_may_read(self, client: Client, countries: dict[str, Country], path: str) -> None:
        assert client.get(path).status_code == 200

    @pytest.mark.parametrize("path", ["/", "/practice/", "/statistics/", "/leaderboard/", "/most-guessed/"])
    def test_pages_are_read_only(self, player: Client, countries: dict[str, Country], path: str) -> None:
        assert player.post(path).status_code == 405

    def test_an_answer_needs_the_forms_token(self, user: User, practice: Question) -> None:
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(user)
        response = answer_page(strict, practice, right(practice))
        assert response.status_code == 403
        assert "Please try that again" in response.content.decode()


class TestFigures:
    def test_the_leaderboard_has_names_and_never_an_address(
        self, client: Client, make_user: Callable[..., User], countries: dict[str, Country]
    ) -> None:
        people = [make_user(display_name="Grace"), make_user()]
        question = services.daily_question()
        for person in people:
            services.answer(person, question.id, right(question))
        page = text(client.get("/leaderboard/"))
        assert "Grace" in page
        assert people[1].public_name in page
        assert "@example" not in page

    def test_names_are_text_not_markup(
        self, client: Client, make_user: Callable[..., User], countries: dict[str, Country]
    ) -> None:
        question = services.daily_question()
        services.answer(make_user(display_name="<script>alert(1)</script>"), question.id, right(question))
        assert b"<script>alert" not in client.get("/leaderboard/").content

    def test_the_users_own_row_is_marked(self, player: Client, user: User, countries: dict[str, Country]) -> None:
        question = services.daily_question()
        services.answer(user, question.id, right(question))
        assert b'class="you"' in player.get("/leaderboard/").content

    def test_my_statistics_list_my_last_answers(self, player: Client, user: User, practice: Question) -> None:
        services.answer(user, practice.id, wrong(practice))
        page = text(player.get("/statistics/"))
        assert "right answers 0 of 1" in page
        assert practice.country.name in page

    @pytest.mark.parametrize(
        ("path", "words"),
        [
            ("/statistics/", "No answers yet"),
            ("/leaderboard/", "No player has a right answer"),
            ("/most-guessed/", "No flag"),
        ],
    )
    def test_an_empty_page_says_what_to_do(self, player: Client, path: str, words: str) -> None:
        assert words in text(player.get(path))

    def test_most_guessed_countries_come_with_their_flags(self, client: Client, user: User, practice: Question) -> None:
        services.answer(user, practice.id, wrong(practice))
        page = client.get("/most-guessed/")
        assert practice.country.name in text(page)
        assert flag_url(practice.country).encode() in page.content

    def test_todays_answer_is_not_on_the_most_guessed_page(
        self, client: Client, user: User, countries: dict[str, Country]
    ) -> None:
        question = services.daily_question()
        services.answer(user, question.id, right(question))
        assert question.country.name not in text(client.get("/most-guessed/"))

    def test_a_longer_table_costs_no_more_queries(
        self, player: Client, user: User, countries: dict[str, Country]
    ) -> None:
        def queries() -> int:
            with CaptureQueriesContext(connection) as captured:
                player.get("/statistics/")
            return len(captured)

        services.answer(user, (first := services.new_practice_question(user)).id, right(first))
        with_one = queries()
        for _ in range(4):
            services.answer(user, (next_one := services.new_practice_question(user)).id, right(next_one))
        assert queries() == with_one


FORM = {"email": "New@Example.org", "display_name": "New one", "password": "a sentence no one else uses"}


class TestSigningUpWithoutMail:
    """Where no mail is sent; with it: test_accounts.py."""

    @pytest.fixture(autouse=True)
    def no_mail(self, settings: Any) -> None:
        settings.SENDS_MAIL = False

    def test_creates_a_user_and_logs_in(self, client: Client, countries: dict[str, Country]) -> None:
        response = client.post("/accounts/signup/", FORM, follow=True)
        assert response.redirect_chain == [("/", 302)]
        assert response.context["user"] == User.objects.get(email="new@example.org")
        assert "New one" in text(response)

    def test_redirects_to_next_on_this_site_only(self, client: Client, countries: dict[str, Country]) -> None:
        response = client.post("/accounts/signup/", {**FORM, "next": "/practice/"})
        assert response["Location"] == "/practice/"
        client.logout()
        response = client.post("/accounts/signup/", {**FORM, "email": "b@example.org", "next": "https://evil.example/"})
        assert response["Location"] == "/"

    def test_a_name_is_optional(self, client: Client, countries: dict[str, Country]) -> None:
        page = text(client.post("/accounts/signup/", {**FORM, "display_name": "  "}, follow=True))
        assert User.objects.get().public_name in page
        assert "new@example" not in page

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            ({"email": "nothing"}, "Enter a valid email address"),
            ({"email": ""}, "This field is required"),
            ({"password": "short"}, "too short"),
            ({"password": "password1"}, "too common"),
            ({"password": "new@example.org"}, "too similar"),
            ({"display_name": "me@example.org"}, "leave out the @"),
            ({"display_name": "a\u202eb"}, "invisible characters"),
            ({"display_name": "x" * 41}, "at most 40"),
        ],
    )
    def test_reports_each_error(self, client: Client, db: None, change: dict[str, str], complaint: str) -> None:
        assert complaint in text(client.post("/accounts/signup/", {**FORM, **change}))
        assert not User.objects.exists()

    def test_an_address_has_one_account_whatever_its_case(
        self, client: Client, make_user: Callable[..., User], db: None
    ) -> None:
        User.objects.create_user("new@example.org", PASSWORD)
        assert HAS_ACCOUNT in text(client.post("/accounts/signup/", FORM))

    def test_two_concurrent_signups_are_not_a_500(
        self, client: Client, db: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        User.objects.create_user("new@example.org", PASSWORD)
        # The first has not committed when the second one checks.
        monkeypatch.setattr("users.forms.SignUpForm.clean_email", lambda form: form.cleaned_data["email"].lower())
        monkeypatch.setattr(User, "validate_constraints", lambda *args, **kwargs: None)
        assert HAS_ACCOUNT in text(client.post("/accounts/signup/", FORM))

    def test_a_logged_in_user_is_redirected(self, player: Client, db: None) -> None:
        assert player.get("/accounts/signup/")["Location"] == "/"

    def test_the_password_is_not_shown_again(self, client: Client, db: None) -> None:
        page = client.post("/accounts/signup/", {**FORM, "email": "nothing"}).content.decode()
        assert FORM["password"] not in page


class TestLoggingIn:
    def test_log_in_and_out(self, client: Client, user: User, countries: dict[str, Country]) -> None:
        response = client.post("/accounts/login/", {"username": user.email.upper(), "password": PASSWORD}, follow=True)
        assert user.public_name in text(response)
        response = client.post("/accounts/logout/", follow=True)
        assert "Log in" in text(response)

    def test_errors_do_not_reveal_accounts(self, client: Client, user: User) -> None:
        def complaint(email: str) -> str:
            page = client.post("/accounts/login/", {"username": email, "password": "wrong"}).content.decode()
            found = re.search(r'role="alert">([^<]+)', page)
            assert found
            return found[1]

        assert complaint(user.email) == complaint("nobody@example.org")

    def test_logging_out_needs_a_post(self, player: Client, countries: dict[str, Country]) -> None:
        assert player.get("/accounts/logout/").status_code == 405

    @pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
    def test_next_leads_to_this_site_only(self, client: Client, user: User, target: str) -> None:
        response = client.post(f"/accounts/login/?next={target}", {"username": user.email, "password": PASSWORD})
        assert response["Location"] == "/"

    def test_no_mail_is_sent(self, client: Client, user: User) -> None:
        client.post("/accounts/login/", {"username": user.email, "password": PASSWORD})
        assert mail.outbox == []


class TestEveryPage:
    PATHS = ("/", "/practice/", "/statistics/", "/leaderboard/", "/most-guessed/", "/nowhere/")

    @pytest.mark.parametrize("path", PATHS)
    def test_has_nothing_inline(self, player: Client, countries: dict[str, Country], path: str) -> None:
        """But the site's own style sheet, whose hash is in the policy (test_security.py)."""
        page = player.get(path).content.decode()
        assert not re.search(r"<style\s|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|javascript:", page)

    @pytest.mark.parametrize("path", PATHS)
    def test_loads_nothing_from_other_hosts(self, player: Client, countries: dict[str, Country], path: str) -> None:
        assert not re.search(r'(src|href|action)="(https?:)?//', player.get(path).content.decode())

    @pytest.mark.parametrize("path", PATHS)
    def test_has_a_policy_that_allows_nothing_inline(
        self, player: Client, countries: dict[str, Country], path: str
    ) -> None:
        policy = player.get(path)["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy

    def test_an_unknown_page_is_a_404_page(self, client: Client, db: None) -> None:
        response = client.get("/nowhere/")
        assert response.status_code == 404
        assert "No flag is flying here" in response.content.decode()

    def test_an_exception_is_a_500_page_without_queries(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        def crash(*args: object) -> None:
            raise RuntimeError("a fault")

        monkeypatch.setattr(services, "most_guessed", crash)
        client.raise_request_exception = False
        response = client.get("/most-guessed/")  # without the db fixture: a query would fail the test
        assert response.status_code == 500
        assert "on our side" in response.content.decode()
