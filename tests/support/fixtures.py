"""Fixtures of every layer with a running stack: its conftest.py makes `stack` and imports these."""

import contextlib
import os
from collections.abc import Iterator

import pytest

from support.postgres import Bouncer, Postgres, Server
from support.proxy import Proxy
from testing.stack import DEVELOPMENT, PROJECT, Stack

KEEP = bool(os.environ.get("KEEP_STACK"))


@contextlib.contextmanager
def own_stack(
    layer: str,
    files: tuple[str, ...] = DEVELOPMENT,
    *,
    port: int = 21000,
    build: tuple[str, ...] = (),
    **variables: str,
) -> Iterator[Stack]:
    """A layer's own stack, healthy: made new and removed afterwards. KEEP_STACK=1 leaves it for the next run, under a
    name that no other run clears away.

    `port` is the first that it publishes. `build` names services whose image is this layer's to build: the others are
    the runner's; built again, other layers that use the tag would get other images.
    """
    stack = Stack(f"{PROJECT}kept-{layer}" if KEEP else f"{PROJECT}-{layer}", files, port=port, **variables)
    if not KEEP:
        stack.remove()
    try:
        if build:
            stack.build(*build)
        stack.up()
        yield stack
    finally:
        if not KEEP:
            stack.remove()


@pytest.fixture(scope="session")
def postgres(stack: Stack) -> Postgres:
    return Postgres(stack)


@pytest.fixture(scope="session")
def bouncer(stack: Stack) -> Bouncer:
    return Bouncer(stack)


@pytest.fixture(scope="session", params=["postgres", "bouncer"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each of the two endpoints in turn."""
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture(scope="session")
def proxy(stack: Stack) -> Proxy:
    return Proxy(stack)
