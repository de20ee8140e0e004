"""./scripts/ops on a stack of its own."""
# ruff: noqa: F811 - a fixture that asks for an imported one has its name as an argument

from collections.abc import Iterator

import psycopg
import pytest

from support import data
from support.certificates import Certificates
from support.fixtures import bouncer, own_stack, postgres, proxy  # noqa: F401
from support.ops import Container, Ops, waiting
from support.postgres import Postgres
from testing.stack import Stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A developer's, with one worker: the app is started often here, and each imports Django."""
    with own_stack("ops", port=21060, WEB_CONCURRENCY="1") as stack:
        yield stack


@pytest.fixture
def certificates(stack: Stack) -> Iterator[Certificates]:
    certificates = Certificates(stack)
    yield certificates
    certificates.restore()


@pytest.fixture(scope="session")
def ops(stack: Stack) -> Ops:
    return Ops(stack)


PGCLIENT = ("python3", "-P", "-m", "pgclient")


@pytest.fixture(scope="session")
def client(stack: Stack) -> Iterator[Container]:
    """Where ./scripts/ops runs pgclient: DUMPS_DIR is /dumps there."""
    with waiting(stack, "ops", *PGCLIENT) as container:
        yield container


@pytest.fixture(scope="session")
def loader(stack: Stack) -> Iterator[Container]:
    """Where ./scripts/ops runs pgclient when it reads a dump."""
    with waiting(stack, "loader", *PGCLIENT) as container:
        yield container


@pytest.fixture(scope="session")
def pgadmin(stack: Stack) -> Iterator[Container]:
    """Where ./scripts/ops runs pgadmin."""
    with waiting(stack, "roles", "pgadmin") as container:
        yield container


@pytest.fixture
def owner(postgres: Postgres) -> Iterator[psycopg.Connection]:
    """A migration, so to speak: what it makes belongs to the owner."""
    with postgres.connect("migrator") as connection:
        yield connection


@pytest.fixture
def hostile(postgres: Postgres) -> Iterator[list[str]]:
    """For one test, like the players: the next may restore a dump, or reset the database, and they would be gone."""
    with data.hostile_tables(postgres) as names:
        yield names


@pytest.fixture
def players(postgres: Postgres) -> Iterator[None]:
    with data.players(postgres):
        yield
