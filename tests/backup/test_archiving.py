"""What is written is in the repository soon, encrypted, on an idle server too; and nothing pretends."""

import re
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from backup.repository import PATH, Repository
from support.postgres import Postgres
from testing.shell import ROOT, eventually, run
from testing.stack import DEVELOPMENT, PROJECT, TAG, Stack

PASSPHRASE = "dev_backup_passphrase_2024"
CONTAINERS = ["postgres", "backup", "repository"]
BEAT, ARCHIVE_TIMEOUT, UPLOAD = 20, 5, 15  # seconds


def test_the_server_archives_from_its_first_segment_on(repository: Repository) -> None:
    assert repository.sql("SHOW archive_mode") == "on"
    assert eventually(lambda: repository.archived("000000010000000000000001"), within=30)


def test_a_row_is_in_the_archive_soon_on_a_server_that_does_nothing_else(repository: Repository, stack: Stack) -> None:
    """Also when it was just started: then PostgreSQL by itself looks at archive_timeout after checkpoint_timeout.
    Here archive_timeout is shorter; tests/unit has the policy's own."""
    repository.sql(f"ALTER SYSTEM SET archive_timeout = '{ARCHIVE_TIMEOUT}s'", database="postgres")
    stack.compose("restart", "postgres")
    eventually(lambda: repository.sql("SELECT 1") == "1", within=30)
    written = repository.write("lonely")
    began = time.monotonic()

    def is_safe() -> bool:
        until = repository.ops("backup", "info", "--json").json["until"]
        return until is not None and datetime.fromisoformat(until) > written

    limit = BEAT + ARCHIVE_TIMEOUT + UPLOAD
    try:
        eventually(is_safe, within=limit, every=0.5)
    finally:  # each segment takes 16 MB of a small disk
        repository.sql("ALTER SYSTEM RESET archive_timeout", database="postgres")
        repository.sql("SELECT pg_reload_conf()")
    assert time.monotonic() - began < limit


def test_without_the_servers_counters_what_would_be_lost_is_known(postgres: Postgres, repository: Repository) -> None:
    """As after a restore or a crash: then its pg_wal says what is archived."""
    postgres.superuser("SELECT pg_stat_reset_shared('archiver')")
    repository.shell("pgbackup heartbeat")
    exposed = repository.ops("backup", "info", "--json").json["server"]
    assert exposed["last_archived_wal"] is None
    assert 0 < exposed["exposed_s"] <= 80


def test_how_much_would_be_lost_is_measured(postgres: Postgres, repository: Repository) -> None:
    worst = postgres.superuser("SELECT extract(epoch FROM max(exposed)) FROM operations.heartbeat")
    assert 0 < float(worst) <= 60


def test_pgbackrest_is_not_the_superuser(repository: Repository, stack: Stack) -> None:
    """A stanza was created and a full backup made (fixture): each session of these ended under the role's name."""
    sessions = re.findall(r"(\w+)@(\w+) pgBackRest \[([\w-]+)\] .*disconnection", stack.logs("postgres"))
    assert {session[:2] for session in sessions} == {("flaglearning_backup", "postgres")}
    assert "backup" in {session[2] for session in sessions}


def test_the_repository_is_encrypted(repository: Repository) -> None:
    repository.shell(
        f'test -z "$(grep -rl --binary-files=text -e flags_country -e backrest {PATH}/backup {PATH}/archive)"'
    )


@pytest.mark.parametrize("service", CONTAINERS)
def test_the_passphrase_is_in_no_environment_and_no_log(stack: Stack, repository: Repository, service: str) -> None:
    inspected = run("docker", "inspect", stack.container(service)).stdout
    assert PASSPHRASE not in inspected + stack.logs(service)


def test_the_passphrase_is_on_no_command_line(repository: Repository) -> None:
    assert PASSPHRASE not in repository.shell("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' || true")


def test_production_refuses_developments_passphrase() -> None:
    done = run(
        "docker", "run", "--rm", "--network", "none", "--env", "DEPLOYMENT=production", "--entrypoint", "pgbackup",
        "--volume", f"{ROOT}/docker/secrets.dev/backup_cipher:/etc/pgbackrest/conf.d/backup_cipher.conf:ro",
        f"flaglearning/postgres:{TAG}", "prepare", check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "HINT:  ./scripts/secrets new" in done.stderr


@pytest.mark.parametrize("value", ["yes", "true"])
def test_a_wrong_archiving_is_refused_with_the_right_values(value: str) -> None:
    command = ("docker", "run", "--rm", "--env", f"ARCHIVING={value}", "--tmpfs", "/tls:mode=1777")
    script = "touch /tls/tls.crt /tls/tls.key; exec docker-entrypoint.sh postgres"
    done = run(*command, "--entrypoint", "sh", f"flaglearning/postgres:{TAG}", "-c", script, check=False)
    assert done.returncode == 1
    assert "HINT:  set it to on or off" in done.stderr


@pytest.fixture
def other() -> Iterator[Stack]:
    """The server alone, on named volumes."""
    stack = Stack(f"{PROJECT}-archive", DEVELOPMENT, port=21080, POSTGRES_MEMORY="256m")
    stack.remove()
    yield stack
    stack.remove()


def test_the_profile_on_the_command_line_is_enough_and_once_is_enough(other: Stack) -> None:
    """Interpolation can't see it; and a start without the profile must not leave a gap in the WAL.
    Before the first start with it there is no backup, and the error says why."""
    seen = []
    for profile in ((), ("--profile", "backup"), ()):
        services = ["repository", "postgres"] if profile else ["postgres"]
        other.compose(*profile, "up", "--detach", "--wait", *services)
        seen.append(Postgres(other).superuser("SHOW archive_mode"))
        if len(seen) == 1:
            without_a_repository(other)
        other.compose("rm", "--stop", "--force", "postgres")
    assert seen == ["off", "on", "on"]


def without_a_repository(other: Stack) -> None:
    """No backup can be made, and nothing pretends to archive."""
    done = other.command("./scripts/ops", "backup", "create", check=False)
    assert done.returncode == 1
    assert "does not archive" in done.stderr
    assert "HINT:  put COMPOSE_PROFILES=backup into .env" in done.stderr
    assert Postgres(other).superuser("SELECT count(*) FROM pg_ls_archive_statusdir()") == "0"


def test_a_new_cluster_does_not_take_the_backups_of_another_for_its_own(other: Stack) -> None:
    """As after `docker compose down -v` with the repository in a folder. The old cluster's data can be restored."""
    other.variables |= {"COMPOSE_PROFILES": "backup", "BACKUP_AT": "off"}
    ops = Repository(other, Postgres(other)).ops
    other.compose("up", "--detach", "--wait", "backup")
    old = system(other)
    made = ops("backup", "create", "--type", "full", "--json")
    assert made.status == 0, made.err
    other.compose("rm", "--stop", "--force", "postgres", "roles", "backup")
    run("docker", "volume", "rm", f"{other.project}_postgres-data")

    assert other.command("docker", "compose", "up", "--detach", "--wait", "backup", check=False).returncode == 1
    said = (
        f"its system identifier is {old}, and this server's is {system(other)}; "
        f"it holds 1 backups, the newest {made.json['label']}"
    )
    assert said in other.logs("backup")
    info = ops("backup", "info")
    assert (info.status, said in info.err, "everything: no backup exists" in info.out) == (1, True, True)
    for command in ("create", "drill"):
        refused = ops("backup", command)
        assert (refused.status, said in refused.err) == (1, True), command

    restored = ops("restore", "backup", "--latest", "--yes")
    assert restored.status == 0, restored.err
    assert f"the backups are of another cluster (system identifier {old})" in restored.err
    other.compose("up", "--detach", "--wait", "backup")
    assert (system(other), ops("backup", "info").status) == (old, 0)

    shell = {"COMPOSE_PROFILES": ""}  # another one, which does not know of the profile
    deleted = ops("down", "--volumes", "--yes", **shell)
    assert f"all backups (volume {other.project}_repository)" in deleted.err
    assert of_project("ps", other) + of_project("volume ls", other) == []


def of_project(listing: str, stack: Stack) -> list[str]:
    """The ids of what has the project's label."""
    label = f"label=com.docker.compose.project={stack.project}"
    return run("docker", *listing.split(), "--quiet", "--filter", label).stdout.split()


def system(stack: Stack) -> str:
    """The cluster's system identifier."""
    return Postgres(stack).superuser("SELECT system_identifier FROM pg_control_system()")
