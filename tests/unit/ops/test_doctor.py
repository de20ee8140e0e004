"""`doctor` names the first link that fails."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.flows import doctor
from user_errors import OperationError

BACKUP = {
    "label": "20261126-021500F", "error": False, "database_bytes": 8192,
    "stop": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
}  # fmt: skip


def healthy() -> dict[str, Any]:
    """The facts of a stack without a fault."""
    probes: dict[str, Any] = {
        name: {"found": None}
        for name in (
            "server", "postgres without TLS", "pgbouncer without TLS", "app login through the pooler",
            "pgbouncer login",
            *(f"{role} login" for role in doctor.ROLES),
        )
    }  # fmt: skip
    probes.update({f"{service} certificate": {"found": 90} for service in doctor.SERVICES})
    probes["client"] = {"found": "has the CA's certificate"}
    probes["app"] = {"found": {"status": 200, "body": '{"status": "ok"}', "ms": 4}}
    probes["end to end"] = {"found": {"status": 200, "body": "", "ms": 9}}
    server = {"replica": False, "connections": 3, "max_connections": 100, "archive_mode": "on"}
    return {
        "probes": probes,
        "server": {"server": [server], "migrations_applied": [{"applied": 24}]},
        "pooler": {
            "STATE": [{"key": "active", "value": "yes"}],
            "DATABASES": [{"name": "flaglearning_dev", "paused": 0, "disabled": 0}],
            "POOLS": [{"cl_waiting": 0}],
        },
        "disk": {"free_bytes": 1024**3, "free_pct": 50.0, "size_bytes": 2 * 1024**3},
        "schema": {"pending": [], "missing": [], "changes": []},
        "backups": {"server": {"archive_mode": "on", "failing": False}, "state": "ok", "backups": [BACKUP]},
        "development": False,
        "database": "flaglearning_dev",
        "other_hosts": [],
    }


FAULT = {"what": "it fails", "reason": "a reason", "hint": "a command"}
STOPPED = OperationError("the service is not running", "./scripts/up")


def test_a_healthy_stack() -> None:
    results, failure = doctor.walk(healthy())
    assert failure is None
    assert {result["status"] for result in results} == {"ok"}
    assert len(results) == len(doctor.CHAIN) - 1  # without `cluster`


def test_a_database_host_without_pooler_and_proxy() -> None:
    facts = healthy()
    for name in ("proxy certificate", "pgbouncer certificate", "pgbouncer without TLS", "app login through the pooler"):
        facts["probes"][name] = FAULT
    results, failure = doctor.walk({**facts, "pooler": STOPPED, "other_hosts": ["proxy", "pgbouncer"]})
    assert failure is None
    assert {result["link"] for result in results}.isdisjoint({"proxy", "app", "pooler", "end to end"})
    assert doctor.walk(facts)[1] is not None


@pytest.mark.parametrize(
    ("link", "changes"),
    [
        ("client", {"probes": STOPPED}),
        ("client", {"probes.client": FAULT}),
        ("proxy", {"probes.proxy certificate": FAULT}),
        ("app", {"probes.app": FAULT}),
        ("app", {"probes.app": {"found": {"status": 502, "body": "a page", "ms": 1}}}),
        ("app", {"probes.app": {"found": {"status": 200, "body": "a page", "ms": 1}}}),
        ("pooler", {"probes.pgbouncer certificate": FAULT}),
        ("pooler", {"pooler": STOPPED}),
        ("pooler", {"pooler.STATE": [{"key": "active", "value": "no"}]}),
        ("pooler", {"pooler.DATABASES": [{"name": "x", "paused": 1, "disabled": 0}]}),
        ("pooler", {"pooler.POOLS": [{"cl_waiting": 2}]}),
        ("server", {"probes.postgres certificate": FAULT}),
        ("server", {"probes.server": FAULT}),
        ("database", {"server": STOPPED}),
        ("database", {"server.server": [{"replica": True, "connections": 1, "max_connections": 9}]}),
        *(("roles", {f"probes.{role} login": FAULT}) for role in doctor.ROLES),
        ("roles", {"probes.app login through the pooler": FAULT}),
        ("roles", {"probes.pgbouncer login": FAULT}),
        *(("TLS", {f"probes.{service} certificate": {"found": 13}}) for service in doctor.SERVICES),
        ("TLS", {"probes.postgres without TLS": FAULT}),
        ("TLS", {"probes.pgbouncer without TLS": FAULT}),
        ("disk", {"disk": STOPPED}),
        ("disk", {"disk": {"free_bytes": 1, "free_pct": 9.9, "size_bytes": 10}}),
        ("migrations", {"server.migrations_applied": [{"applied": 0}]}),
        ("migrations", {"schema.pending": ["flags.0002_more"]}),
        ("migrations", {"schema": STOPPED}),
        ("migrations", {"schema.changes": ["+ Add field continent to country"]}),
        ("tables", {"schema.missing": ["flags_country.name"]}),
        ("end to end", {"probes.end to end": {"found": {"status": 503, "body": "no database", "ms": 1}}}),
        ("archiving", {"backups": STOPPED}),
        ("archiving", {"backups.backups": []}),
        ("archiving", {"backups": {"server": {"archive_mode": "off"}}}),
    ],
)  # fmt: skip
def test_the_first_link_that_fails_is_named(link: str, changes: dict[str, Any]) -> None:
    facts = healthy()
    for path, value in changes.items():
        name, _, inner = path.partition(".")
        if inner:
            facts[name] = {**facts[name], inner: value}
        else:
            facts[name] = value
    results, failure = doctor.walk(facts)
    failed = [result for result in results if result["status"] == "failed"]
    assert [result["link"] for result in failed] == [link]
    assert failure
    assert failed[0]["hint"] == failure.hint
    after = results[results.index(failed[0]) + 1 :]
    assert {result["status"] for result in after} <= {"not checked"}


def test_development_may_run_without_archiving() -> None:
    facts = {**healthy(), "development": True, "backups": {"server": {"archive_mode": "off"}}}
    results, failure = doctor.walk(facts)
    assert failure is None
    assert results[-1]["detail"].startswith("off")


CLUSTER = {
    "configured": ["db1", "db2", "db3"],
    "primary": "db1",
    "pooler": "db1",
    "members": [
        {"name": "db1", "role": "leader", "state": "running", "timeline": 1},
        {"name": "db2", "role": "quorum_standby", "state": "streaming", "timeline": 1},
        {"name": "db3", "role": "quorum_standby", "state": "streaming", "timeline": 1},
    ],
    "etcd": [{"name": "etcd", "healthy": True, "reason": ""}] * 3,
    "server": {"standbys": [{"name": name, "sync_state": "quorum", "lag": 0} for name in ("db2", "db3")]},
}


def test_a_cluster_is_a_link_of_its_own() -> None:
    results, failure = doctor.walk({**healthy(), "cluster": CLUSTER})
    assert failure is None
    assert [result["detail"] for result in results if result["link"] == "cluster"] == [
        "db1 is the primary, 2 standbys stream, 3 etcd answer"
    ]


@pytest.mark.parametrize("found", [{**CLUSTER, "pooler": "db2"}, STOPPED])
def test_a_cluster_that_is_not_healthy_fails_there(found: object) -> None:
    results, failure = doctor.walk({**healthy(), "cluster": found})
    assert failure
    assert [result["link"] for result in results if result["status"] == "failed"] == ["cluster"]
