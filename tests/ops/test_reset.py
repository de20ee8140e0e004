"""./scripts/ops reset: on a development server; and no client can make a production server look like one."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from support.ops import Ops
from support.postgres import Bouncer, Postgres

DATABASE = "flaglearning_dev"


@pytest.fixture
def production(ops: Ops, postgres: Postgres) -> Iterator[None]:
    """The server is told that it is production, as pg/sql/05-deployment.sql would tell it."""
    postgres.superuser("ALTER DATABASE postgres SET flaglearning.deployment = 'production'")
    yield
    postgres.superuser("ALTER DATABASE postgres SET flaglearning.deployment = 'development'")


def test_everything_is_new(ops: Ops, postgres: Postgres, bouncer: Bouncer) -> None:
    postgres.superuser("CREATE TABLE leftover (); TRUNCATE flags_country CASCADE", database=DATABASE)
    with bouncer.connect("app") as player:  # a client is connected
        player.execute("SELECT 1")
        done = ops.script("reset", "--yes")
    assert done.status == 0, done.err
    assert bouncer.value("app", "SELECT count(*) FROM flags_country") == 195
    assert postgres.superuser("SELECT to_regclass('leftover')", database=DATABASE) == ""
    assert ops.script("setup", "verify").status == 0


def test_it_asks_and_can_tell_what_it_would_do(ops: Ops, postgres: Postgres) -> None:
    before = oid(postgres)
    assert ops.script("reset").status == 2
    assert "nothing was changed" in ops.script("reset", "--dry-run").out
    assert oid(postgres) == before


CLAIMS = {
    "nothing": {},
    "the client's environment": {"DEPLOYMENT": "development"},
    "a setting of the client's sessions": {"PGOPTIONS": "-c flaglearning.deployment=development"},
    "another database's name": {"APP_DATABASE": "flaglearning_test"},
}


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize("environment", CLAIMS.values(), ids=CLAIMS.keys())
def test_a_production_server_is_not_reset(ops: Ops, postgres: Postgres, environment: dict[str, Any]) -> None:
    before = oid(postgres)
    refused = ops.script("reset", "--yes", **environment)
    assert (refused.status, "the server was set up as production" in refused.err) == (1, True), refused.err
    assert oid(postgres) == before


@pytest.mark.usefixtures("production")
def test_pgadmin_refuses_by_itself(ops: Ops, postgres: Postgres) -> None:
    """It refuses without ./scripts/ops, too."""
    before = oid(postgres)
    done = ops.stack.command(
        "docker", "compose", "run", "--rm", "--no-deps", "-T", "--env", "DEPLOYMENT=development",
        "--entrypoint", "pgadmin", "roles", "reset", check=False,
    )  # fmt: skip
    assert (done.returncode, "the server was set up as production" in done.stderr) == (1, True)
    assert oid(postgres) == before


@pytest.mark.usefixtures("production")
def test_a_production_server_does_not_become_development(ops: Ops) -> None:
    refused = ops.script("setup", "apply", DEPLOYMENT="development")
    assert refused.status == 1
    assert "this is a production server, and DEPLOYMENT says otherwise" in refused.err


@pytest.mark.parametrize("role", ["app", "migrator", "ops"])
def test_no_other_role_can_change_the_deployment(postgres: Postgres, role: str) -> None:
    database = {"dbname": "postgres"} if role != "migrator" else {}
    with postgres.connect(role, **database) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("ALTER DATABASE postgres SET flaglearning.deployment = 'development'")


def oid(postgres: Postgres) -> str:
    return postgres.superuser(f"SELECT oid FROM pg_database WHERE datname = '{DATABASE}'")  # noqa: S608
