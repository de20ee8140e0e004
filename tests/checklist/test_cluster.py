"""High availability: of a cluster of database servers. On one server these checks don't apply."""

import json

from checklist.api import Evidence, check, does_not_apply
from checklist.client import Client, Superuser
from checklist.machines import Container
from checklist.target import Target

STATUS = "./scripts/ops cluster status; docs/runbooks/cluster.md"
# A TLS handshake without a certificate: prints the alert, or what is answered.
HANDSHAKE = (
    """printf 'GET /%s HTTP/1.0\\r\\n\\r\\n' | timeout 5 openssl s_client -quiet -connect %s -CAfile %s 2>&1; true"""
)


def members_of(target: Target) -> tuple[Container, ...]:
    """The cluster's members; ends the check where there is one server."""
    if not target.members:
        does_not_apply("one database server")
    return target.members


@check("HA-01", claim="three members stream from one primary, on one timeline, without a lag", remedy=STATUS)
def test_members(target: Target, superuser: Superuser, evidence: Evidence) -> None:
    status = json.loads(members_of(target)[0].run("pgcluster status").stdout)
    for one in status["members"]:
        evidence(
            f"{one['name']}: {one['role']}, {one['state']}, timeline {one.get('timeline')}, lag {one.get('lag', '-')}"
        )
    assert len(status["members"]) == 3
    assert [one["state"] for one in status["members"] if one["role"] == "leader"] == ["running"]
    assert {one["state"] for one in status["members"] if one["role"] != "leader"} == {"streaming"}
    assert len({one["timeline"] for one in status["members"]}) == 1
    assert max(one.get("lag", 0) for one in status["members"]) < 1 << 20
    # Patroni knows of a member that died only when its entry in etcd expires.
    sends = "SELECT application_name AS name FROM pg_catalog.pg_stat_replication WHERE state = 'streaming'"
    receiving = {one["name"] for one in superuser.rows(sends)}
    evidence(f"the primary sends WAL to {', '.join(sorted(receiving)) or 'no standby'}")
    assert {one["name"] for one in status["members"] if one["role"] != "leader"} <= receiving
    assert not status["paused"], "Patroni is paused: no failover takes place"


@check("HA-02", claim="a commit is acknowledged when a standby has it on disk", remedy=STATUS)
def test_synchronous(target: Target, superuser: Superuser, evidence: Evidence) -> None:
    members_of(target)
    names, commit = superuser.value("SHOW synchronous_standby_names"), superuser.value("SHOW synchronous_commit")
    standbys = superuser.rows("SELECT application_name AS name, sync_state FROM pg_catalog.pg_stat_replication")
    evidence(f"synchronous_standby_names = {names}; synchronous_commit = {commit}")
    evidence(", ".join(f"{one['name']}: {one['sync_state']}" for one in standbys))
    assert names.startswith("ANY ")
    assert commit == "on"
    assert any(one["sync_state"] in ("quorum", "sync") for one in standbys), "no standby is synchronous"


@check("HA-03", claim="each etcd answers with the consent of the majority", remedy=STATUS)
def test_etcd(target: Target, evidence: Evidence) -> None:
    status = json.loads(members_of(target)[0].run("pgcluster status").stdout)
    for one in status["etcd"]:
        evidence(f"{one['name']}: {'healthy' if one['healthy'] else one['reason']}")
    assert len(status["etcd"]) >= 3
    assert all(one["healthy"] for one in status["etcd"])


@check(
    "HA-04",
    claim="etcd and Patroni answer no client without a certificate",
    remedy="pg/cluster/patroni.yml: verify_client; docker/compose/cluster.yml: --client-cert-auth",
)
def test_certificates(target: Target, evidence: Evidence) -> None:
    [first, *_] = members_of(target)
    for member in target.members:
        for host, path, ca in (
            (f"{member.member}:8008", "cluster", "/tls/ca.crt"),
            (f"etcd-{member.member}:2379", "health", "/tls/cluster/ca.crt"),
        ):
            said = first.run(HANDSHAKE, path, host, ca).stdout
            alert = next((line for line in said.splitlines() if "alert" in line), said.strip()[-200:])
            evidence(f"{host} without a certificate: {alert}")
            assert "HTTP/1" not in said, f"{host} answers a client without a certificate"
            assert "alert" in said, f"{host} can't be reached: {said[-200:]}"


@check("HA-05", claim="each pooler is led to the primary", remedy=STATUS)
def test_pooler(target: Target, at_applications: list[Client], evidence: Evidence) -> None:
    members_of(target)
    primary = target.host("postgres").member
    member = "SELECT pg_catalog.current_setting('flaglearning.member') WHERE NOT pg_catalog.pg_is_in_recovery()"
    for client in at_applications:
        answer = client.login(target.endpoint("pgbouncer"), target.app_role, "app_password", member)
        evidence(f"{client.host}, through PgBouncer: {answer.text}; the primary: {primary}")
        assert answer.text.strip() == primary
