"""From a cluster back to one server, with the data: the first member's volume is that of one server."""

from __future__ import annotations

import os

import cluster_health
from ops import cluster, containers, docker, dotenv
from ops.flows import cluster_update, switchover
from ops.output import note
from user_errors import OperationError

OVERLAY = "docker/compose/cluster.yml"
# What Patroni's members left in the server: they would keep WAL for standbys that are gone.
DROP_SLOTS = """
    SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots
    WHERE slot_type = 'physical' AND NOT active"""


def run() -> list[str]:
    """Make the first member the primary, stop all, and let `docker compose` mean one server from now on. The volumes
    that are no longer needed, for `remove`. Raises UserError or OperationError; then the cluster is as it was."""
    cluster.require()
    first, *others = containers.members()
    facts = cluster.gather()
    if found := cluster_health.problems(facts):
        raise OperationError(
            "nothing was changed: the cluster has a problem, and one server would go on with the copy of one member",
            "./scripts/ops cluster status", "; ".join(found),
        )  # fmt: skip
    if facts["primary"] != first:
        switchover.run(first)
        cluster_update.in_sync(str(facts["primary"]))
    config = containers.config()
    volumes = [
        config["volumes"][volume["source"]]["name"]
        for service in (*others, *cluster.etcd_services())
        for volume in config["services"][service]["volumes"]
        if volume["source"].startswith((f"{service}-data", "etcd-"))
    ]
    note(f"stopping the cluster; {first}'s data are the server's from now on")
    for services in (others, [first], ["haproxy", *cluster.etcd_services()]):
        containers.run(docker.compose("rm", "--stop", "--force", *services), quiet=True)
    forget()
    return volumes


def forget() -> None:
    """Take the cluster's file out of COMPOSE_FILE, here and in .env."""
    text = dotenv.read()
    named = os.environ.get("COMPOSE_FILE") or dotenv.value(text, "COMPOSE_FILE")
    files = ":".join(file for file in named.split(":") if file != OVERLAY)
    os.environ["COMPOSE_FILE"] = files
    if dotenv.write(dotenv.with_variable(text, "COMPOSE_FILE", files)):
        note(f"{dotenv.path()}: COMPOSE_FILE={files}")
    containers.config.cache_clear()
    containers.members.cache_clear()


def remove(volumes: list[str]) -> None:
    """After the start of the one server: drop the slots, remove the copies."""
    if not volumes:
        return
    containers.run(
        docker.exec_in("postgres", "psql", "-XqAt", "-h", "/run/postgresql", "-U", "postgres", "-c", DROP_SLOTS)
    )
    containers.run(["docker", "volume", "rm", "--force", *volumes], quiet=True)
    note(f"removed the other members' copies and etcd: {', '.join(volumes)}")
