"""Commands of a database cluster (./scripts/up --cluster)."""

from __future__ import annotations

import argparse

import cluster_health
from ops import cluster, containers, docker
from ops.cli import CLUSTER, DRY_RUN, JSON, YES, command, flag, option
from ops.flows import cluster_update, failover_demo, switchover, up
from ops.output import note, say, show, show_json
from ops.prompt import confirm
from user_errors import Status, UserError


@command("cluster status", CLUSTER, "Show members, roles, lag, synchronous standbys, etcd and PgBouncer's target", JSON)
def status(asked: argparse.Namespace) -> int:
    """Exit status 1 when something is wrong."""
    facts = cluster.gather()
    found = cluster_health.problems(facts)
    healthy = sum(one["healthy"] for one in facts["etcd"])
    rows = [
        {
            "member": one.name, "role": one.role or "-", "state": one.state, "timeline": one.timeline,
            "lag_bytes": one.lag,
            "synchronous": one.synchronous if one.role == "standby" else None,
        }
        for one in cluster_health.members(facts)
    ]  # fmt: skip
    if asked.json:
        show_json(
            {
                "members": rows, "primary": facts["primary"], "pooler": facts.get("pooler"), "etcd": facts["etcd"],
                "paused": facts["paused"], "strict": (facts.get("server") or {}).get("strict"), "problems": found,
            }
        )  # fmt: skip
    else:
        show(rows, False, "no member is known")
        led = f"; PgBouncer is led to {facts['pooler'] or 'no server'}" if "pooler" in facts else ""
        say(f"etcd: {healthy} of {len(facts['etcd'])} answer{led}")
        for problem in found:
            note(f"✗ {problem}")
    return Status.PROBLEM if found else Status.OK


@command("cluster primary", CLUSTER, "Print the primary's name; exit status 1 unless it is on this host")
def primary(asked: argparse.Namespace) -> int:
    """For timers on hosts: each database host has them, and they work where the primary is."""
    cluster.require()
    name = containers.primary()
    say(name)
    return Status.OK if containers.service_of(name) else Status.PROBLEM


@command(
    "cluster switchover", CLUSTER, "Make a standby the primary without a failed request",
    option("member", nargs="?", default="", metavar="MEMBER",
           help="the new primary; two seconds slower (default: the standby that is first)"), YES, DRY_RUN,
)  # fmt: skip
def switch(asked: argparse.Namespace) -> None:
    """Before maintenance of the primary's host. PgBouncer's clients wait for about a second; connections that don't
    come through PgBouncer (psql, a dump, a migration) end. Refused when no standby is synchronous and streaming, when a
    transaction stays open, or when the archive is behind. On hosts it only says whether it can take place (--dry-run):
    playbooks/switchover.yml pauses the PgBouncer of each application host."""
    cluster.require()
    if asked.dry_run:
        facts = switchover.ready(asked.member)
        say(f"{facts['primary']} can hand over to {asked.member or 'a standby'}. (Dry run: nothing was changed.)")
        return
    if not cluster.has_pooler():
        raise UserError(
            "no switchover was started: PgBouncer runs on the application hosts",
            "on the control machine: ansible-playbook -i inventories/NAME playbooks/switchover.yml",
        )
    confirm("Another member becomes the primary. Connections that don't come through PgBouncer end.", asked.yes)
    switchover.run(asked.member)


@command(
    "cluster update", CLUSTER, "Bring each server to this checkout's images and settings, without a failed request", YES
)
def update(asked: argparse.Namespace) -> None:
    """Standbys first, each awaited in sync, then a switchover, then the old primary; etcd and HAProxy, too. A server
    that is up to date already is left alone, so the same command goes on after it was interrupted."""
    cluster.require()
    if not cluster.has_pooler():
        raise UserError(
            "nothing was updated: PgBouncer runs on the application hosts, and each host has one member",
            "on the control machine: ansible-playbook -i inventories/NAME playbooks/site.yml",
        )
    confirm("Servers restart one after the other, and another member becomes the primary.", asked.yes)
    up.build()
    up.configure_cluster()
    if not cluster_update.run():
        note("every server is up to date: nothing was changed")


@command(
    "cluster reinit", CLUSTER, "Delete a standby's data directory and copy the primary's",
    option("member", metavar="MEMBER", help="as cluster status shows it"), YES,
)  # fmt: skip
def reinit(asked: argparse.Namespace) -> None:
    """For a standby whose data directory is damaged, or that can't follow. Refused for the primary, and while no other
    standby is synchronous."""
    cluster.require()
    facts = cluster.gather()
    if refused := cluster_health.reinit_refusal(facts, asked.member):
        raise refused
    service = containers.service_of(asked.member)
    if not service:
        raise UserError(f"{asked.member} is on another host", f"on {asked.member}: the same command")
    confirm(f"The data directory of {asked.member} is deleted and copied from {facts['primary']}.", asked.yes)
    done = containers.answer(docker.exec_in(service, "pgcluster", "reinit"))
    cluster_update.in_sync(asked.member)
    say(f"{asked.member} has a new copy of {facts['primary']}'s data after {done['seconds']} s")


@command(
    "cluster demo", CLUSTER, "Show what clients see when the primary is killed under load: in development only",
    flag("--switchover", help="a planned switchover instead"), YES, JSON,
)  # fmt: skip
def demo(asked: argparse.Namespace) -> int:
    """Eight writers go through PgBouncer, each row with an id of its own. Then it prints for how long no write
    succeeded, and whether every acknowledged row is there. Exit status 1 when one is lost."""
    cluster.require()
    what = "switched over" if asked.switchover else "killed (kill -9)"
    confirm(f"Writers write through PgBouncer, and the primary is {what} meanwhile.", asked.yes)
    result = failover_demo.run(asked.switchover, quiet=asked.json)
    if asked.json:
        show_json(result)
    return Status.PROBLEM if result["lost"] or result["violations"] else Status.OK
