"""The fault that fires each alert of a database cluster, on three servers on this machine."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

from alerts.lab import Lab
from support.cluster import ETCDCTL, Cluster
from testing.shell import eventually, run

ClusterFault = Callable[[Lab, Cluster], AbstractContextManager[object]]


def killed(which: Callable[[Cluster], list[str]]) -> ClusterFault:
    """These services' containers are killed; then they are started again."""

    @contextlib.contextmanager
    def fault(lab: Lab, cluster: Cluster) -> Iterator[None]:
        cluster.kill(*which(cluster))
        yield
        cluster.mend()

    return fault


# $1: the signal to the process of a server that replays WAL. (Patroni ends a pause of the replay by SQL.)
SIGNAL_REPLAY = """
for file in /proc/[0-9]*/cmdline; do
    folder=${file%/cmdline}
    case $(tr '\\0' ' ' <"$file" 2>/dev/null) in postgres:*startup*) kill "-$1" "${folder#/proc/}"; found=yes ;; esac
done
[ "$found" = yes ]"""


@contextlib.contextmanager
def frozen_replay(lab: Lab, cluster: Cluster) -> Iterator[None]:
    """A standby receives WAL and does not replay it, while the primary writes 64 MB."""
    standby, primary = cluster.standbys()[0], cluster.primary()
    lab.stack.exec(standby, "sh", "-c", SIGNAL_REPLAY, "sh", "STOP")
    try:
        for _ in range(4):
            cluster.value(primary, "SELECT pg_logical_emit_message(true, 'fault', repeat('x', 16 * 1048576))")
        yield
    finally:
        lab.stack.exec(standby, "sh", "-c", SIGNAL_REPLAY, "sh", "CONT")


@contextlib.contextmanager
def haproxy_without_a_network(lab: Lab, cluster: Cluster) -> Iterator[None]:
    """HAProxy does not reach the members, nor does Prometheus reach HAProxy."""
    network = f"{lab.stack.project}_cluster"
    run("docker", "network", "disconnect", network, cluster.container("haproxy"))
    try:
        yield
    finally:
        run("docker", "network", "connect", "--alias", "haproxy", network, cluster.container("haproxy"))


@contextlib.contextmanager
def failover(lab: Lab, cluster: Cluster) -> Iterator[None]:
    """The primary's first process is killed, and a standby takes over."""
    old = cluster.primary()
    cluster.kill_postmaster(old)
    eventually(lambda: cluster.primary() not in ("", old), within=60)
    yield


@contextlib.contextmanager
def paused(lab: Lab, cluster: Cluster) -> Iterator[None]:
    lab.stack.exec("db1", "patronictl", "-c", "/etc/patroni/patroni.yml", "pause")
    try:
        yield
    finally:
        lab.stack.exec("db1", "patronictl", "-c", "/etc/patroni/patroni.yml", "resume")


@contextlib.contextmanager
def changed_setting(lab: Lab, cluster: Cluster) -> Iterator[None]:
    """One that needs a restart, and is taken back before there is one."""
    edit = ("patronictl", "-c", "/etc/patroni/patroni.yml", "edit-config", "--force", "--quiet", "-p")
    lab.stack.exec("db1", *edit, "max_locks_per_transaction=128")
    try:
        yield
    finally:
        lab.stack.exec("db1", *edit, "max_locks_per_transaction=64")


@contextlib.contextmanager
def etcd_fills(lab: Lab, cluster: Cluster) -> Iterator[None]:
    """104 MB, in a file of 112 MiB of 128: it still takes writes."""
    script = f"""
    head -c 1000000 /dev/zero | tr '\\0' x >/dev/shm/value
    for n in $(seq 104); do {ETCDCTL} --command-timeout=20s put "/fill/$n" </dev/shm/value >/dev/null; done"""
    lab.stack.exec("etcd-db1", "sh", "-ec", script, timeout=900)
    try:
        yield
    finally:
        cluster.empty_etcd()


@contextlib.contextmanager
def promoted_by_hand(lab: Lab, cluster: Cluster) -> Iterator[None]:
    """Patroni is paused, and a person promotes a standby."""
    with paused(lab, cluster):
        eventually(lambda: lab.query("max(patroni_is_paused)") == [1.0], within=60)
        cluster.value(cluster.standbys()[0], "SELECT pg_promote()")
        yield


@contextlib.contextmanager
def commit_waits(lab: Lab, cluster: Cluster) -> Iterator[None]:
    """In strict mode, both standbys are killed, and a client writes."""
    primary = cluster.primary()
    cluster.strict(True)
    try:
        cluster.kill(*cluster.standbys())
        with ThreadPoolExecutor(1) as pool:
            write = pool.submit(cluster.value, primary, "SELECT pg_logical_emit_message(true, 'fault', '')")
            try:
                yield
            finally:
                cluster.mend()
            write.result()
    finally:
        cluster.strict(False)


@contextlib.contextmanager
def etcd_disk_is_slow(lab: Lab, cluster: Cluster) -> Iterator[None]:
    """Each fdatasync of a follower's etcd takes 0.4 s more."""
    cluster.lead_etcd(f"etcd-{cluster.primary()}")
    with cluster.slow_sync(f"etcd-{cluster.standbys()[0]}", 0.4):
        yield


@contextlib.contextmanager
def leaders_change(lab: Lab, cluster: Cluster) -> Iterator[None]:
    for member in ("db1", "db2", "db3", "db1", "db2", "db3"):
        cluster.lead_etcd(f"etcd-{member}")
    yield


def etcds(number: int) -> ClusterFault:
    return killed(lambda cluster: [f"etcd-{name}" for name in cluster.standbys()[:number]])


CLUSTER_FAULTS: dict[str, ClusterFault] = {
    "NoPrimary": killed(lambda cluster: ["db1", "db2", "db3"]),
    "PrimaryUnreachable": haproxy_without_a_network,
    "TwoPrimaries": promoted_by_hand,
    "CommitsWaiting": commit_waits,
    "NoSyncStandby": killed(lambda cluster: cluster.standbys()),
    "MemberLost": killed(lambda cluster: cluster.standbys()[:1]),
    "FailoverHappened": failover,
    "PatroniPaused": paused,
    "MemberRestartPending": changed_setting,
    "EtcdNoQuorum": etcds(2),
    "EtcdMemberLost": etcds(1),
    "EtcdSpace": etcd_fills,
    "EtcdSlow": etcd_disk_is_slow,
    "EtcdUnstable": leaders_change,
    "ReplicationLag": frozen_replay,
}
