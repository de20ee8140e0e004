"""Backups are made and listed, and restored: beside the stack, one table of them, or into the stack."""

import subprocess

from backup.repository import Repository, kill
from testing.shell import eventually, run
from testing.stack import Stack


def test_an_incremental_holds_what_changed(repository: Repository) -> None:
    """Without a restore point: the full backup that every test begins with has one."""
    assert repository.first["restore_point"].startswith("restore-point-")
    before = repository.labels()
    made = repository.ops("backup", "create", "--no-mark", "--json")
    assert made.status == 0, made.err
    assert made.json["restore_point"] is None
    listed = repository.ops("backup", "list", "--json").json
    assert [row["label"] for row in listed] == [*before, made.json["label"]]
    full, incremental = [one for one in listed if one["type"] == "full"][-1], listed[-1]
    assert incremental["type"] == "incr"
    assert incremental["repository_bytes"] < full["repository_bytes"] / 2


def test_a_restore_point_without_a_backup(repository: Repository) -> None:
    before = repository.labels()
    made = repository.ops("backup", "mark", "--json").json["restore_point"]
    assert repository.labels() == before
    known = repository.sql("SELECT max(name) FROM operations.restore_point", database="postgres")
    assert known == made


def test_everything_reads_well(repository: Repository) -> None:
    assert repository.ops("backup", "info").status == 0
    verified = repository.ops("backup", "verify")
    assert (verified.status, "whole" in verified.out) == (0, True), verified.out + verified.err


def test_what_does_not_exist_is_refused_before_anything_happens(repository: Repository) -> None:
    for arguments, reason in (
        (("--backup", "20200101-000000F"), "there is no backup '20200101-000000F'"),
        (("--to", "yesterday"), "'yesterday' is not a time"),
        (("--to", "2020-01-01 00:00"), "is outside the recovery window (2"),
        (("--to", "2199-01-01T00:00:00Z"), "is outside the recovery window (2"),
    ):
        refused = repository.ops("restore", "backup", *arguments, "--yes")
        assert refused.status == 2
        assert reason in refused.err
        assert "HINT:" in refused.err
        assert "stop" not in refused.err.lower()


def test_a_restore_into_a_running_server_is_refused(repository: Repository, stack: Stack) -> None:
    plan = repository.shell(f"""pgbackup plan '{{"backup": "{repository.labels()[-1]}"}}'""")
    done = stack.command("docker", "compose", "run", "--rm", "--no-deps", "-T", "restore", "restore", plan, check=False)
    assert done.returncode == 1
    assert "HINT:  docker compose stop postgres" in done.stderr


def test_without_a_yes_nothing_happens(repository: Repository) -> None:
    refused = repository.ops("restore", "backup", "--backup", repository.labels()[-1], stdin="")
    assert refused.status == 2
    assert "--yes" in refused.err
    assert repository.sql("SELECT 1") == "1"


def test_another_name_than_its_own_is_no_yes(repository: Repository, stack: Stack) -> None:
    """At a terminal the database's name has to be typed."""
    environment = [f"{name}={value}" for name, value in stack.environment.items()]
    command = f"./scripts/ops restore backup --backup {repository.labels()[-1]}"
    done = run("env", "-i", *environment, "script", "--quiet", "--return", "--command", command, "/dev/null",
               stdin="flaglearning_prod\n", check=False)  # fmt: skip
    assert done.returncode == 1
    assert "not confirmed" in done.stdout
    assert repository.sql("SELECT 1") == "1"


def test_a_restore_killed_in_the_middle_leaves_the_old_server(repository: Repository, stack: Stack) -> None:
    """And a rest, which the next restore clears away (test_runbook.py, test_the_database)."""
    repository.write("still-here")
    restoring = subprocess.Popen(
        [*ops_command(stack), "restore", "backup", "--backup", repository.labels()[0], "--yes"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    killed = eventually(lambda: running(stack, "restore"), within=60, every=0.02)
    eventually(lambda: "PG_VERSION" in listing(stack), within=30, every=0.02)
    kill(killed)
    said = restoring.communicate(timeout=120)[0]
    assert restoring.returncode == 1
    assert "nothing was restored" in said
    assert repository.words()[-1] == "still-here"
    assert "restoring" in repository.shell("ls /var/lib/postgresql/17")


def ops_command(stack: Stack) -> list[str]:
    """./scripts/ops on this stack, for a process that a test kills."""
    return ["env", "-i", *(f"{name}={value}" for name, value in stack.environment.items()), "./scripts/ops"]


def running(stack: Stack, service: str) -> str:
    """The one-shot's container, once it runs."""
    labels = [f"label=com.docker.compose.project={stack.project}", f"label=com.docker.compose.service={service}"]
    filters = [word for label in labels for word in ("--filter", label)]
    return run("docker", "ps", "--quiet", *filters, "--filter", "label=com.docker.compose.oneoff=True").stdout.strip()


def listing(stack: Stack) -> str:
    """What a restore has made so far."""
    return stack.exec("backup", "sh", "-c", "ls /var/lib/postgresql/17/data.restoring 2>/dev/null || true")


def test_a_backup_killed_in_the_middle_is_none_and_the_next_is_whole(repository: Repository, stack: Stack) -> None:
    """Its container is killed; a one-shot makes the next, as where the service does not run."""
    before = repository.labels()
    container = stack.container("backup")
    backing_up = subprocess.Popen(
        [*ops_command(stack), "backup", "create", "--type", "full"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    eventually(lambda: '"held":true' in repository.shell("pgbackrest --output=json info"), within=60, every=0.02)
    kill(container)
    try:
        assert backing_up.wait(60) != 0
        assert repository.labels() == before
        made = repository.ops("backup", "create", "--type", "full", "--json")
        assert made.status == 0, made.err
    finally:
        stack.start("backup")
    assert repository.labels()[-1] == made.json["label"]
    verified = repository.ops("backup", "verify")
    assert verified.status == 0, verified.out + verified.err
