"""A new image, or a setting that needs a restart, on every server of a cluster, without a failed request.

Certificates → etcd, one by one → standbys, one by one, each awaited in sync → switchover → the old primary → HAProxy,
while PgBouncer's clients wait. Each step follows from what is there: run again after it was killed, it goes on.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

import cluster_health
from cluster_health import Member
from ops import cluster, containers, docker, pooler
from ops.flows import switchover
from ops.output import note
from user_errors import OperationError

IN_SYNC_WITHIN = 120.0  # seconds, after a restart
HEALTHY_WITHIN = 60.0  # seconds, of all etcd
ROUNDS = 3  # a smaller max_connections can take effect on a standby only after the primary's restart
POLL = 0.5


def run() -> bool:
    """The whole flow; whether anything was changed. Raises OperationError; the same command again goes on."""
    changed = renew_certificates()
    changed = update_etcd() or changed
    for _ in range(ROUNDS):
        todo = outdated()
        if not todo:
            break
        changed = True
        for member in in_order(list(todo), cluster.gather()):
            require_another(member)
            if member == cluster.gather()["primary"]:
                switchover.run()
            restart(member, todo[member])
    else:
        raise OperationError(
            f"after {ROUNDS} rounds a server is not up to date", "./scripts/ops cluster status", ", ".join(outdated())
        )
    return update_haproxy() or changed


def in_order(todo: list[str], facts: cluster_health.Facts) -> list[str]:
    """Members that are not in sync first: nothing depends on them. The primary last. A pure function."""
    fit = {one.name for one in cluster_health.members(facts) if cluster_health.fit(one)}
    return sorted(todo, key=lambda name: (name == facts["primary"], name in fit, name))


def outdated() -> dict[str, str]:
    """Members that are not what they would be after a new start, each with the reason."""
    found = dict.fromkeys(sorted(stale(containers.members())), "container")
    for one in cluster_health.members(cluster.gather()):
        if one.pending_restart:
            found.setdefault(one.name, "setting")
    return found


def stale(services: Sequence[str]) -> set[str]:
    """Services that run no container, or one of another image or definition than `docker compose up` would give them:
    Compose itself is asked. (The hashes of `docker compose config --hash` are others when a profile is off.)"""
    argv = docker.compose("--progress", "plain", "--dry-run", "up", "--detach", "--no-build", *services)
    done = containers.completed(argv, quiet=True)
    if done.returncode:
        raise OperationError("Docker Compose can't start the servers", "./scripts/up", done.stderr.strip()[-400:])
    project = containers.config()["name"]
    return {service for service in services if not re.search(rf" {project}-{service}-\d+ +Running\b", done.stderr)}


def replace(service: str) -> None:
    """A new container, healthy. Raises Failed. (Not with --no-deps: what a service depends on is part of its
    definition's hash, and the next start would replace it again.)"""
    containers.run(docker.compose("up", "--detach", "--no-build", "--wait", service), quiet=True)


def restart(member: str, why: str) -> None:
    """A standby's new start, and wait until it is in sync. Raises Failed or OperationError."""
    note(f"{member}: {'new container' if why == 'container' else 'restart for a changed setting'}")
    if why == "container":
        replace(member)
    else:
        containers.run(docker.exec_in(member, "pgcluster", "restart"))
    in_sync(member)


def require_another(member: str) -> None:
    """Wait until a commit does not need this member. Raises OperationError."""
    wait(
        lambda listed: any(one.name != member and not cluster_health.unfit(one) for one in listed),
        f"{member} was not restarted: no other standby is synchronous",
    )


def in_sync(member: str) -> None:
    """Wait until a standby has what the primary has. Raises OperationError."""
    started = time.monotonic()
    wait(
        lambda listed: any(one.name == member and one.role and not cluster_health.unfit(one) for one in listed),
        f"{member} is not in sync after its restart",
    )
    note(f"{member} is in sync after {time.monotonic() - started:.1f} s")


def wait(condition: Callable[[list[Member]], bool], otherwise: str) -> None:
    """Until it is true of the members. Raises OperationError that says `otherwise`."""
    deadline = time.monotonic() + IN_SYNC_WITHIN
    while not condition(listed := cluster_health.members(cluster.gather())):
        if time.monotonic() > deadline:
            states = "; ".join(f"{one.name}: {one.role} {one.state}" for one in listed)
            raise OperationError(
                otherwise, "./scripts/ops cluster status; then the same command again, which goes on", states
            )
        time.sleep(POLL)


# ------------------------------------------------------------ beside the servers


def renew_certificates() -> bool:
    """Make those that are about to expire, and let every server read them; no connection ends by that. (etcd
    and pgBackRest read theirs for each connection.)"""
    printed = containers.run(docker.run_in("certificates"))
    if "created" not in printed:
        return False
    note(printed.strip())
    for member in containers.members():
        containers.run(docker.exec_in(member, "pgcluster", "reload"))
    containers.run(docker.compose("kill", "--signal", "USR2", "haproxy"), quiet=True)
    pooler.execute("RELOAD")
    return True


def update_etcd() -> bool:
    """Replace those that are not up to date, one by one: the majority stays. Raises OperationError."""
    changed = False
    for service in sorted(stale(cluster.etcd_services())):
        others(service)
        note(f"{service}: new container")
        replace(service)
        changed = True
    return changed


def others(service: str) -> None:
    """Wait until every other etcd answers. Raises OperationError."""
    deadline = time.monotonic() + HEALTHY_WITHIN
    while missing := [one for one in cluster.gather()["etcd"] if not one["healthy"] and one["name"] != service]:
        if time.monotonic() > deadline:
            raise OperationError(
                f"{service} was not replaced: etcd would lose its majority",
                "./scripts/ops cluster status; then the same command again, which goes on",
                "; ".join(f"{one['name']}: {one['reason']}" for one in missing),
            )
        time.sleep(POLL)


def update_haproxy() -> bool:
    """A new container, while the pooler's clients wait."""
    if not stale(["haproxy"]):
        return False
    note("haproxy: new container")
    with pooler.paused():
        replace("haproxy")
    return True
