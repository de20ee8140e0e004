"""A cluster of three servers on this machine, and what a test needs to hurt it."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from failover_history import Verdict
from ops.flows.failover_demo import Load
from support.cluster import FILES, Cluster, Finish, Note, Primary, figures
from support.fixtures import bouncer, own_stack, proxy  # noqa: F401
from support.ops import Ops
from testing.stack import Stack

BUILT_HERE = ("db1", "etcd-db1", "haproxy")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A developer's, with backups and replica reads."""
    variables = {"COMPOSE_PROFILES": "backup", "REPLICA_READS": "true"}
    with own_stack("cluster", FILES, port=21120, build=BUILT_HERE, **variables) as stack:
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


@pytest.fixture
def small() -> Iterator[Cluster]:
    """A cluster of its own, whose disks can be filled without filling the machine's."""
    files = (*FILES, "tests/docker-compose.small-disks.yml")
    with own_stack("cluster-small", files, port=21160) as stack:
        cluster = Cluster(stack, Ops(stack))
        cluster.healthy()
        yield cluster


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """`note(verdict, in_sync)`: what a fault did, for the run's summary and for docs/cluster-faults.md."""

    def noted(verdict: Verdict, in_sync: float) -> None:
        record_property("measured", f"{figures(verdict)}; in sync {in_sync:.0f} s after healing")
        record_property("fault", json.dumps({**verdict._asdict(), "lost": len(verdict.lost), "in_sync_s": in_sync}))

    return noted


@pytest.fixture
def finish(hurt: Cluster, note: Note) -> Finish:
    """`finish(load)`: everything is mended, in sync, and nothing was lost; its figures are recorded."""

    def judged(load: Load) -> Verdict:
        healed = time.monotonic()
        verdict = hurt.judge(load)
        note(verdict, time.monotonic() - healed)
        return verdict

    return judged
