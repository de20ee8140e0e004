"""The production overlay: it starts, publishes what it should, holds to its limits, and refuses what isn't fit."""

import stat
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support.postgres import Bouncer, Postgres
from support.proxy import Proxy
from testing.shell import ROOT, run
from testing.stack import TAG, Stack

RUNNING = ["postgres", "pgbouncer", "app", "proxy"]
ONE_SHOTS = ["certificates", "roles", "migrate"]
PASSWORDS = ["app_password", "migrator_password", "readonly_password", "ops_password", "pgbouncer_password"]


@pytest.fixture(params=RUNNING)
def host_config(request: pytest.FixtureRequest, stack: Stack) -> dict[str, Any]:
    config: dict[str, Any] = stack.inspect(request.param)["HostConfig"]
    return config


# ------------------------------------------------------------ what it serves


def test_it_is_ready(proxy: Proxy) -> None:
    assert proxy.get("/readyz").status_code == 200


def test_plain_http_is_sent_to_https(proxy: Proxy) -> None:
    answer = proxy.get("/", base_url=proxy.http)
    assert (answer.status_code, answer.headers["location"][:8]) == (301, "https://")


def test_browsers_are_told_to_stay_with_https(proxy: Proxy) -> None:
    assert (
        int(proxy.get("/accounts/login/").headers["strict-transport-security"].partition("max-age=")[2].split(";")[0])
        > 1e7
    )


def test_cookies_go_over_https_only(proxy: Proxy) -> None:
    cookies = proxy.get("/accounts/login/").headers.get_list("set-cookie")
    assert cookies
    assert all("secure" in cookie.lower() for cookie in cookies)


def test_an_unknown_host_is_refused(proxy: Proxy) -> None:
    with proxy.client() as client:
        assert client.get("/", headers={"Host": "evil.example"}).status_code == 400


def test_an_error_shows_no_source(proxy: Proxy) -> None:
    answer = proxy.get("/nothing-here/")
    assert answer.status_code == 404
    assert "Traceback" not in answer.text
    assert "DEBUG" not in answer.text


@pytest.mark.parametrize("service", ["postgres", "pgbouncer", "app"])
def test_no_port_but_the_proxys_is_published(stack: Stack, service: str) -> None:
    assert not any((stack.inspect(service)["NetworkSettings"]["Ports"] or {}).values())


# ------------------------------------------------------------ limits


def test_memory_cpus_and_processes_are_limited(host_config: dict[str, Any]) -> None:
    assert min(host_config["Memory"], host_config["NanoCpus"], host_config["PidsLimit"]) > 0


def test_it_comes_back_by_itself(host_config: dict[str, Any]) -> None:
    assert host_config["RestartPolicy"]["Name"] == "unless-stopped"


def test_its_log_is_rotated(host_config: dict[str, Any]) -> None:
    assert {"max-size", "max-file"} <= set(host_config["LogConfig"]["Config"])


def test_it_is_as_shut_as_in_development(host_config: dict[str, Any]) -> None:
    assert (host_config["ReadonlyRootfs"], host_config["CapDrop"], host_config["CapAdd"]) == (True, ["ALL"], None)
    assert "no-new-privileges:true" in host_config["SecurityOpt"]


def test_the_code_is_the_images(stack: Stack) -> None:
    assert "/code" not in {mount["Destination"] for mount in stack.inspect("app")["Mounts"]}


# ------------------------------------------------------------ roles


def test_the_application_may_not_create_a_database(postgres: Postgres) -> None:
    with postgres.connect("app") as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("CREATE DATABASE flaglearning_more")


def test_the_application_owns_nothing(postgres: Postgres) -> None:
    owned = """SELECT oid::regclass::text FROM pg_class WHERE relowner = 'flaglearning_prod'::regrole
               UNION SELECT datname FROM pg_database WHERE datdba = 'flaglearning_prod'::regrole"""
    assert postgres.superuser(owned, database="flaglearning_prod") == ""


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


def test_each_secret_is_long_and_its_own(stack: Stack) -> None:
    secrets = [stack.secret(name) for name in [*PASSWORDS, "django_secret_key"]]
    assert min(map(len, secrets)) >= 32
    assert len(set(secrets)) == len(secrets)


def test_the_folder_is_its_owners_alone(secrets_folder: Path) -> None:
    assert stat.S_IMODE(secrets_folder.stat().st_mode) == 0o700


def test_making_them_again_changes_nothing(secrets_folder: Path) -> None:
    before = {file: file.read_bytes() for file in secrets_folder.rglob("*") if file.is_file()}
    run("./scripts/secrets", "new", str(secrets_folder), env={"TAG": TAG})
    assert {file: file.read_bytes() for file in secrets_folder.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("service", [*RUNNING, *ONE_SHOTS])
def test_no_secret_in_inspect_or_a_log(stack: Stack, service: str) -> None:
    text = run("docker", "inspect", stack.container(service)).stdout + stack.logs(service)
    assert [name for name in stack.config["secrets"] if name != "ca" and stack.secret(name) in text] == []


def with_secrets(stack: Stack, folder: Path, service: str, *command: str) -> tuple[int, str]:
    """Start one service alone with other secrets; its exit status and what it said."""
    variables: dict[str, Any] = {**stack.variables, "SECRETS_DIR": str(folder)}
    other = Stack(stack.project, stack.files, **variables)
    done = other.command("docker", "compose", "run", "--rm", "--no-deps", service, *command, check=False)
    return done.returncode, done.stderr


WEAK = {
    "placeholder": ("CHANGE_ME_CHANGE_ME_CHANGE_ME_CHANGE_ME", "placeholder"),
    "short": ("Zq8vR2mK5tY7wB1n", "fewer than 32"),
    "development": (None, "development password"),
}


@pytest.mark.parametrize("secret", PASSWORDS)
@pytest.mark.parametrize(("value", "why"), WEAK.values(), ids=WEAK)
def test_a_weak_password_is_refused(
    stack: Stack, other_secrets: Path, secret: str, value: str | None, why: str
) -> None:
    replace(other_secrets / secret, value or (ROOT / "docker/secrets.dev" / secret).read_text())
    status, said = with_secrets(stack, other_secrets, "roles")
    assert (status, f"the secret {secret} " in said, why in said) == (1, True, True)


@pytest.mark.parametrize("secret", ["django_secret_key", "app_password"])
def test_the_app_refuses_developments_secret(stack: Stack, other_secrets: Path, secret: str) -> None:
    replace(other_secrets / secret, (ROOT / "docker/secrets.dev" / secret).read_text())
    status, said = with_secrets(stack, other_secrets, "app", "python", "manage.py", "check")
    assert status == 1
    assert "DJANGO_SECRET_KEY" in said if secret == "django_secret_key" else "DATABASE_PASSWORD" in said


@pytest.mark.parametrize("missing", ["tls/postgres/tls.key", "tls/proxy/tls.crt", "tls/client/ca.crt"])
def test_incomplete_certificates_stop_the_start(stack: Stack, other_secrets: Path, missing: str) -> None:
    (other_secrets / missing).unlink()
    status, said = with_secrets(stack, other_secrets, "certificates")
    assert status == 1
    assert f"{Path(missing).name} is missing" in said


def test_a_key_that_others_may_read_stops_the_start(stack: Stack, other_secrets: Path) -> None:
    (other_secrets / "tls/postgres/tls.key").chmod(0o644)
    status, said = with_secrets(stack, other_secrets, "certificates")
    assert (status, "postgres: tls.key has mode" in said) == (1, True)


def replace(file: Path, value: str) -> None:
    file.unlink()
    file.write_text(value)
    file.chmod(0o444)


def test_a_second_start_changes_nothing(stack: Stack) -> None:
    before = stack.containers()
    stack.up()
    assert stack.containers() == before
