"""Operations on a production server that is serving: a restore, a password change, and the reset that is refused."""

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
    return Ops(stack)


def france(postgres: Postgres, database: str = DATABASE) -> str:
    return postgres.superuser("SELECT name FROM flags_country WHERE code = 'FR'", database=database)


def oid(postgres: Postgres) -> str:
    return postgres.superuser(f"SELECT oid FROM pg_database WHERE datname = '{DATABASE}'")  # noqa: S608


@contextmanager
def visitor(proxy: Proxy) -> Iterator[list[int]]:
    """Requests the page continuously; the statuses."""
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
def dump(ops: Ops, postgres: Postgres) -> Iterator[str]:
    """The name of a dump, after which the server's rows changed."""
    made = ops.script("dump", "full", "--json")
    assert made.status == 0, made.err
    rename = "UPDATE flags_country SET name = '{}' WHERE code = 'FR'"
    postgres.superuser(rename.format("Renamed"), database=DATABASE)
    yield made.json["name"]
    postgres.superuser(rename.format("France"), database=DATABASE)


def test_a_dump_is_restored_while_the_site_serves(
    ops: Ops, postgres: Postgres, bouncer: Bouncer, proxy: Proxy, dump: str
) -> None:
    with visitor(proxy) as statuses:
        done = ops.script("restore", "dump", dump, "--yes")
    assert done.status == 0, done.err
    assert set(statuses) == {200}
    assert france(postgres) == "France"
    [retained] = ops.script("retained", "list", "--json").json
    assert france(postgres, retained["name"]) == "Renamed"
    assert ops.script("retained", "drop", retained["name"], "--yes").status == 0
    verified = ops.script("setup", "verify")
    assert verified.status == 0, verified.out
    # The restored objects belong to the owner: the application has rows, and no more than before.
    with bouncer.connect("app") as app:
        app.execute("UPDATE flags_country SET name = name")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("TRUNCATE flags_country CASCADE")
    assert postgres.superuser("SELECT rolname FROM pg_roles WHERE rolname = 'flaglearning_restorer'") == ""


# ------------------------------------------------------------ reset


def test_it_is_not_reset_whatever_the_environment_claims(ops: Ops, postgres: Postgres, proxy: Proxy) -> None:
    before = oid(postgres)
    claims: dict[str, Any] = {"DEPLOYMENT": "development", "APP_DATABASE": "flaglearning_dev"}
    refused = ops.script("reset", "--yes", **claims)
    assert (refused.status, "the server was set up as production" in refused.err) == (1, True), refused.err
    assert oid(postgres) == before
    assert proxy.get(PAGE).status_code == 200


# ------------------------------------------------------------ passwords


def serves(proxy: Proxy) -> bool:
    """Whether a page is served, from the proxy through app and pooler to the server."""
    try:
        return proxy.get(PAGE).status_code == 200
    except httpx.HTTPError:
        return False


def test_the_application_gets_a_new_password(
    ops: Ops, stack: Stack, postgres: Postgres, bouncer: Bouncer, proxy: Proxy
) -> None:
    """Each other role's, tests/ops shows."""
    old = stack.secret("app_password")
    done = ops.script("password", "reset", "app")
    assert done.status == 0, done.err
    new = stack.secret("app_password")
    assert new != old
    assert new not in done.out + done.err
    for server in (postgres, bouncer):
        assert [server.accepts("app", password) for password in (new, old)] == [True, False]
    eventually(lambda: serves(proxy), within=20)


def test_after_that_everything_starts_and_matches_the_policy(ops: Ops, stack: Stack, proxy: Proxy) -> None:
    """The secret files are what the services read: nothing was only changed in a running one."""
    stack.restart("pgbouncer", "app")
    stack.up()
    eventually(lambda: serves(proxy), within=20)
    assert ops.script("setup", "verify").status == 0
    checked = ops.script("doctor")
    assert checked.status == 0, checked.out
