"""scripts/lib/cluster_inventory.py: which hosts can be a database cluster, and why others can't."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import cluster_inventory

ROOT = Path(__file__).parents[2]
CLUSTER = {"database": ["db1", "db2", "db3"], "application": ["app1", "app2"], "backup": ["backup1"]}


@pytest.mark.parametrize(
    "groups",
    [
        CLUSTER,
        {"database": ["db1"], "application": ["db1"]},
        {"database": ["db1"], "application": ["db1", "app1"], "backup": []},
        {"database": ["db1"], "application": ["app1"], "backup": ["backup1"], "vantage": ["db9"]},
    ],
)
def test_these_inventories_can_work(groups: dict[str, list[str]]) -> None:
    assert cluster_inventory.group_problems(groups) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"database": []}, "has 0 hosts"),
        ({"database": ["db1", "db2"]}, "has 2 hosts: one is a server, 3 are a cluster, and etcd needs an odd number"),
        ({"database": ["db1", "db2", "db3", "db4"]}, "has 4 hosts"),
        ({"application": []}, "`application` has no host"),
        ({"backup": []}, "a cluster needs a host in the group `backup`"),
        ({"backup": ["b1", "b2"]}, "at most one"),
        ({"backup": ["db3"]}, "db3 of the group `backup` is in another group"),
        ({"application": ["db1", "app1"]}, "db1 is in `database` and in `application`"),
        ({"application": [f"app{n}" for n in range(6)]}, "at most 5 PgBouncers"),
        ({"database": ["db1", "db2", "DB_3"]}, "DB_3 is no name for a member"),
    ],
)
def test_these_are_refused(changes: dict[str, list[str]], words: str) -> None:
    problems = cluster_inventory.group_problems({**CLUSTER, **changes})
    assert any(words in problem for problem in problems), problems


OURS: dict[str, Any] = {"version": "17", "system": "7", "used_mb": 5000, "free_mb": 9000}
EMPTY = {"free_mb": 9000}


@pytest.mark.parametrize(
    "hosts",
    [
        {"db1": EMPTY, "db2": EMPTY, "db3": EMPTY},
        {"db1": OURS, "db2": EMPTY, "db3": EMPTY},
        {"db1": OURS, "db2": OURS, "db3": {**OURS, "free_mb": 10}},
    ],
)
def test_these_hosts_can_hold_the_data(hosts: dict[str, dict[str, Any]]) -> None:
    assert cluster_inventory.data_problems(hosts) == []


@pytest.mark.parametrize(
    ("db2", "words"),
    [
        ({**OURS, "version": "16"}, "db2 has a data directory of PostgreSQL 16"),
        ({**OURS, "system": "8"}, "different databases: db1 has system identifier 7, db2 has system identifier 8"),
        ({"free_mb": 5999}, "db2 has 5999 MB free, and a copy of the data needs 6000 MB"),
    ],
)
def test_these_hosts_cannot(db2: dict[str, Any], words: str) -> None:
    problems = cluster_inventory.data_problems({"db1": OURS, "db2": db2, "db3": EMPTY})
    assert any(words in problem for problem in problems), problems


def test_a_parameter_that_patroni_passes_is_refused() -> None:
    assert cluster_inventory.setting_problems({"work_mem": "16MB"}) == []
    assert "max_connections" in cluster_inventory.setting_problems({"max_connections": 200})[0]


def test_what_it_knows_of_other_files_is_true() -> None:
    settings = yaml.safe_load((ROOT / "pg/cluster/patroni.yml").read_text())
    assert set(cluster_inventory.PATRONIS_PARAMETERS) == set(settings["bootstrap"]["dcs"]["postgresql"]["parameters"])
    assert f"PG_MAJOR={cluster_inventory.POSTGRESQL}" in (ROOT / "docker/postgres/Dockerfile").read_text()
    entrypoint = (ROOT / "docker/pgbouncer/docker-entrypoint.sh").read_text()
    assert re.search(rf"\[1-{cluster_inventory.MOST_POOLERS}\]", entrypoint)
