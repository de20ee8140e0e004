"""docker/postgres/docker-entrypoint.sh: what it creates and what it refuses; each start is a container of its own."""

import uuid
from collections.abc import Iterator
from subprocess import CompletedProcess

import pytest

from testing.shell import eventually, run
from testing.stack import Stack


class Container:
    """One container of the postgres image with this stack's TLS files, removed after the test."""

    def __init__(self, stack: Stack) -> None:
        self.project = stack.project
        self.name = f"{stack.project}-{uuid.uuid4().hex[:8]}"
        self.volume = self.name
        self.image = f"flaglearning/postgres:{stack.variables['TAG']}"
        self.tls = ("--volume", f"{stack.project}_tls-postgres:/tls:ro")

    def run(
        self, *options: str, tls: bool = True, command: tuple[str, ...] = (), detach: bool = False
    ) -> CompletedProcess[str]:
        """`docker run`: until it exits, or in the background."""
        run("docker", "volume", "create", "--label", f"com.docker.compose.project={self.project}", self.volume)
        how = ("--detach",) if detach else ("--rm",)
        return run(
            "timeout", "30", "docker", "run", *how, "--name", self.name, "--memory", "512m",
            "--label", f"flaglearning-test={self.project}",
            "--volume", f"{self.volume}:/var/lib/postgresql", *(self.tls if tls else ()), *options,
            self.image, *command, check=False,
        )  # fmt: skip

    def psql(self, sql: str) -> str:
        return run("docker", "exec", self.name, "psql", "-XAtqU", "postgres", "-c", sql).stdout.strip()

    def ready(self) -> None:
        """It accepts connections."""
        eventually(
            lambda: not run("docker", "exec", self.name, "pg_isready", "-q", "-h", "127.0.0.1", check=False).returncode,
            30,
        )

    def logs(self) -> str:
        done = run("docker", "logs", self.name)
        return done.stdout + done.stderr

    def remove(self, volume: bool = True) -> None:
        run("docker", "rm", "--force", "--volumes", self.name, check=False)
        if volume:
            run("docker", "volume", "rm", "--force", self.volume, check=False)


@pytest.fixture
def container(stack: Stack) -> Iterator[Container]:
    container = Container(stack)
    yield container
    container.remove()


def refused(done: CompletedProcess[str], message: str) -> bool:
    """It stopped, with one sentence and a hint."""
    return done.returncode != 0 and message in done.stderr and "HINT:" in done.stderr


def test_missing_tls_files_are_refused(container: Container) -> None:
    assert refused(container.run(tls=False), "the TLS file /tls/tls.crt is missing")


def test_too_little_memory_is_refused(container: Container) -> None:
    done = container.run("--env", "POSTGRES_SIZING_MEMORY=64MB")
    assert refused(done, "too little for PostgreSQL")


@pytest.mark.parametrize("directory", ["$PGDATA", "/var/lib/postgresql/15/data"])
def test_another_versions_data_is_refused(container: Container, directory: str) -> None:
    """In the place of this version's, or beside it, where a new cluster would hide it."""
    container.run("--entrypoint", "sh", command=("-c", f"mkdir -p {directory} && echo 15 >{directory}/PG_VERSION"))
    assert refused(container.run(), "holds a cluster of PostgreSQL 15")


def test_another_command_runs_instead(container: Container) -> None:
    assert "PostgreSQL) 17" in container.run(command=("psql", "--version")).stdout


def test_a_first_start_that_was_killed_is_repeated(container: Container) -> None:
    """Killed in the middle of initdb; in the end the directory is a whole cluster, and nothing else is left."""
    container.run(detach=True)
    initdb_has_begun = ("sh", "-c", "test -e $PGDATA.new/PG_VERSION")
    eventually(lambda: run("docker", "exec", container.name, *initdb_has_begun, check=False).returncode == 0, 20, 0.01)
    run("docker", "kill", container.name)
    container.remove(volume=False)
    left = container.run("--entrypoint", "sh", command=("-c", "ls -d $PGDATA/PG_VERSION $PGDATA.new"))
    assert left.stdout.split() == ["/var/lib/postgresql/17/data.new"], "it was not killed in the middle"
    container.run(detach=True)
    container.ready()
    assert container.psql("SELECT 1") == "1"
    assert run("docker", "exec", container.name, "ls", "/var/lib/postgresql/17").stdout.split() == ["data"]


def test_from_the_first_start_to_the_second(container: Container) -> None:
    """Options reach the server, `docker stop` is a clean shutdown, and the next container has the same cluster."""
    container.run(command=("-c", "work_mem=7MB"), detach=True)
    container.ready()
    assert container.psql("SHOW work_mem") == "7MB"
    container.psql("CREATE TABLE retained ()")
    run("docker", "stop", container.name)
    assert "database system is shut down" in container.logs()
    assert run("docker", "inspect", "--format", "{{.State.ExitCode}}", container.name).stdout.strip() == "0"
    container.remove(volume=False)
    container.run(detach=True)
    container.ready()
    assert container.psql("SELECT count(*) FROM retained") == "0"
    assert container.psql("SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'postgres'") == "t"
