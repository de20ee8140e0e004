"""What changes a production server, on one that is serving: restore, passwords; and the reset that it refuses."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest

from support.ops import Ops
from support.postgres import Bouncer, Postgres
from support.proxy import Proxy
from testing.shell import eventually
from testing.stack import Stack

DATABASE = "flaglearning_prod"
PAGE = "/api/challenge/today"  # asks the database, through the pooler


@pytest.fixture(scope="module")
def ops(stack: Stack) -> Ops:
    """Through ./scripts/ops alone, as on a production host."""
    stack.build("ops")
    return Ops(stack)


def france(postgres: Postgres, database: str = DATABASE) -> str:
    return postgres.superuser("SELECT name FROM flags_country WHERE code = 'FR'", database=database)


def oid(postgres: Postgres) -> str:
    return postgres.superuser(f"SELECT oid FROM pg_database WHERE datname = '{DATABASE}'")  # noqa: S608


@contextmanager
def visitor(proxy: Proxy) -> Iterator[list[int]]:
    """Somebody who asks for the page all the time: the statuses, once it is over."""
    statuses: list[int] = []
    over = threading.Event()

    def visit() -> None:
        with proxy.client(timeout=15) as client:
            while not over.wait(0.05):
                statuses.append(client.get(PAGE).status_code)

    thread = threading.Thread(target=visit)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()


# ------------------------------------------------------------ restore


@pytest.fixture
def gaul(ops: Ops, postgres: Postgres) -> Iterator[str]:
    """A backup, after which France got another name; the backup's."""
    made = ops.script("backup", "full", "--json")
    assert made.status == 0, made.err
    rename = "UPDATE flags_country SET name = '{}' WHERE code = 'FR'"
    postgres.superuser(rename.format("Gaul"), database=DATABASE)
    yield made.json["name"]
    postgres.superuser(rename.format("France"), database=DATABASE)


def test_a_backup_comes_back_while_people_play(ops: Ops, postgres: Postgres, proxy: Proxy, gaul: str) -> None:
    with visitor(proxy) as statuses:
        done = ops.script("restore", "full", gaul, "--yes")
    assert done.status == 0, done.err
    assert set(statuses) == {200}
    assert france(postgres) == "France"
    [kept] = ops.script("restore", "kept", "--json").json
    assert france(postgres, kept["name"]) == "Gaul"
    assert ops.script("restore", "drop", kept["name"], "--yes").status == 0
    verified = ops.script("setup", "verify")
    assert verified.status == 0, verified.out


def test_what_is_restored_belongs_to_the_owner(ops: Ops, postgres: Postgres, bouncer: Bouncer, gaul: str) -> None:
    """The application reads and writes rows of it, and can't do more than before."""
    assert ops.script("restore", "full", gaul, "--yes").status == 0
    [kept] = ops.script("restore", "kept", "--json").json
    assert ops.script("restore", "drop", kept["name"], "--yes").status == 0
    with bouncer.connect("app") as app:
        app.execute("UPDATE flags_country SET name = name")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("TRUNCATE flags_country CASCADE")
    assert postgres.superuser("SELECT rolname FROM pg_roles WHERE rolname = 'flaglearning_restorer'") == ""


def test_a_damaged_backup_leaves_production_alone(ops: Ops, postgres: Postgres, proxy: Proxy, gaul: str) -> None:
    before = oid(postgres)
    damage = ("--entrypoint", "sh", "ops", "-c", f"truncate -s -1 /dumps/{gaul}/dump/toc.dat")
    ops.stack.compose("run", "--rm", "--no-deps", "-T", *damage)
    refused = ops.script("restore", "full", gaul, "--yes")
    assert (refused.status, "is no good backup" in refused.err) == (1, True), refused.err
    assert (oid(postgres), france(postgres)) == (before, "Gaul")
    assert proxy.get(PAGE).status_code == 200


# ------------------------------------------------------------ reset


@pytest.mark.parametrize("claim", [{}, {"DEPLOYMENT": "development"}, {"APP_DATABASE": "flaglearning_dev"}], ids=str)
def test_it_is_not_reset(ops: Ops, postgres: Postgres, proxy: Proxy, claim: dict[str, Any]) -> None:
    before = oid(postgres)
    refused = ops.script("reset", "--yes", **claim)
    assert (refused.status, "the server was set up as production" in refused.err) == (1, True), refused.err
    assert oid(postgres) == before
    assert proxy.get(PAGE).status_code == 200


# ------------------------------------------------------------ passwords


def serves(proxy: Proxy) -> bool:
    """The game, from the proxy through app and pooler to the server."""
    try:
        return proxy.get(PAGE).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("role", ["app", "migrator", "readonly", "ops", "pgbouncer"])
def test_a_role_gets_a_new_password(
    ops: Ops, stack: Stack, postgres: Postgres, bouncer: Bouncer, proxy: Proxy, role: str
) -> None:
    old = stack.secret(f"{role}_password")
    done = ops.script("password", "reset", role)
    assert done.status == 0, done.err
    new = stack.secret(f"{role}_password")
    assert len(new) >= 32
    assert new != old
    assert new not in done.out + done.err
    for endpoint in [postgres, bouncer] if role in ("app", "readonly") else [postgres]:
        assert [endpoint.accepts(role, password) for password in (new, old)] == [True, False]
    eventually(lambda: serves(proxy), within=20)


def test_after_that_everything_starts_and_is_as_the_policy_says(ops: Ops, stack: Stack, proxy: Proxy) -> None:
    """The secret files are what the services read: nothing was only changed in a running one."""
    stack.restart("pgbouncer", "app")
    stack.up()
    eventually(lambda: serves(proxy), within=20)
    assert ops.script("setup", "verify").status == 0
    checked = ops.script("doctor")
    assert checked.status == 0, checked.out
