"""./scripts/ops restart: another container of PostgreSQL takes over, and no request fails."""

import signal
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from support.load import COUNT_ANSWERS, Load, make_players
from support.ops import Ops
from support.postgres import Postgres
from support.proxy import Proxy
from testing.shell import eventually, run
from testing.stack import TAG, Stack

pytestmark = pytest.mark.last

Restart = Callable[..., CompletedProcess[str]]


@pytest.fixture
def restart(stack: Stack) -> Restart:
    """Runs it, with other variables of the compose files if they are given."""

    def restart(*arguments: str, **variables: str) -> CompletedProcess[str]:
        words = [f"{name}={value}" for name, value in variables.items()]
        done: CompletedProcess[str] = stack.command("env", *words, "./scripts/ops", "restart", *arguments, check=False)
        return done

    return restart


def names(stack: Stack, service: str = "postgres") -> list[str]:
    """Of the service's containers."""
    return stack.compose("ps", "--all", "--format", "{{.Name}}", service).split()


def of(stack: Stack, state: str, service: str) -> list[str]:
    """The service's containers in this state."""
    words = ("--all", "--quiet", "--no-trunc", "--filter", f"label=com.docker.compose.project={stack.project}")
    filters = ("--filter", f"label=com.docker.compose.service={service}", "--filter", f"status={state}")
    return run("docker", "ps", *words, *filters).stdout.split()


def test_a_restart_fails_no_request_and_loses_no_answer(
    stack: Stack, restart: Restart, proxy: Proxy, postgres: Postgres, record_property: Callable[[str, object], None]
) -> None:
    players = make_players(lambda *words: stack.exec("app", "python", "manage.py", *words))
    before, old = postgres.value("ops", COUNT_ANSWERS), stack.container("postgres")
    with Load(proxy.https, stack.ca, players, rate=20) as load:  # another layer runs beside this one
        done = restart()
    record_property("measured", f"{load}; {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    assert load.failures == []
    assert load.answers > 0
    assert postgres.value("ops", COUNT_ANSWERS) - before == load.answers
    new = stack.container("postgres")
    assert new not in ("", old)
    assert names(stack) == [f"{stack.project}-postgres-1"]
    stack.up("postgres")
    assert stack.container("postgres") == new, "`up` has restarted it once more"


def test_what_has_not_changed_is_not_restarted(stack: Stack, restart: Restart, postgres: Postgres) -> None:
    before = stack.container("postgres")
    done = restart("--if-changed")
    assert (done.returncode, stack.container("postgres")) == (0, before), done.stderr
    assert restart("--if-changed", POSTGRES_MEMORY="1g").returncode == 0
    assert stack.container("postgres") != before
    assert stack.inspect("postgres")["HostConfig"]["Memory"] == 1 << 30
    stack.up("postgres")  # makes it anew, under the number of the container that it replaces
    assert names(stack) != [f"{stack.project}-postgres-1"]
    assert restart("--if-changed").returncode == 0
    assert names(stack) == [f"{stack.project}-postgres-1"]
    assert postgres.value("ops", "SHOW shared_buffers") == "512MB"


def test_a_container_that_ends_is_replaced_by_the_previous_one(
    stack: Stack, restart: Restart, postgres: Postgres
) -> None:
    dockerfile = f'FROM flaglearning/postgres:{TAG}\nCMD ["sh", "-c", "echo I am broken; exit 3"]\n'
    run("docker", "build", "--quiet", "--tag", f"flaglearning/postgres:{TAG}-broken", "-", stdin=dockerfile)
    before = stack.container("postgres")
    done = restart(POSTGRES_TAG=f"{TAG}-broken")
    assert (done.returncode, "I am broken" in done.stderr) == (1, True), done.stderr
    assert stack.container("postgres") == before
    assert postgres.value("ops", "SELECT 1") == 1


@pytest.mark.parametrize(
    ("service", "state"), [("postgres", "created"), ("postgres", "running"), ("proxy", "created"), ("proxy", "exited")]
)
def test_the_command_after_a_killed_restart_leaves_one_container(
    stack: Stack, restart: Restart, proxy: Proxy, service: str, state: str
) -> None:
    """Killed when the new container exists (created), when it runs, and when no container runs (exited)."""
    old = stack.container(service)
    with Ops(stack).started("restart", service) as killed:
        eventually(lambda: [one for one in of(stack, state, service) if one != old or state == "exited"], 60, 0.01)
        killed.signal(signal.SIGKILL)
    assert len(names(stack, service)) == 2
    eventually(lambda: proxy.get("/readyz").status_code == 200, within=30)  # whatever the next command is
    if state == "created":
        stack.up(service)
        assert stack.container(service) == old
    else:
        assert restart(service, "--if-changed").returncode == 0
        assert stack.container(service) != old
    assert names(stack, service) == [f"{stack.project}-{service}-1"]
    assert proxy.get("/readyz").status_code == 200


def test_it_is_refused_while_a_transaction_is_open(restart: Restart, stack: Stack, postgres: Postgres) -> None:
    before = stack.container("postgres")
    with postgres.connect("migrator") as migrator, migrator.transaction():
        migrator.execute("SELECT pg_sleep(2.1)")
        done = restart()
    assert done.returncode == 1
    assert "would be interrupted" in done.stderr
    assert stack.container("postgres") == before
