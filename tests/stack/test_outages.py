"""Services stop and return: requests under way finish, others get 503, and the stack recovers by itself."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.postgres import Bouncer, Postgres
from support.proxy import Proxy
from testing.shell import eventually, run
from testing.stack import Stack

pytestmark = pytest.mark.last


@pytest.fixture(autouse=True)
def healthy_again(stack: Stack, proxy: Proxy) -> Iterator[None]:
    """Wait until the stack is healthy again, whatever the test stopped."""
    yield
    stack.compose("unpause", check=False)
    for service in ("postgres", "pgbouncer", "app", "proxy"):
        run("docker", "start", stack.container(service), check=False)
    eventually(stack.all_healthy, within=40)
    eventually(lambda: proxy.get("/readyz").status_code == 200, within=20)


class Prober:
    """Requests /readyz and keeps the longest response time: a load balancer waits two seconds, not more."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.slowest = 0.0

    def status(self) -> int:
        started = time.monotonic()
        try:
            return self.proxy.get("/readyz").status_code
        finally:
            self.slowest = max(self.slowest, time.monotonic() - started)


@pytest.mark.parametrize("service", ["postgres", "pgbouncer"])
@pytest.mark.parametrize(("away", "back"), [("pause", "unpause"), ("kill", "start")])
def test_readyz_says_503_in_time_and_recovers_by_itself(
    stack: Stack, proxy: Proxy, service: str, away: str, back: str
) -> None:
    prober = Prober(proxy)
    stack.compose(away, service)
    eventually(lambda: prober.status() == 503, within=10)
    assert proxy.get("/healthz").status_code == 200
    assert prober.slowest < 2
    stack.compose(back, service)
    eventually(lambda: prober.status() == 200, within=20)


def test_a_restart_of_the_database_is_survived(stack: Stack, proxy: Proxy) -> None:
    with proxy.client() as browser:
        assert browser.get("/leaderboard/", follow_redirects=True).status_code == 200
        stack.restart("postgres")
        eventually(lambda: browser.get("/readyz").status_code == 200, within=20)
        assert browser.get("/leaderboard/", follow_redirects=True).status_code == 200


def test_a_stopping_pooler_lets_a_transaction_finish(
    stack: Stack, bouncer: Bouncer, table: str, postgres: Postgres
) -> None:
    with ThreadPoolExecutor() as thread, bouncer.connect("app") as app:
        with app.transaction():
            app.execute("INSERT INTO probe (word) VALUES ('under way')")
            stopped = thread.submit(stack.stop, "pgbouncer")
            eventually(lambda: "shutting down" in stack.logs("pgbouncer", tail="20").lower() or None, within=5)
            app.execute("SELECT pg_sleep(1)")
        stopped.result()
    assert postgres.value("app", "DELETE FROM probe WHERE word = 'under way' RETURNING 1") == 1


def test_a_stopping_app_lets_a_request_finish(stack: Stack, postgres: Postgres, proxy: Proxy) -> None:
    """The request waits for a lock on the table that it reads; it is answered after SIGTERM came."""
    with ThreadPoolExecutor() as thread, postgres.connect("migrator") as migrator:
        with migrator.transaction():
            migrator.execute("LOCK TABLE users_userstats IN ACCESS EXCLUSIVE MODE")
            request = thread.submit(proxy.get, "/leaderboard/", timeout=20)
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            eventually(lambda: postgres.value("ops", waiting), within=5)
            stopped = thread.submit(stack.stop, "app")
            eventually(lambda: "Handling signal: term" in stack.logs("app", tail="20"), within=5)
        assert request.result().status_code == 200
        stopped.result()


def test_a_killed_database_recovers_what_was_committed(stack: Stack, postgres: Postgres, table: str) -> None:
    with postgres.connect("app") as app:
        app.execute("INSERT INTO probe (word) VALUES ('committed')")
    run("docker", "kill", stack.container("postgres"))
    stack.start("postgres")
    found = eventually(lambda: postgres.value("app", "SELECT word FROM probe WHERE word = 'committed'"), within=20)
    assert found == "committed"
