"""ops/cluster.py and the commands of a cluster, on a stack of one server."""

import argparse

import pytest

from ops import cli, cluster, containers
from ops.flows import failover_demo, restore_backup, switchover
from user_errors import UserError

ASKED = argparse.Namespace(json=False, yes=True, member="", switchover=False, dry_run=False)
# A database host of a fleet: its server is one member of three.
HOST = {
    "postgres": {"environment": {"PATRONI_NAME": "db1"}},
    "etcd": {"environment": {"ETCD_NAME": "etcd-db1"}},
    "pgbouncer": {"profiles": ["other-host"]},
}


@pytest.fixture(autouse=True)
def one_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "members", lambda: ())


@pytest.mark.parametrize("name", ["cluster status", "cluster primary", "cluster switchover", "cluster demo"])
def test_a_command_of_a_cluster_is_refused(name: str) -> None:
    cli.load_commands()
    with pytest.raises(UserError, match="it is no cluster") as refused:
        cli.REGISTRY[name].function(ASKED)
    assert "./scripts/up --cluster" in refused.value.hint


def test_the_server_is_the_service_postgres() -> None:
    assert containers.server() == "postgres"


def test_the_demonstration_is_refused_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "environment_of", lambda service: {"DEPLOYMENT": "production"})
    with pytest.raises(UserError, match="in development only"):
        failover_demo.run(planned=False)


def test_a_restore_in_place_is_refused_in_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "members", lambda: ("db1", "db2", "db3"))
    with pytest.raises(UserError, match="in place is for one server"):
        restore_backup.into_the_stack({}, yes=True, dry_run=False)


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
        restore_backup.require_alone()
    assert "playbooks/restore.yml" in refused.value.hint
    members[1]["state"] = "stopped"
    restore_backup.require_alone()
