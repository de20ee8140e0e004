"""Who gets into the admin: clients of ADMIN_NETWORKS, as staff, with a second factor."""

import logging
import re
import time
from base64 import b32decode
from collections.abc import Callable
from io import StringIO
from ipaddress import ip_network
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from conftest import PASSWORD
from users.models import User

LOGIN = "/admin/login/"


class TestNetworks:
    @pytest.fixture(autouse=True)
    def networks(self, settings: Any) -> None:
        settings.ADMIN_NETWORKS = [ip_network("192.0.2.0/24"), ip_network("2001:db8:7::/48")]

    @pytest.mark.parametrize(
        ("address", "status"),
        [
            ("192.0.2.9", 302),
            ("2001:db8:7::1", 302),
            ("::ffff:192.0.2.9", 302),
            ("198.51.100.1", 404),
            ("2001:db8:8::1", 404),
            ("::ffff:198.51.100.1", 404),
            ("127.0.0.1", 404),
            ("192.0.2.9, 198.51.100.1", 404),
            ("nonsense", 404),
        ],
    )
    def test_only_the_named_ones_get_in(self, db: None, address: str, status: int) -> None:
        assert Client(HTTP_X_FORWARDED_FOR=address).get("/admin/").status_code == status

    @pytest.mark.parametrize(
        "path", ["/admin/", LOGIN, "/admin/users/user/", "/admin/jsi18n/", "/admin/nothing/", "/%61dmin/login/"]
    )
    @pytest.mark.parametrize("method", ["get", "post"])
    def test_no_page_is_left_out(self, client_of: Callable[[User], Client], user: User, path: str, method: str) -> None:
        user.is_staff = user.is_superuser = True
        user.save()
        outside = getattr(client_of(user), method)(path, headers={"X-Forwarded-For": "198.51.100.1"})
        assert outside.status_code == 404
        assert "No flag is flying here" in outside.content.decode()

    def test_a_refusal_is_logged_with_the_client(self, client: Client, db: None, caplog: Any) -> None:
        with caplog.at_level(logging.WARNING):
            client.get(LOGIN, headers={"X-Forwarded-For": "198.51.100.1"})
        (record,) = [record for record in caplog.records if record.name == "users.admin_site"]
        assert record.fields == {"event": "admin_refused", "client": "198.51.100.1"}

    def test_without_a_header_it_is_the_connections_address(self, client: Client, db: None) -> None:
        assert client.get(LOGIN, REMOTE_ADDR="192.0.2.1").status_code == 200
        assert client.get(LOGIN, REMOTE_ADDR="198.51.100.1").status_code == 404
        assert client.get(LOGIN, REMOTE_ADDR="").status_code == 404

    def test_productions_default_is_no_network(self, client: Client, settings: Any, db: None) -> None:
        settings.ADMIN_NETWORKS = []
        assert client.get(LOGIN).status_code == 404

    def test_other_pages_are_for_all(self, client: Client, db: None) -> None:
        assert client.get("/accounts/login/", headers={"X-Forwarded-For": "198.51.100.1"}).status_code == 200


@pytest.fixture
def staff(make_user: Callable[..., User]) -> User:
    return make_user(is_staff=True, is_superuser=True)


@pytest.fixture
def device(staff: User) -> TOTPDevice:
    made: TOTPDevice = TOTPDevice.objects.create(user=staff)
    return made


def code(device: TOTPDevice) -> str:
    """What the app of the device's owner shows."""
    totp = TOTP(device.bin_key)
    totp.time = time.time()
    return f"{totp.token():06}"


def log_in(client: Client, user: User, token: str, password: str = PASSWORD) -> Any:
    return client.post(LOGIN, {"username": user.email, "password": password, "otp_token": token, "next": "/admin/"})


def is_in(client: Client) -> bool:
    return client.get("/admin/users/user/").status_code == 200


class TestSecondFactor:
    def test_password_and_code_open_the_admin(self, client: Client, staff: User, device: TOTPDevice) -> None:
        assert log_in(client, staff, code(device))["Location"] == "/admin/"
        assert is_in(client)

    @pytest.mark.parametrize("token", ["", "000000", "nonsense", "\x00", "-1", "9" * 10])
    def test_a_password_without_the_code_does_not(
        self, client: Client, staff: User, device: TOTPDevice, token: str
    ) -> None:
        page = log_in(client, staff, token)
        assert 'class="notice error"' in page.content.decode() or "errorlist" in page.content.decode()
        assert PASSWORD not in page.content.decode()
        assert not is_in(client)

    def test_a_code_without_the_password_does_not(self, client: Client, staff: User, device: TOTPDevice) -> None:
        log_in(client, staff, code(device), password="wrong")
        assert not is_in(client)

    def test_a_login_on_the_site_or_the_api_does_not(self, staff: User, device: TOTPDevice) -> None:
        site, api = Client(), Client()
        site.post("/accounts/login/", {"username": staff.email, "password": PASSWORD})
        api.post("/api/session", {"email": staff.email, "password": PASSWORD}, content_type="application/json")
        for client in (site, api):
            assert "_auth_user_id" in client.session
            assert not is_in(client)
            assert client.get("/admin/")["Location"].startswith(LOGIN)

    def test_a_code_counts_once(self, staff: User, device: TOTPDevice) -> None:
        used = code(device)
        assert log_in(Client(), staff, used).status_code == 302
        assert log_in(again := Client(), staff, used).status_code == 200
        assert not is_in(again)

    def test_a_wrong_code_is_logged_and_makes_the_next_wait(
        self, client: Client, staff: User, device: TOTPDevice, caplog: Any
    ) -> None:
        with caplog.at_level(logging.WARNING):
            log_in(client, staff, "000000")
        fields = [record.fields for record in caplog.records if record.name == "users.admin_site"]
        assert fields == [{"event": "second_factor_failed", "account": staff.pk}]
        assert "temporarily disabled" in log_in(client, staff, code(device)).content.decode()
        assert not is_in(client)

    @pytest.mark.parametrize("whose", ["another's", "unconfirmed", "none"])
    def test_the_device_has_to_be_a_confirmed_one_of_the_account(
        self, client: Client, staff: User, make_user: Callable[..., User], whose: str
    ) -> None:
        owner = make_user(is_staff=True) if whose == "another's" else staff
        device = TOTPDevice.objects.create(user=owner, confirmed=whose != "unconfirmed")
        if whose == "none":
            device.delete()
        form = {"username": staff.email, "password": PASSWORD, "otp_token": code(device)}
        page = client.post(LOGIN, {**form, "otp_device": device.persistent_id})
        assert "has no second factor" in page.content.decode()
        assert not is_in(client)

    def test_a_player_with_a_device_is_no_staff(self, client: Client, user: User) -> None:
        device = TOTPDevice.objects.create(user=user)
        log_in(client, user, code(device))
        assert not is_in(client)

    def test_a_session_ends_with_its_device(self, client: Client, staff: User, device: TOTPDevice) -> None:
        log_in(client, staff, code(device))
        assert is_in(client)
        second_factor(staff.email, "--replace")
        assert not is_in(client)


def second_factor(*arguments: str) -> str:
    out = StringIO()
    call_command("second_factor", *arguments, stdout=out)
    return out.getvalue()


class TestCommand:
    def test_the_printed_key_opens_the_admin(self, client: Client, staff: User) -> None:
        printed = second_factor(staff.email.upper())
        key = re.search(r"^[A-Z2-7]{32}$", printed, re.MULTILINE)
        assert key
        assert f"secret={key[0]}" in printed
        totp = TOTP(b32decode(key[0]))
        totp.time = time.time()
        log_in(client, staff, f"{totp.token():06}")
        assert is_in(client)

    def test_a_second_one_needs_replace_and_then_the_first_counts_no_more(
        self, client: Client, staff: User, device: TOTPDevice
    ) -> None:
        with pytest.raises(CommandError, match="--replace"):
            second_factor(staff.email)
        assert TOTPDevice.objects.get() == device
        second_factor(staff.email, "--replace")
        assert TOTPDevice.objects.get().key != device.key
        log_in(client, staff, code(device))
        assert not is_in(client)

    @pytest.mark.parametrize("address", ["unknown@example.org", "player"])
    def test_it_is_for_staff(self, user: User, address: str) -> None:
        with pytest.raises(CommandError, match="createsuperuser --email"):
            second_factor(user.email if address == "player" else address)
        assert not TOTPDevice.objects.exists()
