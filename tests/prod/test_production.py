"""The production overlay: what it serves, and what it refuses to start with. The rest test_checklist.py shows."""

import re
import stat
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support.postgres import Bouncer, Postgres
from support.proxy import Proxy
from testing.shell import ROOT, run
from testing.stack import TAG, Stack

# ------------------------------------------------------------ what it serves


def test_it_is_ready(proxy: Proxy) -> None:
    assert proxy.get("/readyz").status_code == 200


def test_cookies_go_over_https_only(proxy: Proxy) -> None:
    cookies = proxy.get("/accounts/login/").headers.get_list("set-cookie")
    assert cookies
    assert all("secure" in cookie.lower() for cookie in cookies)


def test_what_never_changes_is_cached_for_ever_and_pages_are_not(proxy: Proxy) -> None:
    """A page's own files: the picture, scripts and icon. Their names change with their content."""
    page = proxy.get("/")
    files = re.findall(r'(?:src|href)="(/(?:static|flags)/[^"]+)"', page.text)
    assert len(set(files)) == 4
    for file in files:
        answer = proxy.get(file)
        assert answer.headers["cache-control"] == "max-age=315360000, public, immutable" or (
            file.startswith("/flags/") and answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        )
        assert answer.headers.get("content-encoding") == "gzip" or int(answer.headers["content-length"]) < 1000
    assert "no-store" in page.headers["cache-control"]


def test_an_unknown_host_is_refused(proxy: Proxy) -> None:
    with proxy.client() as client:
        assert client.get("/", headers={"Host": "evil.example"}).status_code == 400


def test_an_error_shows_no_source(proxy: Proxy) -> None:
    answer = proxy.get("/nothing-here/")
    assert answer.status_code == 404
    assert "Traceback" not in answer.text
    assert "DEBUG" not in answer.text


def test_the_admin_is_for_no_network_until_one_is_named(proxy: Proxy) -> None:
    assert proxy.get("/admin/login/").status_code == 404


def test_without_a_mail_server_signing_up_needs_none(proxy: Proxy) -> None:
    assert 'name="password"' in proxy.get("/accounts/signup/").text
    assert proxy.get("/accounts/password/reset/").status_code == 404


def test_the_code_is_the_images(stack: Stack) -> None:
    assert "/code" not in {mount["Destination"] for mount in stack.inspect("app")["Mounts"]}


# ------------------------------------------------------------ roles


def test_the_application_reads_and_writes_through_the_pooler(bouncer: Bouncer) -> None:
    assert bouncer.value("app", "SELECT count(*) FROM flags_country") == 195


def test_the_application_has_no_business_in_another_database(postgres: Postgres) -> None:
    with pytest.raises(psycopg.OperationalError):
        postgres.connect("app", dbname="postgres")


def test_developments_user_does_not_exist(postgres: Postgres) -> None:
    assert (
        postgres.superuser(
            "SELECT rolname FROM pg_roles WHERE rolname = 'flaglearning_user' OR rolcreatedb AND NOT rolsuper"
        )
        == ""
    )


# ------------------------------------------------------------ secrets


def test_the_folder_is_its_owners_alone(secrets_folder: Path) -> None:
    assert stat.S_IMODE(secrets_folder.stat().st_mode) == 0o700


def test_making_them_again_changes_nothing(secrets_folder: Path) -> None:
    before = {file: file.read_bytes() for file in secrets_folder.rglob("*") if file.is_file()}
    run("./scripts/secrets", "new", str(secrets_folder), env={"TAG": TAG})
    assert {file: file.read_bytes() for file in secrets_folder.rglob("*") if file.is_file()} == before


def test_no_secret_in_inspect_or_a_log(stack: Stack) -> None:
    text = run("docker", "inspect", *stack.containers().values()).stdout + stack.logs()
    assert stack.project in text
    assert [name for name in stack.config["secrets"] if name != "ca" and stack.secret(name) in text] == []


def with_secrets(stack: Stack, folder: Path, service: str, *command: str) -> tuple[int, str]:
    """Start one service alone with other secrets; its exit status and what it said."""
    variables: dict[str, Any] = {**stack.variables, "SECRETS_DIR": str(folder)}
    other = Stack(stack.project, stack.files, **variables)
    done = other.command("docker", "compose", "run", "--rm", "--no-deps", service, *command, check=False)
    return done.returncode, done.stderr


def test_a_weak_password_stops_the_start(stack: Stack, other_secrets: Path) -> None:
    """Which are weak, tests/unit/test_secret_files.py says."""
    replace(other_secrets / "ops_password", (ROOT / "docker/secrets.dev/ops_password").read_text())
    status, said = with_secrets(stack, other_secrets, "roles")
    assert (status, "ops_password is a placeholder or a public development password" in said) == (2, True), said


def test_the_app_refuses_a_development_secret(stack: Stack, other_secrets: Path) -> None:
    """Which it refuses, tests/app/test_env.py says."""
    replace(other_secrets / "django_secret_key", (ROOT / "docker/secrets.dev/django_secret_key").read_text())
    status, said = with_secrets(stack, other_secrets, "app", "python", "manage.py", "check")
    assert (status, "DJANGO_SECRET_KEY" in said) == (1, True), said


def test_incomplete_certificates_stop_the_start(stack: Stack, other_secrets: Path) -> None:
    """Everything that is wrong with them is named at once."""
    (other_secrets / "tls/postgres/tls.key").chmod(0o644)
    for missing in ("tls/pgbouncer/tls.key", "tls/proxy/tls.crt", "tls/client/ca.crt"):
        (other_secrets / missing).unlink()
    status, said = with_secrets(stack, other_secrets, "certificates")
    problems = ["postgres: tls.key has mode", "pgbouncer: tls.key is missing", "proxy: tls.crt is missing"]
    assert (status, [problem for problem in [*problems, "client: ca.crt is missing"] if problem not in said]) == (1, [])


def replace(file: Path, value: str) -> None:
    file.unlink()
    file.write_text(value)
    file.chmod(0o444)


def test_a_second_start_changes_nothing(stack: Stack) -> None:
    before = stack.containers()
    stack.up()
    assert stack.containers() == before
