"""A cluster that changes in place: new definitions of its servers, renewed certificates."""

import copy
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from support.cluster import MEMBERS, Cluster, Finish
from support.ops import Ops
from testing.shell import eventually
from testing.stack import Stack

pytestmark = [pytest.mark.last, pytest.mark.long]

Record = Callable[[str, object], None]
SERIAL = "openssl x509 -noout -serial"


def changed(stack: Stack, **variables: str) -> Ops:
    """./scripts/ops on the same stack, with other variables."""
    other = copy.copy(stack)
    other.variables = {**stack.variables, **variables}
    other.__dict__.pop("environment", None)
    return Ops(other)


def started(cluster: Cluster, stack: Stack) -> dict[str, str]:
    """When each member's container was started."""
    return {member: str(stack.inspect(member)["State"]["StartedAt"]) for member in MEMBERS}


def test_a_rolling_update_fails_no_write_and_goes_on_after_it_was_killed(
    hurt: Cluster, stack: Stack, finish: Finish, record_property: Record
) -> None:
    """Each server gets a container of another definition (less memory)."""
    before, old = started(hurt, stack), hurt.primary()
    ops = changed(stack, POSTGRES_MEMORY="1900m")
    with hurt.load(seconds=590) as load:
        with ops.started("cluster", "update", "--yes") as update:
            eventually(lambda: started(hurt, stack) != before or None, within=180, every=0.3)
            update.signal(signal.SIGKILL)
        at = time.monotonic()
        again = ops("cluster", "update", "--yes")
        took = time.monotonic() - at
    assert again.status == 0, again.err
    verdict = finish(load)
    record_property("measured", f"the second run took {took:.0f} s")
    assert verdict.failed + verdict.unknown == 0
    now = started(hurt, stack)
    assert all(now[member] != before[member] for member in MEMBERS)
    assert hurt.primary() != old
    third = ops("cluster", "update", "--yes")
    assert "nothing was changed" in third.err
    assert started(hurt, stack) == now


def serials(stack: Stack) -> dict[str, str]:
    """Of the certificates that are served, by what serves them."""
    found = {}
    for member in MEMBERS:
        for name, port, options in (
            (member, 5432, "-starttls postgres"),
            (f"{member}'s Patroni", 8008, "-cert /tls/cluster/tls.crt -key /tls/cluster/tls.key"),
        ):
            script = f"openssl s_client -connect {member}:{port} {options} </dev/null 2>/dev/null | {SERIAL}"
            found[name] = stack.exec("db1", "sh", "-c", script).strip()
    return found


def test_renewed_certificates_are_served_and_fail_no_write(hurt: Cluster, stack: Stack, finish: Finish) -> None:
    before = serials(stack)
    volumes = [word for member in MEMBERS for word in ("-v", f"{stack.project}_tls-{member}:/tls/{member}")]
    image = stack.config["services"]["db1"]["image"]
    words = ["docker", "run", "--rm", "--user=root", *volumes, "--entrypoint=sh", image, "-c", "rm /tls/*/tls.crt"]
    subprocess.run(words, check=True)
    with hurt.load() as load:
        done = hurt.ops("cluster", "update", "--yes")
        eventually(lambda: all(now != before[name] for name, now in serials(stack).items()) or None, within=30)
    assert done.status == 0, done.err
    verdict = finish(load)
    assert verdict.failed + verdict.unknown == 0
