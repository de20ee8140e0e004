"""Backups are made and listed, and restored: beside the stack, one table of them, or into the stack."""

import re
import subprocess
import time

from backup.repository import PATH, Repository, kill
from support.proxy import Proxy
from testing.shell import eventually, run
from testing.stack import Stack


def test_an_incremental_holds_what_changed(repository: Repository) -> None:
    repository.write("more")
    made = repository.ops("backup", "create", "--json")
    assert made.status == 0, made.err
    listed = repository.ops("backup", "list", "--json").json
    full, incremental = [one for one in listed if one["type"] == "full"][-1], listed[-1]
    assert incremental["type"] == "incr"
    assert incremental["repository_bytes"] < full["repository_bytes"] / 2
    assert made.json["restore_point"].startswith("restore-point-")


def test_a_backup_without_a_restore_point_and_a_restore_point_without_a_backup(repository: Repository) -> None:
    before = repository.labels()
    assert repository.ops("backup", "create", "--no-mark", "--json").json["restore_point"] is None
    made = repository.ops("backup", "mark", "--json").json["restore_point"]
    assert len(repository.labels()) == len(before) + 1
    known = repository.sql("SELECT max(name) FROM operations.restore_point", database="postgres")
    assert known == made


def test_everything_reads_well(repository: Repository) -> None:
    assert repository.ops("backup", "info").status == 0
    verified = repository.ops("backup", "verify")
    assert (verified.status, "whole" in verified.out) == (0, True), verified.out + verified.err


def test_wrong_usage_is_2(repository: Repository) -> None:
    assert repository.ops("backup", "create", "--type", "half").status == 2
    assert repository.ops("restore", "backup").status == 2
    assert repository.ops("restore", "backup", "--latest", "--backup", "x").status == 2


def test_what_does_not_exist_is_refused_before_anything_happens(repository: Repository) -> None:
    for arguments in (("--backup", "20200101-000000F"), ("--to", "yesterday")):
        refused = repository.ops("restore", "backup", *arguments, "--yes")
        assert refused.status == 2
        assert "HINT:" in refused.err
        assert "stop" not in refused.err.lower()


def test_a_sandbox_instance_is_beside_the_stack(repository: Repository, stack: Stack) -> None:
    at = repository.write("before")
    repository.write("after")
    made = repository.ops("restore", "backup", "--to", at.isoformat(), "--sandbox")
    try:
        assert made.status == 0, made.err
        seen = repository.ops("sandbox", "psql", "-XAtc", "SELECT word FROM probe ORDER BY id").lines
        assert seen[-1] == "before"
        assert repository.words()[-1] == "after"
        # it can't harm the repository, and archives nothing
        written = run("docker", "exec", f"{stack.project}-sandbox", "touch", f"{PATH}/probe", check=False)
        assert "Read-only file system" in written.stderr
        assert repository.ops("sandbox", "psql", "-XAtc", "SHOW archive_mode").out.strip() == "off"
    finally:
        repository.ops("sandbox", "drop", "--yes")
    assert not run("docker", "volume", "ls", "--quiet", "--filter", f"name={stack.project}_sandbox-data").stdout


def test_one_table_is_fetched(repository: Repository) -> None:
    at = repository.write("keep")
    repository.sql("DELETE FROM probe")
    repository.sql(
        "INSERT INTO users_user"
        " (id, password, is_superuser, email, display_name, is_staff, is_active, date_joined)"
        " VALUES (8000, '!', false, 'new@example.org', '', false, true, now())"
    )
    fetched = repository.ops("restore", "backup", "--to", at.isoformat(), "--table", "probe", "--yes")
    assert fetched.status == 0, fetched.err
    assert "keep" in repository.words()
    assert repository.sql("SELECT count(*) FROM users_user WHERE id = 8000") == "1", "other tables stay as they are"


def test_a_restore_into_a_running_server_is_refused(repository: Repository, stack: Stack) -> None:
    plan = stack.compose("run", "--rm", "--no-deps", "-T", "backup", "plan", '{"latest": true}')
    done = stack.command("docker", "compose", "run", "--rm", "--no-deps", "-T", "restore", "restore", plan, check=False)
    assert done.returncode == 1
    assert "HINT:  docker compose stop postgres" in done.stderr


def test_without_a_yes_nothing_happens(repository: Repository) -> None:
    refused = repository.ops("restore", "backup", "--latest", stdin="")
    assert refused.status == 2
    assert "--yes" in refused.err
    assert repository.sql("SELECT 1") == "1"


def test_another_name_than_its_own_is_no_yes(repository: Repository, stack: Stack) -> None:
    """At a terminal the database's name has to be typed."""
    environment = [f"{name}={value}" for name, value in stack.environment.items()]
    command = "./scripts/ops restore backup --latest"
    done = run("env", "-i", *environment, "script", "--quiet", "--return", "--command", command, "/dev/null",
               stdin="flaglearning_prod\n", check=False)  # fmt: skip
    assert done.returncode == 1
    assert "not confirmed" in done.stdout
    assert repository.sql("SELECT 1") == "1"


def test_a_dropped_table_comes_back_to_the_second_before_across_a_timeline(
    repository: Repository, proxy: Proxy
) -> None:
    """Twice: the second time along the history that the first began; the newest backup is of the abandoned one."""
    for round in ("first", "second"):
        before = repository.write(f"{round}-good")
        timeline = int(repository.sql("SELECT timeline_id FROM pg_control_checkpoint()"))
        repository.sql("DROP TABLE probe")
        if round == "first":
            abandoned = repository.ops("backup", "create", "--type", "full")  # from now on it is no way to anything
            assert abandoned.status == 0, abandoned.err
        restored = repository.ops("restore", "backup", "--to", before.isoformat(), "--yes")
        assert restored.status == 0, restored.err
        assert repository.words()[-1] == f"{round}-good"
        assert int(repository.sql("SELECT timeline_id FROM pg_control_checkpoint()")) > timeline
    assert eventually(lambda: proxy.get("/readyz").status_code == 200, within=30)
    assert repository.ops("backup", "create").status == 0


def test_what_was_replaced_is_retained_until_it_is_dropped(repository: Repository) -> None:
    retained = [row["name"] for row in repository.ops("retained", "list", "--json").json]
    assert len(retained) >= 2
    for name in retained:
        assert re.fullmatch(r"data\.before-\d{8}t\d{6}", name)
        dropped = repository.ops("retained", "drop", name, "--yes")
        assert dropped.status == 0, dropped.err
    assert repository.ops("retained", "list", "--json").json == []
    assert repository.ops("retained", "drop", "data", "--yes").status == 4


def test_a_restore_killed_in_the_middle_leaves_the_old_server(repository: Repository, stack: Stack) -> None:
    repository.write("still-here")
    command = ["env", "-i", *(f"{name}={value}" for name, value in stack.environment.items()), "./scripts/ops"]
    restoring = subprocess.Popen(
        [*command, "restore", "backup", "--backup", repository.labels()[0], "--yes"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    killed = eventually(lambda: running(stack, "restore"), within=60, every=0.02)
    eventually(lambda: "PG_VERSION" in listing(stack), within=30, every=0.02)
    kill(killed)
    said = restoring.communicate(timeout=120)[0]
    assert restoring.returncode == 1
    assert "nothing was restored" in said
    assert repository.words()[-1] == "still-here"
    # and the next one clears it away
    assert repository.ops("restore", "backup", "--latest", "--yes").status == 0
    assert repository.words()[-1] == "still-here"
    assert "restoring" not in repository.shell("ls /var/lib/postgresql/17")


def running(stack: Stack, service: str) -> str:
    """The one-shot's container, once it runs."""
    labels = [f"label=com.docker.compose.project={stack.project}", f"label=com.docker.compose.service={service}"]
    filters = [word for label in labels for word in ("--filter", label)]
    return run("docker", "ps", "--quiet", *filters, "--filter", "label=com.docker.compose.oneoff=True").stdout.strip()


def listing(stack: Stack) -> str:
    """What a restore has made so far."""
    return stack.exec("backup", "sh", "-c", "ls /var/lib/postgresql/17/data.restoring 2>/dev/null || true")


def test_a_backup_killed_in_the_middle_is_none_and_the_next_is_whole(repository: Repository, stack: Stack) -> None:
    before = repository.labels()
    command = ["env", "-i", *(f"{name}={value}" for name, value in stack.environment.items()), "./scripts/ops"]
    backing_up = subprocess.Popen(
        [*command, "backup", "create", "--type", "full"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    killed = eventually(lambda: running(stack, "backup"), within=60, every=0.02)
    eventually(lambda: "running" in repository.shell("pgbackrest info"), within=30, every=0.02)
    kill(killed)
    assert backing_up.wait(60) != 0
    assert repository.labels() == before
    time.sleep(1)
    made = repository.ops("backup", "create", "--type", "full")
    assert made.status == 0, made.err
    assert repository.ops("backup", "verify").status == 0
