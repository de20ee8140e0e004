"""A planned restart of PostgreSQL without a failed request: the pooler's clients wait while a new container takes over.

Refuse what would be interrupted → create the new container beside the running one → CHECKPOINT → pause PgBouncer →
stop the old container, start the new one → wait until it takes writes, seen from the pooler → resume. The old container
is removed then. If the new one ends or does not become healthy, the old one is started again. A program in PgBouncer's
container resumes (scripts/lib/ops/hold-clients), whatever happens to this process.

Where poolers are on other hosts, playbooks/exchange.yml pauses them, and tells this program when they are
(`--when-told`).
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import cluster_health
from ops import containers, docker, pooler, psql
from ops.flows import rollout
from ops.output import note
from user_errors import OperationError, UserError

SERVICE = "postgres"
POLL = 0.5  # seconds between two looks at the new container, whose end would not be seen otherwise
# One program, which goes on when the orchestrator is killed: one of the containers always runs again.
# Never two servers on one data directory: from container to container PostgreSQL's own lock does not work.
EXCHANGE = """
echo ready
read -r _ || exit 0
docker stop "$1" >/dev/null || exit 1
docker start "$2" >/dev/null || { docker start "$1" >/dev/null; exit 1; }
"""


def run(if_changed: bool = False, when_told: bool = False) -> float | None:
    """The whole flow, into the container that Compose wants now. For how long clients waited, in seconds; None when no
    restart was needed (`if_changed`), or when the server was not running. Raises UserError or OperationError; then the
    previous container runs.

    `when_told`: another program pauses the poolers. It is told `ready`, and this one goes on at a line on standard
    input."""
    if containers.members():
        raise UserError("a cluster's servers are restarted one by one", "./scripts/ops cluster update")
    containers.require_same_deployment()
    image = str(containers.config()["services"][SERVICE]["image"])
    with rollout.lock():
        old = running_alone()
        if not old:
            note(f"the service {SERVICE} is not running: there is nothing to restart")
            return None
        recreate_one_shots(SERVICE)
        new = rollout.start_beside(old, image, SERVICE, start=False)
        if if_changed and made_of(new) == made_of(old):
            containers.run(["docker", "rm", "--volumes", new])
            rollout.restore_names()
            note(f"{SERVICE} runs as Compose wants it: no restart")
            return None
        return exchange(old, new, image, when_told)


def made_of(container: str) -> tuple[str, str]:
    """Its image and Compose's hash of its settings. (`docker compose config --hash` counts services of a profile that
    is off among what it depends on; `up` does not.)"""
    found = rollout.inspect(container)
    return found["Image"], found["Config"]["Labels"][rollout.CONFIG_HASH]


def exchange(old: str, new: str, image: str, when_told: bool = False) -> float:
    """Another container in the place of the running one; for how long clients waited, in seconds."""
    try:
        facts = psql.rows("restart")[0]
        refused = refusal(facts)
        if refused:
            raise refused
        for name in one_shots(SERVICE):  # certificates are checked, the repository is prepared
            containers.run(docker.run_in(name))
        checkpoint()
        waited = under_pause(old, new, when_told)
    except BaseException:
        undo(old, new, image)
        raise
    containers.run(["docker", "rm", "--volumes", old])
    rollout.restore_names()
    note(f"{SERVICE} was restarted; {'it took' if when_told else 'clients waited'} {waited:.2f} s")
    return waited


def checkpoint() -> None:
    """Write what the shutdown would have to write: it is short then. psql: the running image may be an older one."""
    as_superuser = ("--host=/run/postgresql", "--username=postgres", "--dbname=postgres")
    words = ("psql", "--no-psqlrc", "--quiet", *as_superuser, "--command=CHECKPOINT")
    containers.run(docker.exec_in(containers.server(), *words))


def refusal(facts: dict[str, Any]) -> OperationError | None:
    """Why no restart can take place now; None when it can. `facts`: the row of pg/queries/restart.sql."""
    if facts["sessions"]:
        longest = max(facts["sessions"], key=lambda one: float(one["seconds"]))
        who = longest["application"] or longest["role"]
        return OperationError(
            "PostgreSQL was not restarted: a transaction or a backup under way would be interrupted",
            "./scripts/ops sessions --over 2; the same command again when it has ended",
            f"{who} (pid {longest['pid']}) has been at work for {longest['seconds']:.0f} s",
        )
    if facts["waiting_segments"] > cluster_health.MOST_SEGMENTS:
        return OperationError(
            "PostgreSQL was not restarted: it would wait for the archive before it stops",
            "./scripts/ops doctor; the same command again when the archive has caught up",
            f"{facts['waiting_segments']} WAL segments are not archived",
        )
    return None


def running_alone() -> str:
    """The id of the running container; what a restart that was killed has left beside it is removed."""
    found = rollout.containers_of(SERVICE, "--status", "running")
    if found:
        unneeded = [left for left in rollout.containers_of(SERVICE) if left != found[0]]
        rollout.remove(unneeded)
    return found[0] if found else ""


def one_shots(service: str) -> list[str]:
    """The one-shots that Compose would run before a service."""
    enabled = containers.run(docker.compose("config", "--services")).split()
    needed = containers.config()["services"][service].get("depends_on", {}).items()
    return [name for name, how in needed if how["condition"] == "service_completed_successfully" and name in enabled]


def recreate_one_shots(service: str) -> None:
    """Those of another image or with other settings: `docker compose up` recreates what depends on a container that it
    recreates, whether that has changed or not."""
    if names := one_shots(service):
        containers.run(docker.compose("create", "--no-build", *names), quiet=True)


def exchange_argv(old: str, new: str) -> list[str]:
    """Stops `old` and starts `new`, or `old` again, in one program that outlives the orchestrator. Its exit status is
    not 0 when `new` was not started."""
    return ["sh", "-c", EXCHANGE, "exchange", old, new]


def under_pause(old: str, new: str, when_told: bool) -> float:
    """Stop `old` and start `new` while clients wait; for how long, in seconds. Raises OperationError."""
    with containers.prepared(exchange_argv(old, new)) as exchanging, uninterrupted():
        has_pooler = not when_told and containers.is_running("pgbouncer")
        if when_told:
            await_line()
        elif has_pooler:
            pooler.hold("PostgreSQL was not restarted")
        began = time.monotonic()
        exchanging.go()
        waited = wait_for_clients(new) if has_pooler else None
        if exchanging.process.wait():
            raise OperationError("the new container did not start", "correct what Docker says above")
        wait_until_healthy(new)
        return time.monotonic() - began if waited is None else waited


def await_line() -> None:
    """Say `ready`, and wait until told that clients wait. Raises OperationError when standard input ends instead."""
    print("ready", flush=True)
    if not sys.stdin.readline():
        raise OperationError(
            "PostgreSQL was not restarted: no line on standard input said that clients wait", "the same command again"
        )


def wait_for_clients(new: str) -> float:
    """Until the pooler's clients go on; how long they waited, in seconds. Raises OperationError when the new container
    has failed; they go on with the old one then, which is started again."""
    with containers.prepared(pooler.hold_argv("wait")) as clients:
        try:
            while not (milliseconds := clients.line(POLL)) and clients.process.poll() is None:
                if rollout.verdict(rollout.inspect(new)) == "failed":
                    raise OperationError(
                        "the new container ended", "correct what its log above says; ./scripts/ops doctor"
                    )
        except BaseException:
            clients.process.kill()  # clients go on when the old container is back, which is started after this
            raise
    return float(milliseconds or 0) / 1e3


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait for the end of the block: it takes seconds, and leaves a running server."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def undo(old: str, new: str, image: str) -> None:
    """The previous container serves again, and the new one is removed, after its log was shown."""
    with uninterrupted():
        if rollout.inspect(new).get("State", {}).get("Status") != "created":
            rollout.show_log(new)
        containers.completed(["docker", "stop", new], quiet=True)
        containers.run(["docker", "rm", "--force", "--volumes", new])  # two servers must not have one data directory
        if rollout.inspect(old)["State"]["Status"] != "running":
            note(f"starting the previous container of {SERVICE} again, instead of {image}")
            containers.run(["docker", "start", old])
            wait_until_healthy(old)


def wait_until_healthy(container: str, service: str = SERVICE) -> None:
    """Raises OperationError when it ends or takes too long."""
    deadline = time.monotonic() + rollout.HEALTHY_WITHIN
    while time.monotonic() < deadline:
        state = rollout.verdict(rollout.inspect(container))
        if state == "healthy":
            return
        if state == "failed":
            break
        time.sleep(rollout.POLL)
    rollout.show_log(container)
    raise OperationError(f"the service {service} is not healthy", f"docker compose logs --tail 30 {service}")
