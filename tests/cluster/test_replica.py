"""REPLICA_READS: the leaderboard and the most guessed countries come from a standby, and nothing is written there."""

import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from support.cluster import Cluster
from support.postgres import Bouncer
from support.proxy import Proxy
from testing.shell import eventually

PAGES = ("/leaderboard/", "/most-guessed/", "/api/leaderboard", "/api/countries/most-guessed")
WITHIN = 15  # seconds until HAProxy has noticed, with room for a busy machine


class Replica:
    """PgBouncer's entry for reads of a standby, as the application has it."""

    def __init__(self, bouncer: Bouncer) -> None:
        self.bouncer = bouncer
        self.database = f"{bouncer.stack.database}_replica"
        self.parameters = {"dbname": self.database, "options": "-c default_transaction_read_only=on"}

    def member(self) -> str:
        """The server that answers."""
        return str(self.bouncer.value("app", "SELECT current_setting('flaglearning.member')", **self.parameters))

    def refuses_to_write(self) -> bool:
        with (
            self.bouncer.connect("app", **self.parameters) as session,
            pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
        ):
            session.execute("UPDATE users_userstats SET total_correct = total_correct")
        return True

    def transactions(self) -> int:
        """How many PgBouncer has seen."""
        seen = self.bouncer.show("STATS")
        return sum(int(row["total_xact_count"]) for row in seen if row["database"] == self.database)


@pytest.fixture
def replica(bouncer: Bouncer) -> Replica:
    return Replica(bouncer)


def shown(proxy: Proxy) -> None:
    """Each page, and each response of the API, says as of when."""
    for path in PAGES:
        response = proxy.get(path)
        assert response.status_code == 200
        assert "As of <time" in response.text or "X-Data-As-Of" in response.headers, path


def test_pages_are_read_from_a_standby_that_can_not_write(cluster: Cluster, replica: Replica, proxy: Proxy) -> None:
    before = replica.transactions()
    shown(proxy)
    assert replica.transactions() - before >= 2
    assert replica.member() in cluster.standbys()
    assert replica.refuses_to_write()


def test_only_the_application_reads_there(replica: Replica) -> None:
    for role in ("readonly", "ops", "migrator"):
        with pytest.raises(psycopg.OperationalError, match="FATAL"):
            replica.bouncer.connect(role, dbname=replica.database)


@contextlib.contextmanager
def standbys_that_lag(cluster: Cluster) -> Iterator[None]:
    """Their startup processes are stopped: they receive WAL, so that commits go on, and apply none."""
    standbys = cluster.standbys()
    sql = "SELECT pid FROM pg_catalog.pg_stat_activity WHERE backend_type = 'startup'"
    pids = {standby: cluster.value(standby, sql) for standby in standbys}
    for standby, pid in pids.items():
        cluster.stack.exec(standby, "sh", "-c", f"kill -STOP {pid}")
    try:
        cluster.value(
            cluster.primary(), "SELECT pg_catalog.pg_logical_emit_message(false, 'test', repeat('x', 3000000))"
        )
        yield
    finally:
        for standby, pid in pids.items():
            cluster.stack.exec(standby, "sh", "-c", f"kill -CONT {pid}", check=False)


def test_while_all_standbys_lag_the_primary_is_read_and_not_written(
    cluster: Cluster, replica: Replica, proxy: Proxy
) -> None:
    """By more than a mebibyte. When a standby has caught up, it is read again."""
    primary = cluster.primary()
    with standbys_that_lag(cluster):
        eventually(lambda: replica.member() == primary, within=WITHIN, every=0.3)
        shown(proxy)
        assert replica.refuses_to_write()
    eventually(lambda: replica.member() != primary, within=WITHIN, every=0.3)
