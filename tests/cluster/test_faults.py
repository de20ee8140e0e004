"""The list of faults: after each, every acknowledged write is there, on all members, which are in sync within a minute.

Each prints its figures (`measured`). test_failover.py has seven more, four of them in CI.
"""

import subprocess
import time

import pytest

from ops.flows.failover_demo import Load
from support.cluster import MEMBERS, PSQL, Cluster, Finish, Note
from support.load import Load as Web
from support.load import make_players
from support.proxy import Proxy
from testing.shell import ROOT, eventually, run
from testing.stack import TAG, Stack

pytestmark = [pytest.mark.last, pytest.mark.long]

TTL = 30  # seconds: Patroni's ttl and what a promotion takes, on a busy machine


def replaced(cluster: Cluster, load: Load, old: str, at: float, within: float = 60) -> None:
    """Another member acknowledges writes."""
    assert load.wait(lambda: load.acknowledged(old, at) > 50, within), f"{old} was not replaced"


def goes_on(load: Load, since: float, within: float = 60) -> None:
    """Writes succeed that began after this time."""
    assert load.wait(lambda: load.acknowledged(since=since) > 50, within), "no write succeeds"


# ------------------------------------------------------------ the primary


def test_patroni_is_killed(hurt: Cluster, finish: Finish) -> None:
    """The container ends with it, and the server too; Docker starts it again, which may be sooner than a failover."""
    old = hurt.primary()
    with hurt.load() as load:
        at = time.monotonic()
        hurt.stack.exec(old, "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)", check=False)
        goes_on(load, at + 3)
    assert finish(load).gap_s < TTL


def test_the_primarys_host_dies_and_its_addresses_answer(hurt: Cluster, finish: Finish) -> None:
    """Connections to it are refused at once, but its lock has to expire."""
    old = hurt.primary()
    with hurt.load() as load:
        at = time.monotonic()
        hurt.kill(old, f"etcd-{old}")
        replaced(hurt, load, old, at)
    assert finish(load).gap_s < TTL


def test_the_primarys_host_is_lost(hurt: Cluster, finish: Finish) -> None:
    """First its network, then its processes: no connection is closed."""
    old = hurt.primary()
    with hurt.load() as load:
        at = time.monotonic()
        hurt.cut_off(old)
        hurt.kill(old, f"etcd-{old}")
        replaced(hurt, load, old, at)
    assert finish(load).gap_s < TTL


def test_the_primarys_host_with_etcds_leader_is_lost(hurt: Cluster, finish: Finish) -> None:
    """Another etcd has to be elected first, and gives each lease its whole time again."""
    old = hurt.primary()
    hurt.lead_etcd(f"etcd-{old}")
    with hurt.load() as load:
        at = time.monotonic()
        hurt.cut_off(old)
        hurt.kill(old, f"etcd-{old}")
        replaced(hurt, load, old, at)
    assert finish(load).gap_s < TTL + 5


def test_the_primarys_host_is_frozen_and_wakes_up(hurt: Cluster, finish: Finish) -> None:
    """It believes itself the primary when it wakes up, and acknowledges nothing."""
    old = hurt.primary()
    with hurt.load() as load:
        at = time.monotonic()
        hurt.freeze(old, f"etcd-{old}")
        replaced(hurt, load, old, at)
        hurt.mend()
        time.sleep(5)
    verdict = finish(load)
    assert len(verdict.eras) == 2
    assert verdict.gap_s < TTL


def test_the_primarys_server_hangs(hurt: Cluster, finish: Finish) -> None:
    """All of its processes are stopped, as on a disk that does not answer. Patroni's own session hangs, too."""
    old = hurt.primary()
    with hurt.load() as load:
        at = time.monotonic()
        hurt.signal(old, "STOP")
        try:
            replaced(hurt, load, old, at)
        finally:
            hurt.signal(old, "CONT")
        time.sleep(5)
    verdict = finish(load)
    assert len(verdict.eras) == 2
    assert verdict.gap_s < TTL


def test_the_primarys_postmaster_is_frozen_for_ten_seconds(hurt: Cluster, finish: Finish) -> None:
    """Patroni does not notice it: its own session is open. The pooler's go on; new ones wait."""
    old = hurt.primary()
    with hurt.load() as load:
        hurt.stack.exec(old, "sh", "-c", "kill -STOP $(head -n 1 $PGDATA/postmaster.pid)")
        time.sleep(10)
        hurt.stack.exec(old, "sh", "-c", "kill -CONT $(head -n 1 $PGDATA/postmaster.pid)")
        goes_on(load, time.monotonic())
    finish(load)


def test_the_primary_can_not_send(hurt: Cluster, finish: Finish) -> None:
    """One way only, as a host: with its etcd. What the others send arrives."""
    old = hurt.primary()
    with hurt.load() as load:
        at = time.monotonic()
        for service in (old, f"etcd-{old}"):
            hurt.drop(service, *hurt.others(old), "haproxy")
        replaced(hurt, load, old, at)
    assert finish(load).gap_s < TTL + 5  # its etcd may be the leader


def test_nothing_reaches_the_primary(hurt: Cluster, finish: Finish) -> None:
    """The other way only."""
    old = hurt.primary()
    with hurt.load() as load:
        at = time.monotonic()
        for service in (*hurt.others(old), "haproxy"):
            hurt.drop(service, old, f"etcd-{old}")
        replaced(hurt, load, old, at)
    assert finish(load).gap_s < TTL + 5  # its etcd may be the leader


def test_the_primary_loses_its_standbys_but_not_etcd(hurt: Cluster, finish: Finish) -> None:
    """It takes the standbys out of the quorum, with etcd's consent, and goes on."""
    old = hurt.primary()
    with hurt.load() as load:
        at = time.monotonic()
        for standby in hurt.standbys():
            hurt.drop(standby, old)
        goes_on(load, at + 15, 60)
    assert finish(load).eras == [old]


def test_the_primarys_disk_is_full(small: Cluster, note: Note) -> None:
    """It can't write WAL, and ends. A standby takes over; the old primary comes back when there is room again."""
    old = small.primary()
    with small.load() as load:
        at = time.monotonic()
        filler = (
            'fallocate -l "$(($(df --output=avail -B1 "$PGDATA" | tail -n 1) - 1000000))" /var/lib/postgresql/filler'
        )
        small.stack.exec(old, "sh", "-ec", filler)
        try:
            for _ in range(20):  # it has segments to write on; for another there is no room
                small.stack.exec(old, *PSQL, "-c", "SELECT pg_catalog.pg_switch_wal()", check=False)
            replaced(small, load, old, at)
        finally:
            small.stack.exec(old, "rm", "/var/lib/postgresql/filler")
    freed = time.monotonic()
    verdict = small.judge(load)
    note(verdict, time.monotonic() - freed)
    assert len(verdict.eras) == 2


# ------------------------------------------------------------ etcd


def test_the_primary_is_cut_off_from_etcd_alone(hurt: Cluster, finish: Finish) -> None:
    """Failsafe mode: the members answer it, so it stays the primary. The lock would have expired after 20 s."""
    old = hurt.primary()
    with hurt.load() as load:
        at = time.monotonic()
        hurt.drop(old, *(f"etcd-{member}" for member in MEMBERS))
        goes_on(load, at + 25)
    assert finish(load).eras == [old]


def test_etcds_leader_is_killed(hurt: Cluster, finish: Finish) -> None:
    old = hurt.primary()
    hurt.lead_etcd(f"etcd-{hurt.standbys()[0]}")
    with hurt.load() as load:
        at = time.monotonic()
        hurt.kill(f"etcd-{hurt.standbys()[0]}")
        goes_on(load, at + 10)
    assert finish(load).eras == [old]


def test_etcd_is_full(hurt: Cluster, finish: Finish) -> None:
    """It takes no more writes; the lock is kept alive without one."""
    old = hurt.primary()
    with hurt.load(seconds=900) as load:  # on a busy machine etcd takes minutes to fill
        try:
            hurt.fill_etcd()
            goes_on(load, time.monotonic() + 22)
        finally:
            hurt.empty_etcd()
    assert finish(load).eras == [old]


def test_etcds_majority_and_a_standby_are_lost(hurt: Cluster, finish: Finish) -> None:
    """Without etcd every member has to answer: writes stop, and go on when etcd is back. Nothing is lost."""
    old = hurt.primary()
    [first, second] = hurt.standbys()
    with hurt.load() as load:
        hurt.kill(f"etcd-{first}", f"etcd-{second}")
        time.sleep(5)
        hurt.kill(first)
        assert load.wait(lambda: load.acknowledged(since=time.monotonic() - 3) == 0, 60), "writes go on"
        hurt.mend()
        goes_on(load, time.monotonic(), 90)
    assert old in finish(load).eras


# ------------------------------------------------------------ standbys and hosts


def test_two_of_three_hosts_are_lost(hurt: Cluster, finish: Finish) -> None:
    """The last one is not promoted: it might lack what the others acknowledged."""
    old = hurt.primary()
    [first, last] = hurt.standbys()
    with hurt.load() as load:
        for member in (old, first):
            hurt.cut_off(member)
            hurt.kill(member, f"etcd-{member}")
        time.sleep(30)
        assert hurt.value(last, "SELECT pg_catalog.pg_is_in_recovery()") == "t"
        hurt.mend()
        goes_on(load, time.monotonic(), 90)
    finish(load)


def test_both_standbys_are_lost_in_strict_mode(hurt: Cluster, finish: Finish) -> None:
    """Writes wait until one is back."""
    old = hurt.primary()
    hurt.strict(True)
    try:
        with hurt.load() as load:
            hurt.kill(*hurt.standbys())
            time.sleep(15)
            assert load.acknowledged(since=time.monotonic() - 8) == 0
            hurt.mend()
            goes_on(load, time.monotonic(), 60)
    finally:
        hurt.strict(False)
    assert finish(load).eras == [old]


def test_a_standby_that_lags_is_not_promoted(hurt: Cluster, finish: Finish) -> None:
    """Its WAL receiver is stopped. The other standby takes over, or the primary's server starts again."""
    old = hurt.primary()
    [lagging, good] = hurt.standbys()
    pid = hurt.value(lagging, "SELECT pid FROM pg_catalog.pg_stat_activity WHERE backend_type = 'walreceiver'")
    hurt.stack.exec(lagging, "sh", "-c", f"kill -STOP {pid}")
    try:
        with hurt.load() as load:
            hurt.value(old, "SELECT pg_catalog.pg_logical_emit_message(false, 'test', repeat('x', 3000000))")
            at = time.monotonic()
            hurt.kill_postmaster(old)
            goes_on(load, at + 3)
    finally:
        hurt.stack.exec(lagging, "sh", "-c", f"kill -CONT {pid}", check=False)
    assert finish(load).eras in ([old], [old, good])


def test_a_standby_loses_its_data(hurt: Cluster, finish: Finish) -> None:
    """A new disk, say: it copies everything."""
    [standby, _] = hurt.standbys()
    with hurt.load() as load:
        hurt.stack.compose("stop", standby)
        hurt.stack.compose("run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", standby, "-c", 'rm -rf "$PGDATA"')
        hurt.stack.compose("start", standby)
        time.sleep(5)
    verdict = finish(load)
    assert verdict.failed + verdict.unknown == 0


def test_a_standby_is_copied_again(hurt: Cluster, finish: Finish) -> None:
    """`cluster reinit`."""
    [standby, _] = hurt.standbys()
    with hurt.load() as load:
        done = hurt.ops("cluster", "reinit", standby, "--yes")
    assert done.status == 0, done.err
    assert "has a new copy" in done.out
    verdict = finish(load)
    assert verdict.failed + verdict.unknown == 0


# ------------------------------------------------------------ between, and beside


@pytest.mark.parametrize("service", ["haproxy", "pgbouncer"])
def test_what_leads_to_the_primary_is_killed(hurt: Cluster, finish: Finish, service: str) -> None:
    old = hurt.primary()
    with hurt.load() as load:
        hurt.kill(service)
        hurt.mend()
        goes_on(load, time.monotonic())
    assert finish(load).eras == [old]


def test_a_switchover_whose_command_is_killed(hurt: Cluster, stack: Stack, finish: Finish) -> None:
    """The pooler resumes by itself."""
    with hurt.load() as load:
        process = subprocess.Popen(
            ["./scripts/ops", "cluster", "switchover", "--yes"], env=stack.environment, cwd=ROOT,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        eventually(lambda: "PAUSE command" in hurt.log("pgbouncer", 20) or None, within=60, every=0.05)
        process.kill()
        process.wait()
        goes_on(load, time.monotonic(), 60)
    finish(load)


def test_a_switchover_during_a_deploy(hurt: Cluster, stack: Stack, proxy: Proxy, finish: Finish) -> None:
    """After the migrations, while the new version starts. Neither fails, and no request does."""
    players = make_players(lambda *words: stack.exec("app", "python", "manage.py", *words))
    image, old = f"flaglearning/app:{TAG}", hurt.primary()
    run("docker", "tag", image, f"{image}-deploy")
    before = stack.container("app")
    try:
        with (
            hurt.load() as load,
            Web(proxy.https, stack.ca, players, rate=10) as web,
        ):
            with hurt.ops.started("rollout", APP_TAG=f"{TAG}-deploy") as deploy:
                eventually(lambda: stack.compose("ps", "--quiet", "app").count("\n") == 2, within=60, every=0.05)
                switched = hurt.ops("cluster", "switchover", "--yes")
                deployed = deploy.result()
            assert (switched.status, deployed.status) == (0, 0), switched.err + deployed.err
            goes_on(load, time.monotonic())
        assert (web.failures, finish(load).failed) == ([], 0)
        assert stack.container("app") != before
        assert hurt.primary() != old
    finally:
        stack.command("./scripts/ops", "rollout")
        run("docker", "image", "rm", f"{image}-deploy")


def test_the_repository_is_away_during_a_failover(hurt: Cluster, finish: Finish) -> None:
    """The archive has a backlog then. When the repository is back, nothing is missing in it."""
    old = hurt.primary()
    hurt.repository("000")
    try:
        with hurt.load() as load:
            hurt.value(old, "SELECT pg_catalog.pg_switch_wal()")
            time.sleep(3)
            at = time.monotonic()
            hurt.kill_postmaster(old)
            replaced(hurt, load, old, at)
    finally:
        hurt.repository("700")
    assert finish(load).gap_s < TTL
    eventually(lambda: hurt.status()["problems"] == [] or None, within=60)
    done = hurt.ops("backup", "verify")
    assert done.status == 0, done.out + done.err


def test_the_primary_is_killed_during_a_backup(hurt: Cluster, stack: Stack, finish: Finish) -> None:
    """That backup fails or goes on from a standby; the next succeeds."""
    old = hurt.primary()
    with hurt.load() as load:
        backup = subprocess.Popen(
            ["./scripts/ops", "backup", "create"], env=stack.environment, cwd=ROOT, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(3)
        at = time.monotonic()
        hurt.kill_postmaster(old)
        replaced(hurt, load, old, at)
        backup.wait(180)
    finish(load)
    made = hurt.ops("backup", "create")
    assert made.status == 0, made.err
