"""A cluster of three servers on this machine, and what a test needs to hurt it."""

from collections.abc import Iterator

import pytest

from support.cluster import FILES, Cluster, Primary
from support.fixtures import bouncer, own_stack, proxy  # noqa: F401
from support.ops import Ops
from testing.stack import Stack

BUILT_HERE = ("db1", "etcd-db1", "haproxy", "ops")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A developer's, with backups."""
    with own_stack("cluster", FILES, port=21120, build=BUILT_HERE, COMPOSE_PROFILES="backup") as stack:
        yield stack


@pytest.fixture(scope="session")
def ops(stack: Stack) -> Ops:
    return Ops(stack)


@pytest.fixture(scope="session")
def postgres(stack: Stack) -> Primary:
    return Primary(stack)


@pytest.fixture(scope="session")
def cluster(stack: Stack, ops: Ops) -> Cluster:
    """All three members, in sync."""
    cluster = Cluster(stack, ops)
    cluster.healthy()
    return cluster


@pytest.fixture
def hurt(cluster: Cluster) -> Iterator[Cluster]:
    """For a test that breaks something: brought back after it, and in sync again within a minute."""
    yield cluster
    cluster.mend()
    cluster.healthy()
