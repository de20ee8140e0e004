"""ops/cluster.py and the commands of a cluster, on a stack of one server."""

import argparse
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from ops import cli, cluster, containers
from ops.flows import cluster_update, failover_demo, restore_backup, switchover
from user_errors import OperationError, UserError

# A database host of a fleet: its server is one member of three.
HOST = {
    "postgres": {"environment": {"PATRONI_NAME": "db1"}},
    "etcd": {"environment": {"ETCD_NAME": "etcd-db1"}},
    "pgbouncer": {"profiles": ["other-host"]},
}
HEALTHY: dict[str, Any] = {
    "configured": ["db1", "db2"],
    "primary": "db1",
    "pooler": "db1",
    "paused": False,
    "members": [
        {"name": "db1", "role": "leader", "state": "running"},
        {"name": "db2", "role": "", "state": "streaming"},
    ],
    "etcd": [],
    "server": {
        "standbys": [{"name": "db2", "sync_state": "quorum", "lag": 0}],
        "oldest_transaction_s": 0.0,
        "waiting_segments": 0,
    },
}
ASKED = argparse.Namespace(json=False, yes=True, member="", switchover=False, dry_run=False)


@pytest.fixture(autouse=True)
def one_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "members", lambda: ())
    monkeypatch.setattr(containers, "running", lambda: {"postgres": "a1"})


@pytest.mark.parametrize(
    "name",
    ["cluster status", "cluster primary", "cluster switchover", "cluster demo", "cluster update", "cluster reinit"],
)
def test_a_command_of_a_cluster_is_refused(name: str) -> None:
    cli.load_commands()
    with pytest.raises(UserError, match="it is no cluster") as refused:
        cli.REGISTRY[name].function(ASKED)
    assert "./scripts/up --cluster" in refused.value.hint


@pytest.mark.parametrize("running", [{"postgres": "a1", "app": "b2"}, {}])
def test_the_server_is_the_service_postgres(monkeypatch: pytest.MonkeyPatch, running: dict[str, str]) -> None:
    monkeypatch.setattr(containers, "running", lambda: running)
    assert containers.server() == "postgres"


def test_in_a_cluster_it_is_the_primary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also beside a server that was left running from before."""
    monkeypatch.setattr(containers, "members", lambda: ("db1", "db2"))
    monkeypatch.setattr(containers, "primary", lambda: "db2")
    monkeypatch.setattr(containers, "running", lambda: {"postgres": "a1", "haproxy": "b2", "db1": "c3"})
    assert containers.server() == "db2"


def test_the_demonstration_is_refused_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "environment_of", lambda service: {"DEPLOYMENT": "production"})
    with pytest.raises(UserError, match="in development only"):
        failover_demo.run(planned=False)


def test_a_restore_in_place_is_refused_in_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "members", lambda: ("db1", "db2", "db3"))
    with pytest.raises(UserError, match="in place is for one server"):
        restore_backup.require_alone(dry_run=False)


def in_turn(*found: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """A function that returns these, one after the other."""
    turns = iter(found)
    return lambda: next(turns)


def waiting(segments: int) -> dict[str, Any]:
    """A healthy cluster's facts, with WAL segments that wait for the archive."""
    return {**HEALTHY, "server": {**HEALTHY["server"], "waiting_segments": segments}}


def test_a_switchover_waits_for_the_archive(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "gather", in_turn(waiting(30), waiting(3), waiting(2)))
    monkeypatch.setattr("ops.flows.switchover.time.sleep", lambda seconds: None)
    assert switchover.ready("")["server"]["waiting_segments"] == 2
    assert capsys.readouterr().err.count("waiting for the archive: 30 WAL segments") == 1


def test_an_archive_that_does_not_catch_up_refuses_a_switchover(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "gather", lambda: waiting(30))
    monkeypatch.setattr(switchover, "ARCHIVED_WITHIN", 0.0)
    with pytest.raises(OperationError, match="wait for the archive"):
        switchover.ready("")


def test_an_update_takes_the_primary_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """First what is not in sync; each when another is; the primary only after a switchover."""
    done: list[str] = []
    primary = ["db1"]

    def gather() -> dict[str, Any]:
        return {**HEALTHY, "primary": primary[0]}

    def switch() -> None:
        done.append(f"switchover from {primary[0]}")
        primary[0] = "db2"

    rounds = iter([{"db1": "container", "db2": "setting", "db3": "container"}, {}])
    monkeypatch.setattr(cluster, "gather", gather)
    monkeypatch.setattr(cluster_update, "outdated", lambda: next(rounds))
    monkeypatch.setattr(cluster_update, "require_another", lambda member: done.append(f"need {member} not"))
    monkeypatch.setattr(cluster_update, "restart", lambda member, why: done.append(f"{member}: {why}"))
    monkeypatch.setattr(cluster_update, "renew_certificates", lambda: False)
    monkeypatch.setattr(cluster_update, "update_etcd", lambda: False)
    monkeypatch.setattr(cluster_update, "update_haproxy", lambda: False)
    monkeypatch.setattr(switchover, "run", switch)
    assert cluster_update.run()
    assert done == [
        "need db3 not", "db3: container", "need db2 not", "db2: setting", "need db1 not", "switchover from db1",
        "db1: container",
    ]  # fmt: skip


DRY_RUN = """
 DRY-RUN MODE -  Container shop-certificates-1  Created
 DRY-RUN MODE -  Container shop-db1-1  Running
 DRY-RUN MODE -  Container shop-db2-1  Recreate
 DRY-RUN MODE -  Container shop-db2-1  Recreated
 DRY-RUN MODE -  Container shop-etcd-db1-1  Running
"""


def test_what_compose_would_replace_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.CompletedProcess([], 0, "", DRY_RUN)
    monkeypatch.setattr(containers, "completed", lambda argv, quiet: done)
    monkeypatch.setattr(containers, "config", lambda: {"name": "shop"})
    assert cluster_update.stale(["db1", "db2", "db3", "etcd-db1"]) == {"db2", "db3"}


def test_a_refused_switchover_pauses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {
        "configured": ["db1"],
        "members": [],
        "server": None,
        "primary": "",
        "pooler": "",
        "paused": False,
        "etcd": [],
    }
    monkeypatch.setattr(cluster, "gather", lambda: facts)
    with pytest.raises(Exception, match="no running primary"):
        switchover.run()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """db1 of a fleet; db2 is the primary."""
    monkeypatch.setattr(containers, "members", lambda: ("postgres",))
    monkeypatch.setattr(containers, "config", lambda: {"services": HOST})
    monkeypatch.setattr(containers, "primary", lambda: "db2")
    containers.require_primary.cache_clear()
    return monkeypatch


def test_a_command_on_a_standbys_host_names_the_primarys(host: pytest.MonkeyPatch) -> None:
    for call in (containers.server, lambda: containers.client("dump-list"), lambda: containers.pgbackup("info")):
        with pytest.raises(UserError, match="needs the primary: db2") as refused:
            call()
        assert refused.value.hint.startswith("on db2: ")


def test_a_command_on_the_primarys_host_means_its_server(host: pytest.MonkeyPatch) -> None:
    host.setattr(containers, "primary", lambda: "db1")
    assert containers.server() == "postgres"
    containers.require_primary()


def test_the_exit_status_says_whether_the_primary_is_here(host: pytest.MonkeyPatch) -> None:
    cli.load_commands()
    assert cli.REGISTRY["cluster primary"].function(ASKED) == 1
    host.setattr(containers, "primary", lambda: "db1")
    assert not cli.REGISTRY["cluster primary"].function(ASKED)


def test_a_switchover_on_a_host_is_the_playbooks(host: pytest.MonkeyPatch) -> None:
    cli.load_commands()
    with pytest.raises(UserError) as refused:
        cli.REGISTRY["cluster switchover"].function(ASKED)
    assert "playbooks/switchover.yml" in refused.value.hint


def test_a_restore_in_place_on_a_host_is_refused_while_another_member_runs(host: pytest.MonkeyPatch) -> None:
    members = [{"name": "db1", "state": "running"}, {"name": "db2", "state": "streaming"}]
    host.setattr(cluster, "ask_a_member", lambda: {"members": members})
    with pytest.raises(UserError, match="db1, db2 run") as refused:
        restore_backup.require_alone(dry_run=False)
    assert "playbooks/restore.yml" in refused.value.hint
    restore_backup.require_alone(dry_run=True)
    members[1]["state"] = "stopped"
    restore_backup.require_alone(dry_run=False)
