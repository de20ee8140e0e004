"""What is known of the database cluster, gathered from its members, its etcd and the pooler's side."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ops import containers, docker, dotenv
from user_errors import OperationError, Status, UserError

PUBLISHED = "docker/compose/host-published.yml"  # of a database host whose server the poolers of other hosts reach
# In the pooler's container, on its way to the server, with its password and its CA: which member takes writes there.
LOOK = """
export PGHOST=postgres PGUSER=pgbouncer PGDATABASE=postgres PGSSLMODE=verify-full PGSSLROOTCERT=/tls/ca.crt
export PGCONNECT_TIMEOUT=2 PGPASSWORD=$(tail -n 1 /run/secrets/pgbouncer_password)
timeout 3 psql --no-psqlrc --no-password --tuples-only --no-align --command="
	SELECT pg_catalog.current_setting('flaglearning.member') WHERE NOT pg_catalog.pg_is_in_recovery()" 2>/dev/null
exit 0
"""


def require() -> None:
    """Raises UserError on a one-server stack."""
    if not containers.members():
        raise UserError(
            "this stack has no member of a database cluster: it is no cluster, or not its database host",
            "on hosts: run it on a database host; on one machine: ./scripts/up --cluster starts three servers",
        )


def has_pooler() -> bool:
    """Whether this machine has a PgBouncer: a database host of a cluster has none."""
    return not containers.config()["services"]["pgbouncer"].get("profiles")


def has_every_pooler() -> bool:
    """Whether no other host has a PgBouncer that leads to this machine's server."""
    return has_pooler() and PUBLISHED not in dotenv.named_files()


def gather() -> dict[str, Any]:
    """The facts that cluster_health judges. Raises OperationError when no member answers. On a host without a pooler
    they have no "pooler", and on a standby's host no "server", the primary's side."""
    require()
    with ThreadPoolExecutor(1) as pool:
        pooler = pool.submit(seen_by_the_pooler) if has_pooler() else None
        facts = ask_a_member()
        primary_side: dict[str, Any] = {}
        if not facts["primary"]:
            primary_side = {"server": None}
        elif service := containers.service_of(facts["primary"]):
            done = containers.completed(docker.exec_in(service, "pgcluster", "server"), quiet=True)
            primary_side = {"server": json.loads(done.stdout) if done.returncode == 0 else None}
    configured = [one["name"].removeprefix("etcd-") for one in facts["etcd"]]
    seen = {"pooler": pooler.result()} if pooler else {}
    return {**facts, **primary_side, **seen, "configured": configured}


def etcd_services() -> tuple[str, ...]:
    """The services of the stack that are the members' etcd."""
    services = containers.config()["services"].items()
    return tuple(name for name, service in services if "ETCD_NAME" in (service.get("environment") or {}))


def ask_a_member() -> dict[str, Any]:
    """`pgcluster status` of the first member whose Patroni answers."""
    reason = ""
    for member in containers.members():
        done = containers.completed(docker.exec_in(member, "pgcluster", "status"), quiet=True)
        if done.returncode == 0:
            found: dict[str, Any] = json.loads(done.stdout)
            return found
        reason = (done.stderr.strip().splitlines() or [""])[0].removeprefix("ERROR: ")
    containers.require_engine()
    raise OperationError(
        "no member of the database cluster answers",
        f"docker compose ps; docker compose logs --tail 20 {containers.members()[0]}", reason, Status.CANNOT_CONNECT,
    )  # fmt: skip


def seen_by_the_pooler() -> str:
    """The member to which HAProxy leads PgBouncer; "" when there is none."""
    return containers.completed(docker.exec_in("pgbouncer", "sh", "-c", LOOK), quiet=True).stdout.strip()
