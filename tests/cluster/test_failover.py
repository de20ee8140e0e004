"""A member is lost, or taken out of service, while clients write: what was acknowledged is there, and clients go on.

Each test prints its figures (`measured`). The limits leave room for a busy machine.
"""

import time
from collections.abc import Callable

import pytest

from failover_history import Verdict
from support.cluster import Cluster, Finish, Note
from support.load import COUNT_ANSWERS, Load, make_players
from support.postgres import Postgres
from support.proxy import Proxy
from testing.stack import Stack

pytestmark = pytest.mark.last

Record = Callable[[str, object], None]


def test_a_planned_switchover_fails_no_request(
    cluster: Cluster, stack: Stack, proxy: Proxy, postgres: Postgres, record_property: Record
) -> None:
    """At 50 requests a second, a quarter of them answers of players."""
    players = make_players(lambda *words: stack.exec("app", "python", "manage.py", *words))
    before = int(postgres.value("ops", COUNT_ANSWERS))
    old = cluster.primary()
    with Load(f"https://localhost:{stack.port('proxy', 8443)}", stack.ca, players) as load:
        time.sleep(2)
        done = cluster.ops("cluster", "switchover", "--yes")
        time.sleep(2)
    record_property("measured", f"{load}; {done.err.splitlines()[-1]}")
    assert done.status == 0, done.err
    assert load.failures == []
    assert "clients waited" in done.err
    assert int(postgres.value("ops", COUNT_ANSWERS)) - before == load.answers
    assert cluster.primary() != old


def test_a_killed_server_is_replaced(hurt: Cluster, note: Note) -> None:
    """As the demonstration shows it."""
    done = hurt.ops("cluster", "demo", "--yes", "--json")
    assert done.status == 0, done.out + done.err
    result = done.json
    verdict = Verdict(**{name: result[name] for name in Verdict._fields})
    note(verdict, hurt.healthy())
    assert (verdict.lost, verdict.violations) == ([], [])
    assert verdict.eras == [result["old"], result["new"]]
    assert verdict.gap_s < 8
    assert hurt.primary() == result["new"]


def test_a_lost_standby_stops_nothing(hurt: Cluster, finish: Finish) -> None:
    cluster = hurt
    [standby, _] = cluster.standbys()
    with cluster.load() as load:
        cluster.kill(standby)
        time.sleep(4)
    assert cluster.checklist("HA-01").returncode == 1
    verdict = finish(load)
    assert cluster.checklist("HA").returncode == 0
    assert verdict.failed + verdict.unknown == 0
    assert verdict.gap_s < 2


def test_a_primary_that_is_cut_off_is_replaced_and_acknowledges_nothing_more(hurt: Cluster, finish: Finish) -> None:
    """With its etcd, as a host is. The replacement waits for the leader's lock to expire (ttl, 20 s)."""
    cluster = hurt
    old = cluster.primary()
    with cluster.load() as load:
        at = time.monotonic()
        cluster.cut_off(old)
        assert load.wait(lambda: load.acknowledged(old, at) > 50, 60)
    verdict = finish(load)
    assert verdict.eras[0] == old
    assert len(verdict.eras) == 2
    assert verdict.gap_s < 30


@pytest.mark.long
def test_both_standbys_lost_and_writes_go_on(hurt: Cluster, finish: Finish) -> None:
    """CLUSTER_STRICT is false: after Patroni has taken the standbys out of the quorum."""
    cluster = hurt
    old = cluster.primary()
    with cluster.load() as load:
        for standby in cluster.standbys():
            cluster.kill(standby)
        at = time.monotonic()
        assert load.wait(lambda: load.acknowledged(since=at + 3) > 50, 60)
        assert any("no standby is synchronous" in problem for problem in cluster.status()["problems"])
    verdict = finish(load)
    assert verdict.eras == [old]


@pytest.mark.long
def test_without_etcds_majority_writes_go_on(hurt: Cluster, finish: Finish) -> None:
    """Failsafe mode: all members answer the primary. The leader's lock would have expired after 20 s."""
    cluster = hurt
    old = cluster.primary()
    with cluster.load() as load:
        at = time.monotonic()
        for member in cluster.standbys():
            cluster.kill(f"etcd-{member}")
        assert load.wait(lambda: load.acknowledged(since=at + 25) > 50, 60)
        assert any("etcd has no majority" in problem for problem in cluster.status()["problems"])
    verdict = finish(load)
    assert verdict.eras == [old]
    assert verdict.failed + verdict.unknown == 0


@pytest.mark.long
def test_two_failovers_in_a_row(hurt: Cluster, finish: Finish) -> None:
    cluster = hurt
    with cluster.load() as load:
        for _ in range(2):
            old, at = cluster.primary(), time.monotonic()
            cluster.kill_postmaster(old)
            assert load.wait(lambda old=old, at=at: load.acknowledged(old, at) > 50, 60)  # type: ignore[misc]
    verdict = finish(load)
    assert len(verdict.eras) == 3


def test_the_archive_has_no_gap_after_all_that(cluster: Cluster) -> None:
    """`backup verify` reads every segment and looks for missing ones; a backup on the present timeline restores."""
    made = cluster.ops("backup", "create")
    assert made.status == 0, made.err
    done = cluster.ops("backup", "verify")
    assert done.status == 0, done.out + done.err
    assert cluster.ops("doctor").status == 0
