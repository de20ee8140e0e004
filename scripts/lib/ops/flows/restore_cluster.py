"""The part of a restore in place that differs in a cluster: the first member is restored, the others copy it again."""

from __future__ import annotations

from ops import cluster, containers, docker
from ops.output import note
from user_errors import OperationError

# What etcd knows of the old history. It keeps `config` and `initialize`, the system identifier (Patroni 4.0, dcs.py).
FORGET = r"""
for key in leader sync history status failover failsafe; do
	etcdctl --endpoints="$ETCD_ADVERTISE_CLIENT_URLS" --cacert=/tls/ca.crt --cert=/tls/tls.crt --key=/tls/tls.key \
		del "/service/flaglearning/$key" >/dev/null || exit
done
"""
EMPTY = 'rm -rf -- "$PGDATA"'  # in a one-shot container of the member


def check() -> None:
    """Raises OperationError when etcd could not be told afterwards."""
    down = [one["name"] for one in cluster.gather()["etcd"] if not one["healthy"]]
    if down:
        raise OperationError(
            "nothing was restored: an etcd does not answer", "./scripts/ops cluster status", ", ".join(down)
        )


def stop() -> None:
    """Every server, the primary last: a restore that fails starts them as they were."""
    primary = containers.server()
    containers.run(docker.compose("stop", *(name for name in containers.members() if name != primary)))
    containers.run(docker.compose("stop", primary))


def start(restored: bool) -> None:
    """The members again. After a restore the first leads, and the others begin with an empty data directory: theirs is
    of another history."""
    first, *others = containers.members()
    if not restored:
        up(first, *others)
        return
    containers.run(docker.exec_in(cluster.etcd_services()[0], "sh", "-c", FORGET))
    up(first)
    for member in others:
        note(f"{member} copies the data of {first}")
        containers.run(docker.run_in(member, "-c", EMPTY, entrypoint="sh"))
    up(*others)


def up(*services: str) -> None:
    """Start the containers that are there, and wait until they are healthy. Raises Failed."""
    containers.run(docker.compose("up", "--detach", "--no-deps", "--no-recreate", "--no-build", "--wait", *services))
