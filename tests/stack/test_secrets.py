"""No secret is visible in `docker inspect`, an image, a log, a statistic or a process listing."""
# ruff: noqa: S608 - the names pasted into SQL are the tests' own

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

import secret_files
from support.postgres import Postgres
from testing.shell import eventually, run
from testing.stack import Stack

# A password typed into psql, as the superuser and as a role; it must not be found anywhere.
TYPED = "typed-by-a-person-4711"
RUNNING = ["postgres", "pgbouncer", "app", "proxy"]
ONE_SHOTS = ["certificates", "roles", "migrate"]


@pytest.fixture(scope="module")
def secrets(stack: Stack) -> set[str]:
    """Every secret of the stack, as it is in the files."""
    return {stack.secret(name) for name in stack.config["secrets"] if name != "ca"}


@pytest.fixture(scope="module", autouse=True)
def passwords_were_typed(stack: Stack, postgres: Postgres) -> None:
    """ALTER ROLE … PASSWORD that works, fails, is slow, waits for a lock, and is cut off."""
    postgres.superuser(f"CREATE ROLE typed PASSWORD '{TYPED}'; ALTER ROLE typed PASSWORD '{TYPED}'; DROP ROLE typed")
    postgres.superuser(f"ALTER ROLE no_such_role PASSWORD '{TYPED}'", check=False)
    postgres.superuser(f"ALTER ROLE flaglearning_ops PASSWORD '{TYPED}' VALID UNTILL now", check=False)
    postgres.superuser(f"DO $$BEGIN EXECUTE 'CREATE ROLE typed PASSWORD ''{TYPED}'''; PERFORM 1/0; END$$", check=False)
    with ThreadPoolExecutor() as thread:
        lock = "BEGIN; LOCK TABLE pg_authid IN EXCLUSIVE MODE; SELECT pg_sleep(2.5); COMMIT"
        held = thread.submit(postgres.superuser, lock)
        blocked = "SELECT 1 FROM pg_locks WHERE relation = 'pg_authid'::regclass AND mode = 'ExclusiveLock' AND granted"
        eventually(lambda: postgres.superuser(blocked), within=5)
        postgres.superuser(
            f"SET statement_timeout = '1200ms'; ALTER ROLE flaglearning_ops PASSWORD '{TYPED}'", check=False
        )
        held.result()
    with postgres.connect("app") as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(f"ALTER ROLE flaglearning_ops PASSWORD '{TYPED}'".encode())
    assert "still waiting" in stack.logs("postgres"), "the probe that waits for a lock didn't wait"
    assert "<REDACTED>" in stack.logs("postgres"), "the probe isn't in the audit log"


def leaked(text: str, secrets: set[str]) -> list[str]:
    return sorted(secret for secret in {*secrets, TYPED} if secret in text)


def test_not_in_docker_inspect(stack: Stack, secrets: set[str]) -> None:
    seen = run("docker", "inspect", *stack.containers().values()).stdout
    assert all(f'"{service}"' in seen for service in (*RUNNING, *ONE_SHOTS))
    assert leaked(seen, secrets) == []


def test_not_in_an_images_history_or_settings(stack: Stack, secrets: set[str]) -> None:
    images = {stack.inspect(service)["Image"] for service in (*RUNNING, *ONE_SHOTS)}
    history = "".join(run("docker", "history", "--no-trunc", image).stdout for image in images)
    assert "COPY" in history
    assert leaked(history + run("docker", "image", "inspect", *images).stdout, secrets) == []


def test_not_in_a_log(stack: Stack, secrets: set[str]) -> None:
    seen = stack.logs()
    assert all(f"{service}-1" in seen for service in RUNNING)
    assert leaked(seen, secrets) == []


@pytest.mark.parametrize("service", RUNNING)
def test_not_in_a_process_listing(stack: Stack, secrets: set[str], service: str) -> None:
    script = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'"
    seen = stack.exec(service, "bash", "-c", script, check=False)
    assert "PATH=" in seen
    assert leaked(seen, secrets) == []


@pytest.mark.parametrize("view", ["pg_stat_statements", "pg_stat_activity"])
def test_not_in_the_statistics(postgres: Postgres, secrets: set[str], view: str) -> None:
    seen = postgres.superuser(f"SELECT query FROM {view}", database=postgres.stack.database)
    assert seen
    assert leaked(seen, secrets) == []


def test_a_container_has_the_secrets_of_its_service_and_the_declared_user(stack: Stack) -> None:
    """Who reads what: scripts/lib/secret_files.py. pgBackRest's cipher is mounted where it looks for settings."""
    for service in RUNNING:
        given = stack.exec(service, "sh", "-c", "ls /run/secrets 2>/dev/null || true").split()
        in_run_secrets = {name: one for name, one in secret_files.SECRETS.items() if one.kind != "cipher"}
        assert sorted(given) == sorted(name for name, one in in_run_secrets.items() if service in one.readers)
        if service in secret_files.UIDS:
            assert stack.exec(service, "id", "-u").strip() == str(secret_files.UIDS[service])


def test_the_ca_bundle_of_the_build_is_in_no_image(stack: Stack) -> None:
    """It comes as a build secret: a layer would keep it."""
    bundle = Path(stack.config["secrets"]["ca"]["file"])
    if not bundle.is_file():  # no bundle was passed: nothing can have stayed
        return
    found = run(
        "docker",
        "run",
        "--rm",
        "--entrypoint",
        "sh",
        f"flaglearning/app:{stack.variables['TAG']}",
        "-c",
        "ls /run/ca.crt",
        check=False,
    )
    assert found.returncode != 0
