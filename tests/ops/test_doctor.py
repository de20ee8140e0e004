"""Section 8: `doctor` names the first broken link."""

import threading
from collections.abc import Iterator

import pytest

from support.certificates import Certificates
from support.ops import Ops, Result
from support.postgres import Bouncer, Postgres
from testing.shell import run
from testing.stack import Stack


def broken(result: Result) -> str:
    """The link that it names."""
    return str(next(row["link"] for row in result.json if row["status"] == "broken"))


def test_a_whole_chain(ops: Ops) -> None:
    result = ops.script("doctor")
    assert result.status == 0, result.out + result.err
    assert "every link holds." in result.out
    assert "none missing" in result.out


@pytest.mark.parametrize(
    ("secret", "says"), [("app", "doesn't accept the password of flaglearning_user"), ("ops", "of flaglearning_ops")]
)
def test_a_wrong_password(ops: Ops, secret: str, says: str) -> None:
    folder = ops.shell("mktemp -d").strip()
    ops.shell(f"cp /run/secrets/*_password {folder}; chmod u+w {folder}/*; echo wrong >{folder}/{secret}_password")
    result = ops("doctor", "--json", SECRETS=folder)
    assert broken(result) == "roles"
    assert says in next(row["detail"] for row in result.json if row["status"] == "broken")


def test_a_missing_database(ops: Ops) -> None:
    assert broken(ops("doctor", "--json", APP_DATABASE="flaglearning_gone")) == "database"


def test_a_migration_that_waits(ops: Ops, postgres: Postgres) -> None:
    forget = "DELETE FROM django_migrations WHERE app = 'sessions'"
    postgres.superuser(forget, database=postgres.stack.database)
    try:
        assert broken(ops.script("doctor", "--json")) == "migrations"
    finally:
        ops.script("migrations", "fake", "sessions", "0001_initial", "--yes")


def test_a_paused_pooler(ops: Ops, bouncer: Bouncer) -> None:
    with bouncer.console() as console:
        console.execute("PAUSE flaglearning_dev")
        try:
            result = ops("doctor", "--json")
        finally:
            console.execute("RESUME flaglearning_dev")
    assert broken(result) == "roles"


@pytest.mark.last
class TestBroken:
    """Services that are stopped, paused or shown with another certificate."""

    @pytest.fixture
    def after(self, stack: Stack) -> Iterator[None]:
        yield
        stack.up()

    @pytest.mark.parametrize(
        ("service", "link", "next"),
        [("proxy", "proxy", "up"), ("app", "app", "logs"), ("pgbouncer", "pooler", "up"), ("postgres", "server", "up")],
    )
    def test_a_stopped_service(self, ops: Ops, stack: Stack, after: None, service: str, link: str, next: str) -> None:
        stack.stop(service)
        result = ops("doctor", "--json")
        row = next_of(result)
        assert (result.status, row["link"]) == (1, link)
        assert f"docker compose {next}" in row["next"] or "docker compose ps" in row["next"]

    @pytest.mark.parametrize(("service", "link"), [("proxy", "proxy"), ("pgbouncer", "pooler"), ("postgres", "server")])
    def test_a_service_that_hangs(self, ops: Ops, stack: Stack, service: str, link: str) -> None:
        run("docker", "pause", stack.container(service))
        try:
            result = ops("doctor", "--json")
        finally:
            run("docker", "unpause", stack.container(service))
        assert broken(result) == link

    @pytest.mark.parametrize(("service", "link"), [("proxy", "proxy"), ("pgbouncer", "pooler"), ("postgres", "server")])
    def test_a_bad_certificate(self, ops: Ops, certificates: Certificates, service: str, link: str) -> None:
        certificates.replace(service, expired=True)
        certificates.reload(service)
        result = ops("doctor", "--json")
        assert broken(result) == link
        assert "expired" in next_of(result)["detail"]

    def test_without_a_server_each_command_says_so(self, ops: Ops, stack: Stack, after: None) -> None:
        stack.stop("postgres")
        for command in ("tables", "query countries", "connections", "psql -c SELECT"):
            result = ops(*command.split())
            assert result.status == 3 or command.startswith("psql")
            assert result.err

    def test_a_server_that_goes_away_in_the_middle(self, ops: Ops, stack: Stack, after: None) -> None:
        restart = threading.Timer(2, stack.restart, ["postgres"])
        restart.start()
        result = ops("psql", "-c", "SELECT pg_sleep(20)")
        restart.join()
        assert result.status != 0
        assert "Traceback" not in result.err


def next_of(result: Result) -> dict[str, str]:
    """The broken link's row."""
    row: dict[str, str] = next(row for row in result.json if row["status"] == "broken")
    return row
