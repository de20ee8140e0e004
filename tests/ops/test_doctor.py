"""`doctor` names the first link that fails, of a stack with real faults (tests/unit/ops/test_doctor.py: every fact)."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.certificates import Certificates
from support.ops import Container, Ops, Result
from support.postgres import Bouncer, Postgres
from testing.shell import eventually, run
from testing.stack import Stack


def failed(result: Result) -> dict[str, Any]:
    """The row of the link that it names."""
    row: dict[str, Any] = next(row for row in result.json if row["status"] == "failed")
    return row


def test_a_whole_chain(ops: Ops) -> None:
    result = ops("doctor")
    assert result.status == 0, result.out + result.err
    assert "all checks pass" in result.out
    assert "none missing" in result.out


def test_a_wrong_password(ops: Ops, postgres: Postgres) -> None:
    """The server has another one than the secret."""
    verifier = str(postgres.superuser("SELECT rolpassword FROM pg_authid WHERE rolname = 'flaglearning_readonly'"))
    postgres.superuser("ALTER ROLE flaglearning_readonly PASSWORD 'another'")
    try:
        result = ops("doctor", "--json")
    finally:
        postgres.superuser(f"ALTER ROLE flaglearning_readonly PASSWORD '{verifier.strip()}'")
    assert failed(result)["link"] == "roles"
    assert "does not accept the password of flaglearning_readonly" in failed(result)["detail"]


def test_the_poolers_own_password_is_tried(client: Container, stack: Stack) -> None:
    """PgBouncer reads its secret at the next start: a spoilt file must be found before."""
    for secret, said in ((stack.secret("pgbouncer_password"), ""), ("short", "does not accept the secret")):
        probe = client.verb("diagnose", f"{secret}\n").json["pgbouncer login"]
        assert said in probe.get("what", "")
        assert bool(said) == ("what" in probe)


def test_a_migration_that_waits(ops: Ops, postgres: Postgres) -> None:
    database = postgres.stack.database
    rename = "UPDATE django_migrations SET app = '{}' WHERE app = '{}'"
    postgres.superuser(rename.format("sessions_", "sessions"), database=database)
    try:
        result = ops("doctor", "--json")
    finally:
        postgres.superuser(rename.format("sessions", "sessions_"), database=database)
    assert failed(result)["link"] == "migrations"
    assert "sessions.0001_initial" in failed(result)["reason"]


def test_a_table_of_the_application_that_is_missing(ops: Ops, postgres: Postgres) -> None:
    database = postgres.stack.database
    postgres.superuser("ALTER TABLE flags_question RENAME TO gone", database=database)
    try:
        result, verified = ops("doctor", "--json"), ops("setup", "verify", "--json")
    finally:
        postgres.superuser("ALTER TABLE gone RENAME TO flags_question", database=database)
    assert (failed(result)["link"], failed(result)["reason"]) == ("tables", "flags_question")
    missing = {(row["problem"], row["object"]) for row in verified.json}
    assert ("missing", "table flags_question") in missing


def test_a_paused_pooler(ops: Ops, bouncer: Bouncer) -> None:
    bouncer.admin("PAUSE flaglearning_dev")
    try:
        result = ops("doctor", "--json")
    finally:
        bouncer.admin("RESUME flaglearning_dev")
    assert failed(result)["link"] == "pooler"


@pytest.mark.last
class TestBroken:
    """Services that are stopped, paused or shown with another certificate."""

    @pytest.fixture
    def after(self, stack: Stack) -> Iterator[None]:
        yield
        # `up --wait` gives up on the proxy, which is unhealthy until the app is back
        stack.compose("up", "--detach")
        eventually(stack.all_healthy, within=90, every=1)

    @pytest.mark.parametrize(
        ("service", "link"), [("proxy", "proxy"), ("app", "app"), ("pgbouncer", "pooler"), ("postgres", "server")]
    )
    def test_a_stopped_service(self, ops: Ops, stack: Stack, after: None, service: str, link: str) -> None:
        stack.stop(service)
        result = ops("doctor", "--json")
        assert (result.status, failed(result)["link"]) == (1, link)
        assert "docker compose" in failed(result)["hint"]

    def test_a_service_that_hangs(self, ops: Ops, stack: Stack) -> None:
        run("docker", "pause", stack.container("postgres"))
        try:
            result = ops("doctor", "--json")
        finally:
            run("docker", "unpause", stack.container("postgres"))
        assert failed(result)["link"] in ("app", "pooler", "server")

    @pytest.mark.parametrize(("service", "link"), [("proxy", "proxy"), ("pgbouncer", "pooler"), ("postgres", "server")])
    def test_a_bad_certificate(self, ops: Ops, certificates: Certificates, service: str, link: str) -> None:
        certificates.replace(service, expired=True)
        certificates.reload(service)
        result = ops("doctor", "--json")
        assert failed(result)["link"] == link
        assert "expired" in failed(result)["reason"]

    def test_without_a_server_each_command_names_it(self, ops: Ops, stack: Stack, after: None) -> None:
        stack.stop("postgres")
        for command in ("tables", "query countries", "connections"):
            result = ops(*command.split())
            assert result.status == 3
            assert "the service postgres is not running" in result.err
        assert ops("psql", "-c", "SELECT").status == 2
