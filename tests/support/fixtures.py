"""Fixtures of every layer with a running stack: its conftest.py makes `stack` and imports these."""

import pytest

from support.postgres import Bouncer, Postgres, Server
from support.proxy import Proxy
from support.stack import Stack


@pytest.fixture(scope="session")
def postgres(stack: Stack) -> Postgres:
    return Postgres(stack)


@pytest.fixture(scope="session")
def bouncer(stack: Stack) -> Bouncer:
    return Bouncer(stack)


@pytest.fixture(scope="session", params=["postgres", "bouncer"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each of the two doors in turn."""
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture(scope="session")
def proxy(stack: Stack) -> Proxy:
    return Proxy(stack)
