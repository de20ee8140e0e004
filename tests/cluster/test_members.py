"""Each member is the server that pg/ describes, and the commands know the cluster."""

import time

import pytest

from ops import pooler
from support.cluster import MEMBERS, Cluster
from support.ops import Ops
from support.policy import postgres_settings
from support.postgres import Bouncer, Postgres
from testing.shell import eventually, run
from testing.stack import Stack

# What a member has otherwise: pg/cluster/patroni.yml gives the reason. Addresses: 0.0.0.0 for *.
CLUSTERS_OWN = {
    "listen_addresses",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_keepalives_count",
    "tcp_user_timeout",
}
OCTAL = {"log_file_mode", "unix_socket_permissions"}
FROM_SIZING = {"max_worker_processes", "shared_buffers", "max_prepared_transactions", "max_locks_per_transaction"}


# usage: bash -c SCRIPT SCRIPT NAME… — each setting as the files give it, without Patroni's command line
FROM_FILES = """
for name; do echo "$name=$(postgres -D "$PGDATA" -C "$name" -c config_file=/etc/postgresql/postgresql.conf)"; done
"""


@pytest.mark.parametrize("member", MEMBERS)
def test_its_settings_are_those_of_the_files(stack: Stack, cluster: Cluster, member: str) -> None:
    """Patroni passes some on the server's command line, which wins over every file (Patroni issue 3282)."""
    names = sorted({*postgres_settings(), *FROM_SIZING} - CLUSTERS_OWN)
    printed = stack.exec(member, "bash", "-c", FROM_FILES, "bash", *names)
    written = dict(line.split("=", 1) for line in printed.splitlines())
    sql = f"SELECT lower(name) || '=' || setting FROM pg_catalog.pg_settings WHERE lower(name) IN ({str(names)[1:-1]})"  # noqa: S608
    live = dict(line.split("=", 1) for line in cluster.value(member, sql).splitlines())
    assert live.keys() == written.keys()
    # `postgres -C` prints these in other notations
    written = {name: value for name, value in written.items() if "." not in name and name not in OCTAL}
    assert {name: (value, live[name]) for name, value in written.items() if live[name] != value} == {}


def test_a_commit_waits_for_a_standby(cluster: Cluster) -> None:
    names = cluster.value(cluster.primary(), "SHOW synchronous_standby_names")
    assert names.startswith("ANY 1 (")
    assert cluster.value(cluster.primary(), "SHOW synchronous_commit") == "on"


def test_the_settings_in_etcd_are_those_of_the_file(stack: Stack, cluster: Cluster) -> None:
    assert '{"changed": {}}' in stack.exec("db1", "pgcluster", "configure")


def configured(stack: Stack, **variables: str) -> None:
    """Bring the cluster's settings to .env's, as `./scripts/up` and `cluster update` do."""
    words = ("python3", "-c", "from ops.flows import up; up.configure_cluster()")
    assignments = [f"{name}={value}" for name, value in variables.items()]
    stack.command("env", "PYTHONPATH=scripts/lib", *assignments, *words)


def test_the_owners_choices_reach_patroni_and_the_server(stack: Stack, cluster: Cluster) -> None:
    """CLUSTER_STRICT, CLUSTER_SYNC_STANDBYS: without a restart."""
    names, primary = "SHOW synchronous_standby_names", cluster.primary()
    started = "SELECT pg_catalog.pg_postmaster_start_time()"
    before = cluster.value(primary, started)
    configured(stack, CLUSTER_STRICT="true", CLUSTER_SYNC_STANDBYS="2")
    try:
        eventually(lambda: cluster.value(primary, names).startswith("ANY 2 ("), within=20)
        assert cluster.status()["strict"] is True
    finally:
        configured(stack)
    eventually(lambda: cluster.value(primary, names).startswith("ANY 1 ("), within=20)
    assert cluster.status()["strict"] is False
    assert cluster.value(primary, started) == before


def test_status_shows_all_members(ops: Ops, cluster: Cluster) -> None:
    found = cluster.status()
    assert [one["member"] for one in found["members"]] == list(MEMBERS)
    assert sorted(one["role"] for one in found["members"]) == ["primary", "standby", "standby"]
    assert found["pooler"] == found["primary"]
    assert ops("cluster", "status").status == 0


def test_commands_work_on_whichever_member_is_the_primary(ops: Ops, cluster: Cluster) -> None:
    for words in (("setup", "verify"), ("tables",), ("space",)):
        done = ops(*words)
        assert done.status == 0, f"{words}: {done.out}{done.err}"


@pytest.mark.parametrize(
    ("target", "status", "words"), [("db9", 4, "there is no member 'db9'"), ("primary", 2, "is the primary already")]
)
def test_a_switchover_to_the_wrong_member_is_refused(
    ops: Ops, cluster: Cluster, target: str, status: int, words: str
) -> None:
    before = cluster.primary()
    done = ops("cluster", "switchover", before if target == "primary" else target, "--yes")
    assert (done.status, words in done.err) == (status, True)
    assert cluster.primary() == before


def test_a_switchover_with_an_open_transaction_is_refused(ops: Ops, cluster: Cluster, postgres: Postgres) -> None:
    before = cluster.primary()
    with postgres.connect("app") as session, session.transaction():
        session.execute("SELECT 1")
        time.sleep(1.5)
        done = ops("cluster", "switchover", "--yes")
    assert done.status == 1
    assert "a transaction that is still open" in done.err
    assert cluster.primary() == before


def test_a_switchover_to_a_standby_that_lags_is_refused(stack: Stack, ops: Ops, cluster: Cluster) -> None:
    """Its startup process is stopped, and more than a mebibyte is written. (A pause of its replay Patroni ends.)"""
    [standby, _] = cluster.standbys()
    before = cluster.primary()
    pid = cluster.value(standby, "SELECT pid FROM pg_catalog.pg_stat_activity WHERE backend_type = 'startup'")
    stack.exec(standby, "bash", "-c", f"kill -STOP {pid}")
    try:
        cluster.value(before, "SELECT pg_catalog.pg_logical_emit_message(false, 'test', repeat('x', 3000000))")
        done = ops("cluster", "switchover", standby, "--yes")
    finally:
        stack.exec(standby, "bash", "-c", f"kill -CONT {pid}")
    assert done.status == 1
    assert "lags" in done.err
    assert cluster.primary() == before


def test_a_restore_in_place_is_refused(ops: Ops, cluster: Cluster) -> None:
    done = ops("restore", "backup", "--latest", "--yes")
    assert done.status == 2
    assert "--sandbox" in done.err


@pytest.mark.parametrize("end", ["the orchestrator gives up", "the orchestrator is killed"])
def test_a_pause_ends_without_a_switchover(stack: Stack, cluster: Cluster, bouncer: Bouncer, end: str) -> None:
    """Whatever happens to the orchestrator: clients wait, and go on. Here the primary stays the same one."""
    before = cluster.primary()
    paused = time.monotonic()
    run(*pooler.hold_argv("2"), env=stack.environment)
    if end == "the orchestrator gives up":
        run(*pooler.hold_argv("end"), env=stack.environment)
    assert bouncer.value("app", "SELECT 1") == 1  # it waits for RESUME
    waited = time.monotonic() - paused
    assert waited < 8
    assert (waited > 2) == (end == "the orchestrator is killed")
    assert cluster.primary() == before
