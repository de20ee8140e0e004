"""Another container of the pooler, HAProxy or the proxy takes over, and no client is refused.

A container that publishes no port starts beside the present one. One that publishes a port can't: for the moment in
which neither listens, first packets of new connections are dropped where that is possible (root, iptables), so that
clients repeat them after a second instead of being refused.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator

from ops import containers
from ops import pooler as pooler_console
from ops.flows import restart, rollout
from ops.output import note
from user_errors import OperationError

# A client's connection is as old as this at most when it ends by itself: CONN_MAX_AGE in app/config/settings.py.
CLIENTS_LEAVE_WITHIN = 130.0  # seconds
HOLD_LIMIT = "20"  # seconds; then new connections are let through whatever happened to the orchestrator
# $@: the ports. It holds until its standard input ends.
HOLD = """
limit=$1; shift
rules() { for port in "$@"; do for table in iptables ip6tables; do
	$table -w 5 -t raw "$how" PREROUTING -p tcp --syn --dport "$port" -j DROP 2>/dev/null || true
done; done; }
how=-I; rules "$@"
echo held
timeout "$limit" cat >/dev/null
how=-D; rules "$@"
"""


def beside(service: str, if_changed: bool) -> tuple[str, str] | None:
    """The service's running container and a new one that is not started; None when none runs or, with `if_changed`,
    when it runs as Compose wants it."""
    running = rollout.containers_of(service, "--status", "running")
    if not running:
        note(f"the service {service} is not running")
        return None
    # what an exchange that was killed has left: the newest serves
    old = max(running, key=lambda one: str(rollout.inspect(one)["Created"]))
    rollout.remove([left for left in rollout.containers_of(service) if left != old])
    image = str(containers.config()["services"][service]["image"])
    restart.recreate_one_shots(service)
    new = rollout.start_beside(old, image, service, start=False)
    if if_changed and restart.made_of(new) == restart.made_of(old):
        containers.run(["docker", "rm", "--volumes", new])
        rollout.restore_names()
        note(f"{service} runs as Compose wants it")
        return None
    return old, new


def publishes(container: str) -> list[str]:
    """The ports of this machine that lead to it."""
    found = rollout.inspect(container)["HostConfig"]["PortBindings"] or {}
    return [one["HostPort"] for bindings in found.values() for one in bindings if one.get("HostPort")]


def pooler_beside(old: str, new: str) -> None:
    """The new pooler takes new connections, the old one serves those that it has until they end."""
    containers.run(["docker", "start", new])
    restart.wait_until_healthy(new)
    # It accepts none any more; libpq then tries the other address of the name. Docker is not to start it again.
    containers.run(["docker", "update", "--restart", "no", old])
    containers.run(["docker", "exec", old, *pooler_console.CONSOLE, "--command=SHUTDOWN WAIT_FOR_CLIENTS"], quiet=True)


def pooler(if_changed: bool = True) -> None:
    """PgBouncer: beside the old container until its clients have left, or in its place where it publishes a port."""
    found = beside("pgbouncer", if_changed)
    if not found:
        return
    old, new = found
    if publishes(old):
        in_place("pgbouncer", old, new)
        return
    try:
        pooler_beside(old, new)
    except BaseException:
        rollout.show_log(new)
        containers.completed(["docker", "rm", "--force", "--volumes", new], quiet=True)
        raise
    note("the new pgbouncer serves; the old one stays until its clients have left")
    deadline = time.monotonic() + CLIENTS_LEAVE_WITHIN
    while time.monotonic() < deadline and rollout.inspect(old)["State"]["Status"] == "running":
        time.sleep(1)
    finish(old)
    note("pgbouncer was exchanged")


def haproxy(if_changed: bool = True) -> None:
    """HAProxy: in the place of the old container, while the pooler's clients wait."""
    found = beside("haproxy", if_changed)
    if found:
        with pooler_console.paused() as waiting:
            if not waiting and containers.is_running("pgbouncer"):
                containers.completed(["docker", "rm", "--force", "--volumes", found[1]], quiet=True)
                rollout.restore_names()
                raise OperationError(
                    "HAProxy was not replaced: transactions went on, and would be interrupted",
                    "the same command again; ./scripts/ops sessions --over 2, on the database host",
                )
            in_place("haproxy", *found)


def proxy(if_changed: bool = True) -> None:
    """nginx."""
    found = beside("proxy", if_changed)
    if found:
        in_place("proxy", *found)


def in_place(service: str, old: str, new: str) -> None:
    """Stop the old container, start the new one; if that one does not become healthy, the old one serves again."""
    ports = publishes(old)
    began = time.monotonic()
    exchanging = containers.prepared(restart.exchange_argv(old, new))
    with restart.uninterrupted(), held(ports) as is_held, exchanging as docker_commands:
        try:
            docker_commands.go()
            if docker_commands.process.wait():
                raise OperationError(f"the new container of {service} did not start", "correct what Docker says above")
            restart.wait_until_healthy(new, service)
        except OperationError:
            note(f"starting the previous container of {service} again")
            containers.completed(["docker", "rm", "--force", "--volumes", new], quiet=True)
            containers.run(["docker", "start", old])
            raise
    took = time.monotonic() - began
    finish(old)
    refused = "new connections waited" if is_held else "new connections were refused"
    note(f"{service} was exchanged; for up to {took:.1f} s {refused}")


def finish(old: str) -> None:
    """Remove the old container; the new one gets its name."""
    rollout.remove([old])
    rollout.restore_names()


@contextlib.contextmanager
def held(ports: list[str]) -> Iterator[bool]:
    """Drop the first packets of new connections to these ports of this machine while the block runs; whether it can."""
    if not ports or os.geteuid() or not shutil.which("iptables"):
        yield False
        return
    with containers.held(["sh", "-c", HOLD, "hold", HOLD_LIMIT, *ports]) as answer:
        yield answer == "held"
