"""ops/cluster.py and the commands of a cluster, on a stack of one server."""

import argparse

import pytest

from ops import cli, cluster, containers
from ops.flows import failover_demo, restore_backup, switchover
from user_errors import UserError

ASKED = argparse.Namespace(json=False, yes=True, member="", switchover=False)


@pytest.fixture(autouse=True)
def one_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "members", lambda: ())


@pytest.mark.parametrize("name", ["cluster status", "cluster switchover", "cluster demo"])
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
