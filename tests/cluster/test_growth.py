"""One server becomes a cluster on the same machine, with its data, and back."""

import time
from collections.abc import Callable, Iterator

import pytest

from support.cluster import FILES, MEMBERS, Cluster
from support.ops import Ops
from testing.shell import run
from testing.stack import DEVELOPMENT, PROJECT, Stack

pytestmark = [pytest.mark.last, pytest.mark.long]

Record = Callable[[str, object], None]
ROWS = "SELECT string_agg(v::text, ',' ORDER BY v) FROM public.growth_proof"
PORT = 21130


@pytest.fixture
def one() -> Iterator[Stack]:
    """A developer's stack with one server and backups."""
    stack = Stack(f"{PROJECT}-growth", DEVELOPMENT, port=PORT, COMPOSE_PROFILES="backup")
    stack.remove()
    stack.up()
    yield stack
    stack.remove()
    grown(stack).remove()


def grown(stack: Stack) -> Stack:
    """The same project as a cluster."""
    return Stack(stack.project, FILES, port=PORT, COMPOSE_PROFILES="backup")


def superuser(stack: Stack, sql: str) -> str:
    """What a statement returns on the one server, through its socket."""
    words = ("psql", "-XqAt", "-h", "/run/postgresql", "-U", "postgres", "-d", stack.database, "-c", sql)
    return stack.exec("postgres", *words).strip()


def test_one_server_grows_into_a_cluster_and_back(one: Stack, record_property: Record) -> None:
    superuser(one, "CREATE TABLE public.growth_proof (v int); INSERT INTO public.growth_proof VALUES (1)")
    stack = grown(one)
    at = time.monotonic()
    stack.command("./scripts/up", timeout=900)
    took = [time.monotonic() - at]

    ops = Ops(stack)
    cluster = Cluster(stack, ops)
    cluster.healthy()
    assert {cluster.value(member, ROWS) for member in MEMBERS} == {"1"}
    assert cluster.primary() == "db1"
    assert ops("doctor").status == 0
    done = ops("cluster", "switchover", "--yes")
    assert done.status == 0, done.err
    cluster.value(cluster.primary(), "INSERT INTO public.growth_proof VALUES (2)")

    at = time.monotonic()
    stack.command("./scripts/up", "--one-server", timeout=900)
    took.append(time.monotonic() - at)
    assert superuser(one, ROWS) == "1,2"
    assert superuser(one, "SELECT count(*) FROM pg_catalog.pg_replication_slots") == "0"
    assert superuser(one, "SHOW synchronous_standby_names") == ""
    left = run("docker", "volume", "ls", "--quiet", "--filter", f"name={one.project}_").stdout
    assert "db2-data" not in left
    assert "etcd" not in left
    assert Ops(one)("doctor").status == 0
    record_property("measured", f"one to three servers {took[0]:.0f} s, back {took[1]:.0f} s")


def test_two_servers_never_share_a_data_directory(one: Stack) -> None:
    """Whatever container a second one is started in."""
    done = one.command("docker", "compose", "run", "--rm", "--no-deps", "-T", "postgres", check=False, timeout=60)
    assert done.returncode != 0
    assert "another server uses" in done.stderr
    assert superuser(one, "SELECT 1") == "1"
