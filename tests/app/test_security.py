"""Security headers, and production's checks."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

import config
from flags import services
from flags.models import Country

APP = Path(config.__file__).parent.parent

STRONG = "kT7vQ2mX9bR4wZ8nL3cF6hJ1gD5sP0yAeUiOqWxEtVrBzNlMkHjG"

PRODUCTION = {
    "DEPLOYMENT": "production",
    "DJANGO_SECRET_KEY": STRONG,
    "ALLOWED_HOSTS": "flags.example",
    "DATABASE_URL": "postgresql://app@db/flaglearning_prod?sslmode=verify-full&sslrootcert=/tls/ca.crt",
    "DATABASE_PASSWORD": STRONG,
}


def in_production(*command: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the app's folder with production's environment variables only."""
    inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH")}
    environment = {**inherited, "DJANGO_SETTINGS_MODULE": "config.settings", **PRODUCTION, **changes}
    return subprocess.run(
        [sys.executable, *command], cwd=APP, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


CHECK = ("manage.py", "check", "--deploy", "--fail-level", "WARNING")


def test_djangos_deployment_check_passes() -> None:
    checked = in_production(*CHECK, EMAIL_HOST="smtp.example")
    assert checked.stdout == "System check identified no issues (2 silenced).\n", checked.stderr
    assert checked.returncode == 0


def test_djangos_deployment_check_says_what_is_missing_without_a_mail_server() -> None:
    checked = in_production(*CHECK)
    assert checked.returncode == 1
    assert "users.W001" in checked.stderr
    assert "Set EMAIL_HOST" in checked.stderr


def test_the_check_silences_only_what_the_sites_owner_decides(settings: Any) -> None:
    """HSTS for subdomains, and the preload list."""
    assert settings.SILENCED_SYSTEM_CHECKS == ["security.W005", "security.W021"]


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("DJANGO_SECRET_KEY", "Set DJANGO_SECRET_KEY_FILE"),
        ("ALLOWED_HOSTS", "set ALLOWED_HOSTS"),
        ("DATABASE_URL", "DATABASE_URL is missing"),
        ("DATABASE_PASSWORD", "set DATABASE_PASSWORD_FILE"),
    ],
)
@pytest.mark.parametrize("command", [["manage.py", "check"], ["-c", "import config.wsgi"]])
def test_a_missing_setting_stops_the_start_with_one_message(command: list[str], missing: str, sentence: str) -> None:
    stopped = in_production(*command, **{missing: ""})
    assert stopped.returncode != 0
    assert sentence in stopped.stderr
    assert len(stopped.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def production_settings() -> dict[str, Any]:
    script = """if True:
        import json
        from django.conf import settings
        names = (name for name in dir(settings) if name.startswith(("SECURE", "SESSION", "CSRF")))
        print(json.dumps({name: getattr(settings, name) for name in names}, default=str))
        """
    return dict(json.loads(in_production("-c", script).stdout))


def test_productions_cookies_are_https_only(production_settings: dict[str, Any]) -> None:
    assert production_settings["SESSION_COOKIE_SECURE"]
    assert production_settings["CSRF_COOKIE_SECURE"]
    assert production_settings["SECURE_SSL_REDIRECT"]
    assert production_settings["SECURE_HSTS_SECONDS"] >= 31_536_000


def test_no_script_can_read_the_cookies(production_settings: dict[str, Any]) -> None:
    assert production_settings["SESSION_COOKIE_HTTPONLY"]
    assert production_settings["CSRF_COOKIE_HTTPONLY"]


MAIL = ("EMAIL_BACKEND", "EMAIL_USE_TLS", "EMAIL_USE_SSL", "SENDS_MAIL")
CONSOLE, SMTP = "django.core.mail.backends.console.EmailBackend", "core.mail.BackgroundEmailBackend"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, [CONSOLE, True, False, False]),
        ({"EMAIL_HOST": "smtp.example"}, [SMTP, True, False, True]),
        ({"EMAIL_HOST": "smtp.example", "EMAIL_PORT": "465"}, [SMTP, False, True, True]),
    ],
)
def test_production_mails_through_a_server_with_tls_or_not_at_all(
    variables: dict[str, str], expected: list[object]
) -> None:
    script = f"import json; from django.conf import settings; print(json.dumps([getattr(settings, n) for n in {MAIL}]))"
    assert json.loads(in_production("-c", script, **variables).stdout) == expected


def test_http_redirects_to_https(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    response = Client().get("/leaderboard/")
    assert (response.status_code, response["Location"]) == (301, "https://testserver/leaderboard/")


@pytest.mark.parametrize("host", ["testserver", "testserver:8000"])
def test_http_redirects_to_the_public_https_port(settings: Any, host: str) -> None:
    settings.SECURE_SSL_REDIRECT, settings.PUBLIC_HTTPS_PORT = True, 8443
    response = Client().get("/leaderboard/?page=2", headers={"Host": host})
    assert response["Location"] == "https://testserver:8443/leaderboard/?page=2"


def test_hsts_speaks_for_other_host_names_only_when_asked(production_settings: dict[str, Any]) -> None:
    assert not production_settings["SECURE_HSTS_INCLUDE_SUBDOMAINS"]
    assert not production_settings["SECURE_HSTS_PRELOAD"]


def test_https_at_the_proxy_is_https(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert Client().get("/api/csrf", headers={"X-Forwarded-Proto": "https"}).status_code == 200


def policy(client: Client, path: str) -> dict[str, str]:
    return dict(part.split(" ", 1) for part in client.get(path)["Content-Security-Policy"].split("; "))


@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/admin/login/", "/api/csrf", "/nothing"])
def test_every_page_has_a_policy_without_inline(client: Client, countries: dict[str, Country], path: str) -> None:
    directives = policy(client, path)
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == "'self'"
    assert "unsafe" not in str(directives)


@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/nothing"])
def test_the_one_inline_style_is_the_policys(client: Client, countries: dict[str, Country], path: str) -> None:
    """It saves a round trip before the first paint; tests/browser/test_weight.py weighs the pages."""
    page = client.get(path).content
    (style,) = re.findall(rb"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style).digest()).decode()
    assert policy(client, path)["style-src"] == f"'self' 'sha256-{digest}'"
    assert (b"stylesheet" in page, b" style=" in page) == (False, False)


def test_a_page_without_a_request_has_its_style(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page of an exception."""
    monkeypatch.setattr(services, "leaderboard", lambda _: 1 / 0)
    client.raise_request_exception = False
    response = client.get("/leaderboard/")
    assert (response.status_code, b"<style>" in response.content) == (500, True)


def test_in_development_a_changed_style_is_seen(client: Client, settings: Any, db: None) -> None:
    settings.INLINE_STYLE = ""
    assert b'<link rel="stylesheet" href="/static/site.css">' in client.get("/accounts/login/").content


def test_no_page_can_be_framed(client: Client, db: None) -> None:
    assert policy(client, "/accounts/login/")["frame-ancestors"] == "'none'"
    assert client.get("/accounts/login/")["X-Frame-Options"] == "DENY"


def test_a_password_is_stored_hashed_with_the_strong_hasher() -> None:
    script = """if True:
        import django
        django.setup()
        from django.contrib.auth.hashers import make_password
        print(make_password("x").split("$")[0])
        """
    assert in_production("-c", script).stdout == "pbkdf2_sha256\n"
