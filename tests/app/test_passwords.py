"""Password change, password reset by mail, and failed logins."""

import json
import logging
import os
import re
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail
from django.test import Client

import core.mail
from conftest import PASSWORD
from core.logs import JsonFormatter
from flags.models import Country
from users import login_attempts
from users.models import User

NEW = "another long sentence of words"
CHANGE, RESET, LOGIN, API = "/accounts/password/", "/accounts/password/reset/", "/accounts/login/", "/api/session"


def log_in(client: Client, email: str, password: str = PASSWORD) -> bool:
    client.post(LOGIN, {"username": email, "password": password})
    return "_auth_user_id" in client.session


def change(client: Client, **fields: str) -> Any:
    form = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW, **fields}
    return client.post(CHANGE, form)


class TestChanging:
    def test_the_new_password_counts_and_the_old_one_does_not(
        self, client_of: Callable[[User], Client], user: User
    ) -> None:
        assert change(client_of(user)).status_code == 302
        assert (log_in(Client(), user.email, NEW), log_in(Client(), user.email)) == (True, False)

    def test_this_session_lasts_and_others_end(
        self, client_of: Callable[[User], Client], user: User, countries: dict[str, Country]
    ) -> None:
        here, elsewhere = client_of(user), client_of(user)
        change(here)
        assert here.get("/statistics/").status_code == 200
        assert elsewhere.get("/statistics/").status_code == 302

    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ({"old_password": "wrong"}, "entered incorrectly"),
            ({"new_password2": "other"}, "didn’t match"),
            ({"new_password1": "password", "new_password2": "password"}, "too common"),
        ],
    )
    def test_each_error_changes_nothing(
        self, client_of: Callable[[User], Client], user: User, fields: dict[str, str], complaint: str
    ) -> None:
        assert complaint in change(client_of(user), **fields).content.decode()
        assert log_in(Client(), user.email)

    def test_a_guest_is_sent_to_log_in(self, client: Client, db: None) -> None:
        assert client.get(CHANGE)["Location"] == f"{LOGIN}?next={CHANGE}"


class TestReset:
    def link(self, client: Client, email: str) -> str:
        client.post(RESET, {"email": email})
        (sent,) = mail.outbox
        assert sent.to == [email.lower()]
        found = re.search(r"http://testserver(/\S+)", str(sent.body))
        assert found
        return found[1]

    def test_the_link_sets_a_new_password_once(self, client: Client, user: User) -> None:
        link = self.link(client, user.email.upper().replace("EXAMPLE", "example"))
        form = client.get(link)["Location"]
        assert form == link.partition("?token=")[0]
        assert client.post(form, {"new_password1": NEW, "new_password2": NEW})["Location"] == LOGIN
        assert (log_in(Client(), user.email, NEW), log_in(Client(), user.email)) == (True, False)
        assert "used already" in client.get(link, follow=True).content.decode()

    @pytest.mark.parametrize("token", ["", "set-password", "x", "c9x2dy-0123456789abcdef", "%00"])
    def test_a_forged_link_sets_none(self, client: Client, user: User, token: str) -> None:
        uid = self.link(client, user.email).split("/")[-2]
        for path in (f"{RESET}{uid}/", f"{RESET}{uid}/?token={token}", f"{RESET}x/?token={token}"):
            client.post(path, {"new_password1": NEW, "new_password2": NEW})
            assert "used already" in client.get(path, follow=True).content.decode()
        assert log_in(client, user.email)

    def test_no_log_has_the_token(
        self, client: Client, user: User, caplog: pytest.LogCaptureFixture, settings: Any
    ) -> None:
        caplog.set_level(logging.DEBUG)
        settings.SLOW_REQUEST_SECONDS = 0  # each is logged
        token = (link := self.link(client, user.email)).partition("?token=")[2]
        client.get(link)
        printed = [JsonFormatter().format(record) for record in caplog.records]
        assert any(RESET in line for line in printed)
        assert not any(token in line for line in printed)

    def test_a_session_that_was_taken_over_ends(
        self, client: Client, client_of: Callable[[User], Client], user: User, countries: dict[str, Country]
    ) -> None:
        taken = client_of(user)
        form = client.get(self.link(client, user.email))["Location"]
        client.post(form, {"new_password1": NEW, "new_password2": NEW})
        assert taken.get("/statistics/").status_code == 302

    @pytest.mark.parametrize("address", ["unknown@example.org", "deactivated"])
    def test_the_answer_does_not_reveal_accounts_and_no_mail_is_sent(
        self, client: Client, user: User, make_user: Callable[..., User], address: str
    ) -> None:
        other = make_user(is_active=False).email if address == "deactivated" else address
        refused = client.post(RESET, {"email": other}, follow=True)
        assert mail.outbox == []
        accepted = client.post(RESET, {"email": user.email}, follow=True)
        assert len(mail.outbox) == 1
        assert refused.content == accepted.content

    def test_a_link_is_for_an_hour(self, client: Client, user: User, settings: Any) -> None:
        link = self.link(client, user.email)
        settings.PASSWORD_RESET_TIMEOUT = -1
        assert "used already" in client.get(link, follow=True).content.decode()

    def test_another_host_is_not_in_the_mail(self, client: Client, user: User) -> None:
        assert client.post(RESET, {"email": user.email}, HTTP_HOST="evil.example").status_code == 400
        assert mail.outbox == []

    def test_without_a_mail_server_it_is_not_offered(self, client: Client, user: User, settings: Any) -> None:
        settings.SENDS_MAIL = False
        assert [client.post(path, {"email": user.email}).status_code for path in (RESET, f"{RESET}sent/")] == [404, 404]
        assert client.get(f"{RESET}MQ/?token=x-y").status_code == 404


class Mailbox(socketserver.StreamRequestHandler):
    """As much of an SMTP server as it takes to accept a message; `server.received` has its lines."""

    def handle(self) -> None:
        self.wfile.write(b"220 mailbox\r\n")
        for line in self.rfile:
            if line.upper().startswith(b"DATA"):
                self.wfile.write(b"354 go on\r\n")
                self.server.received = list(iter(self.rfile.readline, b".\r\n"))  # type: ignore[attr-defined]
            self.wfile.write(b"250 fine\r\n")
            if line.upper().startswith(b"QUIT"):
                return


class MailServer(socketserver.TCPServer):
    timeout = 20  # seconds that `handle_request` waits for a client
    received: list[bytes]


class TestThroughAMailServer:
    @pytest.fixture
    def smtp(self, settings: Any) -> None:
        settings.EMAIL_BACKEND = "core.mail.BackgroundEmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_USE_TLS = "127.0.0.1", False

    def test_it_gets_the_link(self, smtp: None, client: Client, user: User, settings: Any) -> None:
        with MailServer(("127.0.0.1", 0), Mailbox) as server:
            settings.EMAIL_PORT = server.server_address[1]
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            answer = client.post(RESET, {"email": user.email})
            thread.join(timeout=30)
        assert answer.status_code == 302
        message = b"".join(server.received).decode()
        assert f"To: {user.email}" in message
        assert "/accounts/password/reset/" in message

    def test_when_it_is_away_the_answer_is_the_same(
        self, smtp: None, client: Client, user: User, settings: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            settings.EMAIL_PORT = taken.getsockname()[1]
        assert client.post(RESET, {"email": user.email})["Location"] == f"{RESET}sent/"
        wait_for_mails()
        assert "a mail was not sent: Set a new password on testserver" in caplog.text
        assert "ConnectionRefusedError" in caplog.text

    def test_a_process_that_ends_sends_what_is_waiting(self, settings: Any) -> None:
        script = """if True:
            import sys, django
            django.setup()
            from django.conf import settings
            from django.core.mail import send_mail
            settings.EMAIL_BACKEND = "core.mail.BackgroundEmailBackend"
            settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = "127.0.0.1", int(sys.argv[1]), False
            send_mail("subject", "the last words", None, ["a@example.org"])
            """
        with MailServer(("127.0.0.1", 0), Mailbox) as server:
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            command = [sys.executable, "-c", script, str(server.server_address[1])]
            environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
            subprocess.run(command, cwd=settings.BASE_DIR, env=environment, check=True, timeout=30)
            thread.join(timeout=30)
        assert b"the last words\r\n" in server.received

    @pytest.mark.parametrize("path", [RESET, "/accounts/signup/"])
    @pytest.mark.parametrize("known", [True, False])
    def test_no_answer_waits_for_it(
        self, smtp: None, client: Client, user: User, settings: Any, path: str, known: bool
    ) -> None:
        """Or the time would tell which addresses have an account, and a slow server would stop the site."""
        settings.EMAIL_TIMEOUT = silence = 3
        with socket.create_server(("127.0.0.1", 0)) as silent:
            settings.EMAIL_PORT = silent.getsockname()[1]
            started = time.monotonic()
            client.post(path, {"email": user.email if known else "unknown@example.org"})
            assert time.monotonic() - started < silence
        wait_for_mails()


def wait_for_mails() -> None:
    """Until both threads are free again."""
    barrier = threading.Barrier(3)
    for _ in range(2):
        core.mail.threads.submit(barrier.wait)
    barrier.wait(timeout=20)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """What the log has of failed logins, as it is printed."""

    def found() -> list[dict[str, Any]]:
        printed = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
        return [line for line in printed if line.get("event") == "login_failed"]

    caplog.set_level(logging.INFO)
    return found


class TestFailedLogins:
    @pytest.mark.parametrize("way", ["page", "api"])
    def test_account_and_reason_are_logged_and_what_was_typed_is_not(
        self, user: User, make_user: Callable[..., User], lines: Callable[[], list[dict[str, Any]]], way: str
    ) -> None:
        deactivated = make_user(is_active=False)
        for email in (user.email, deactivated.email, "my secret@example.org"):
            fail(email, way)
        assert [(line["account"], line["reason"]) for line in lines()] == [
            (user.pk, "wrong_password"),
            (deactivated.pk, "deactivated"),
            (None, "no_such_account"),
        ]
        assert len({line["address"] for line in lines()}) == 3
        assert not re.search("secret|typed|example", json.dumps(lines()))
        assert {line["client"] for line in lines()} == {"192.0.2.9"}

    @pytest.mark.parametrize("way", ["page", "api"])
    @pytest.mark.parametrize("known", [True, False])
    def test_an_account_takes_only_so_many(
        self, user: User, lines: Callable[[], list[dict[str, Any]]], way: str, known: bool
    ) -> None:
        email = user.email if known else "unknown@example.org"
        told = [  # from another address each time: the API has a limit by address, too
            "Too many attempts" in fail(email.upper() if number % 2 else email, way, client=f"192.0.2.{number}")
            for number in range(login_attempts.ATTEMPTS + 1)
        ]
        assert told == [False] * (login_attempts.ATTEMPTS - 1) + [True, True]
        assert lines()[-1]["reason"] == "too_many_attempts"
        if known:
            assert not log_in(Client(), email), "the right password is refused, too: guessing it must not pay"

    def test_other_accounts_are_not_limited(self, user: User, make_user: Callable[..., User]) -> None:
        for _ in range(login_attempts.ATTEMPTS + 1):
            fail(user.email, "page")
        assert log_in(Client(), make_user().email)

    def test_a_login_starts_anew_and_a_session_is_not_touched(
        self, client_of: Callable[[User], Client], user: User, countries: dict[str, Country]
    ) -> None:
        session = client_of(user)
        for _ in range(login_attempts.ATTEMPTS - 1):
            fail(user.email, "page")
        assert log_in(Client(), user.email)
        for _ in range(login_attempts.ATTEMPTS):
            fail(user.email, "page")
        assert not log_in(Client(), user.email)
        assert session.get("/statistics/").status_code == 200


def fail(email: str, way: str, client: str = "192.0.2.9") -> str:
    """Log in with a wrong password; what the client is told."""
    browser = Client(HTTP_X_FORWARDED_FOR=client)
    if way == "page":
        return browser.post(LOGIN, {"username": email, "password": "typed"}).content.decode()
    answer = browser.post(API, {"email": email, "password": "typed"}, content_type="application/json")
    return str(answer.json()["error"]["message"])
