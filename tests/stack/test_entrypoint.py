"""The official image's conventions, which people know, in docker/postgres: each start is a container of its own."""

import uuid
from collections.abc import Iterator
from pathlib import Path
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
        """Over TCP: the socket answers while the first start's scripts run."""
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


PASSWORD = ("--env", "POSTGRES_PASSWORD=only-for-this-test")


def refused(done: CompletedProcess[str], message: str) -> bool:
    """It stopped, with one sentence and a hint."""
    return done.returncode != 0 and message in done.stderr and "HINT:" in done.stderr


def test_no_password_is_refused(container: Container) -> None:
    assert refused(container.run(), "no password for the superuser")


def test_a_password_twice_is_refused(container: Container) -> None:
    done = container.run(*PASSWORD, "--env", "POSTGRES_PASSWORD_FILE=/etc/hostname")
    assert refused(done, "both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are set")


def test_a_password_file_that_is_not_there_is_refused(container: Container) -> None:
    assert refused(container.run("--env", "POSTGRES_PASSWORD_FILE=/nowhere"), "/nowhere, which can't be read")


def test_missing_tls_files_are_refused(container: Container) -> None:
    assert refused(container.run(*PASSWORD, tls=False), "the TLS file /tls/tls.crt is missing")


def test_too_little_memory_is_refused(container: Container) -> None:
    done = container.run(*PASSWORD, "--env", "POSTGRES_SIZING_MEMORY=64MB")
    assert refused(done, "too little for PostgreSQL")


def test_another_versions_data_is_refused(container: Container) -> None:
    container.run("--entrypoint", "sh", command=("-c", "mkdir -p $PGDATA && echo 15 >$PGDATA/PG_VERSION"))
    assert refused(container.run(*PASSWORD), "holds a cluster of PostgreSQL 15")


def test_another_command_runs_instead(container: Container) -> None:
    assert "PostgreSQL) 17" in container.run(command=("psql", "--version")).stdout


def test_options_go_to_the_server(container: Container) -> None:
    container.run(*PASSWORD, command=("-c", "work_mem=7MB"), detach=True)
    container.ready()
    assert container.psql("SHOW work_mem") == "7MB"


def test_first_start_scripts_run_once_in_order(container: Container, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "10-table.sql").write_text("CREATE TABLE told (line text);")
    (tmp_path / "20-shell.sh").write_text(
        "psql -U postgres -d shop -c \"INSERT INTO told VALUES ('from the shell')\"\n"
    )
    container.run(
        *PASSWORD, "--env", "POSTGRES_DB=shop", "--volume", f"{tmp_path}:/docker-entrypoint-initdb.d:ro", detach=True
    )
    container.ready()
    run("docker", "restart", container.name)
    container.ready()
    told = run("docker", "exec", container.name, "psql", "-XAtU", "postgres", "-d", "shop", "-c", "TABLE told").stdout
    assert told.strip() == "from the shell"


def test_a_first_start_that_was_killed_is_made_again(container: Container, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "wait.sh").write_text("touch /var/lib/postgresql/waiting; sleep 60\n")
    container.run(*PASSWORD, "--volume", f"{tmp_path}:/docker-entrypoint-initdb.d:ro", detach=True)
    eventually(
        lambda: (
            run("docker", "exec", container.name, "test", "-e", "/var/lib/postgresql/waiting", check=False).returncode
            == 0
        ),
        20,
    )
    run("docker", "kill", container.name)
    container.remove(volume=False)
    container.run(*PASSWORD, detach=True)
    container.ready()
    assert "the first start did not finish" in container.logs()
    assert container.psql("SELECT 1") == "1"


def test_a_kept_cluster_needs_no_password_and_is_not_made_again(container: Container) -> None:
    container.run(*PASSWORD, detach=True)
    container.ready()
    container.psql("CREATE TABLE kept ()")
    container.remove(volume=False)
    container.run(detach=True)
    container.ready()
    assert container.psql("SELECT count(*) FROM kept") == "0"


def test_docker_stop_is_a_clean_shutdown(container: Container) -> None:
    container.run(*PASSWORD, detach=True)
    container.ready()
    run("docker", "stop", container.name)
    assert "database system is shut down" in container.logs()
    assert run("docker", "inspect", "--format", "{{.State.ExitCode}}", container.name).stdout.strip() == "0"
