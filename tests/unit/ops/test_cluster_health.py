"""scripts/lib/cluster_health.py: what is wrong with a cluster, and why a switchover is refused."""

import copy
from typing import Any

import pytest
import yaml

import cluster_health
from testing.shell import ROOT
from user_errors import OperationError, Status, UserError

HEALTHY: dict[str, Any] = {
    "configured": ["db1", "db2", "db3"],
    "primary": "db1",
    "pooler": "db1",
    "paused": False,
    "members": [
        {"name": "db1", "role": "leader", "state": "running", "timeline": 3},
        {"name": "db2", "role": "quorum_standby", "state": "streaming", "timeline": 3, "lag": 0},
        {"name": "db3", "role": "quorum_standby", "state": "streaming", "timeline": 3, "lag": 0},
    ],
    "etcd": [{"name": f"etcd-db{n}", "healthy": True, "reason": ""} for n in (1, 2, 3)],
    "server": {
        "standbys": [{"name": name, "sync_state": "quorum", "lag": 0} for name in ("db2", "db3")],
        "oldest_transaction_s": 0.0,
        "waiting_segments": 0,
    },
}


def facts(**changes: Any) -> dict[str, Any]:
    """A healthy cluster's, with something changed: `members__1__state="stopped"`."""
    found = copy.deepcopy(HEALTHY)
    for path, value in changes.items():
        *way, last = path.split("__")
        place: Any = found
        for step in way:
            place = place[int(step) if step.isdigit() else step]
        place[int(last) if last.isdigit() else last] = value
    return found


def test_a_healthy_cluster_has_no_problem() -> None:
    assert cluster_health.problems(HEALTHY) == []
    assert cluster_health.refusal(HEALTHY) is None
    assert cluster_health.refusal(HEALTHY, "db3") is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"members__0__role": "replica", "primary": ""}, "there is no primary"),
        ({"members__0__state": "starting"}, "the primary, db1, is starting"),
        ({"members__1__state": "stopped"}, "db2 is stopped, not streaming"),
        ({"members": HEALTHY["members"][:2]}, "db3 is unknown to Patroni"),
        ({"members__2__timeline": 2}, "db3 is on timeline 2, the primary on 3"),
        ({"server__standbys__0__lag": 5 << 20}, "db2 lags 5 MiB"),
        ({"server__standbys": []}, "no standby is synchronous"),
        ({"server": None}, "no standby is synchronous"),
        ({"etcd__0__healthy": False, "etcd__0__reason": "refused"}, "etcd-db1 does not answer: refused"),
        ({"etcd__0__healthy": False, "etcd__1__healthy": False}, "etcd has no majority: 1 of 3 answer"),
        ({"pooler": "db2"}, "PgBouncer is led to db2, and the primary is db1"),
        ({"pooler": ""}, "PgBouncer is led to no server"),
        ({"paused": True}, "Patroni is paused"),
        ({"members__1__pending_restart": True}, "db2 has a setting that needs a restart"),
    ],
)
def test_each_fault_is_a_problem(changes: dict[str, Any], words: str) -> None:
    assert any(problem.startswith(words) for problem in cluster_health.problems(facts(**changes)))


@pytest.mark.parametrize(
    ("candidate", "changes", "kind", "words"),
    [
        ("db9", {}, UserError, "there is no member 'db9'"),
        ("db1", {}, UserError, "db1 is the primary already"),
        ("", {"members__0__state": "stopping"}, OperationError, "no running primary"),
        ("", {"paused": True}, OperationError, "Patroni is paused"),
        ("", {"pooler": "db2"}, OperationError, "PgBouncer is not led to the primary"),
        ("db2", {"server__standbys__0__lag": 2 << 20}, OperationError, "lags"),
        ("db2", {"server__standbys__0__sync_state": "async"}, OperationError, "not in the quorum"),
        ("db2", {"members__1__state": "stopped"}, OperationError, "it is stopped, not streaming"),
        ("", {"server__standbys": []}, OperationError, "no standby can take over"),
        ("", {"server__oldest_transaction_s": 1.5}, OperationError, "open for 1.5 s"),
    ],
)
def test_a_switchover_that_can_not_work_is_refused(
    candidate: str, changes: dict[str, Any], kind: type[Exception], words: str
) -> None:
    refused = cluster_health.refusal(facts(**changes), candidate)
    assert isinstance(refused, kind)
    assert words in str(refused)


@pytest.mark.parametrize(("segments", "waits"), [(2, False), (3, True)])
def test_a_switchover_waits_for_an_archive_that_is_behind(segments: int, waits: bool) -> None:
    assert bool(cluster_health.archive_behind(facts(server__waiting_segments=segments))) == waits


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("db9", {}, "there is no member 'db9'"),
        ("db1", {}, "db1 is the primary"),
        ("db2", {"primary": ""}, "no primary"),
        ("db2", {"members__2__state": "stopped"}, "no other standby is synchronous"),
    ],
)
def test_a_reinit_that_would_lose_something_is_refused(name: str, changes: dict[str, Any], words: str) -> None:
    assert words in str(cluster_health.reinit_refusal(facts(**changes), name))


def test_a_broken_standby_may_be_copied_again() -> None:
    assert cluster_health.reinit_refusal(facts(members__1__state="stopped"), "db2") is None


def test_one_good_standby_is_enough() -> None:
    assert cluster_health.refusal(facts(members__1__state="stopped")) is None
    assert cluster_health.refusal(facts(members__1__state="stopped"), "db2") is not None


def test_an_unknown_member_is_not_found() -> None:
    refused = cluster_health.refusal(HEALTHY, "db9")
    assert refused
    assert refused.status == Status.NOT_FOUND


def hosts_view() -> dict[str, Any]:
    """What a standby's host of a fleet knows: no pooler, and not the primary's side."""
    return {name: value for name, value in facts().items() if name not in ("pooler", "server")}


def test_a_standbys_host_sees_a_healthy_cluster() -> None:
    assert cluster_health.problems(hosts_view()) == []
    assert cluster_health.problems({**hosts_view(), "members": [HEALTHY["members"][0]]}) != []


def test_a_standbys_host_does_not_judge_a_switchover() -> None:
    refused = cluster_health.refusal(hosts_view())
    assert isinstance(refused, UserError)
    assert refused.hint.startswith("on db1: ")


def test_the_lag_that_is_allowed_is_patronis() -> None:
    policy = yaml.safe_load((ROOT / "pg/cluster/patroni.yml").read_text())
    assert policy["bootstrap"]["dcs"]["maximum_lag_on_failover"] == cluster_health.MOST_LAG
