"""What goes wrong: noticed loudly, harmless to what was there, and gone when its cause is."""

import json
import shutil
from pathlib import Path

import pytest

from backup.repository import PATH, Repository
from support.ops import Result
from testing.shell import ROOT, eventually, run
from testing.stack import Stack

BREAK = {
    "unreachable": f"chmod 000 {PATH}/archive",
    "full": f"for size in 1M 4k; do dd if=/dev/zero bs=$size 2>/dev/null >>{PATH}/filler || true; done",
}
REPAIR = {"unreachable": f"chmod 700 {PATH}/archive", "full": f"rm {PATH}/filler"}


def archiving(repository: Repository) -> dict[str, str]:
    """Doctor's link, as it is."""
    found: list[dict[str, str]] = repository.ops("doctor", "--json").json
    return found[-1]


@pytest.mark.parametrize("fault", BREAK)
def test_a_repository_that_takes_nothing(repository: Repository, stack: Stack, fault: str, tmp_path: Path) -> None:
    repository.shell(BREAK[fault])
    try:
        repository.write(f"while-{fault}")  # writes go on
        segment = repository.switch()
        failing = "SELECT last_failed_time > coalesce(last_archived_time, '-infinity') FROM pg_stat_archiver"
        eventually(lambda: repository.sql(failing) == "t", within=90)
        repository.write(f"still-{fault}")
        link = archiving(repository)
        assert (link["link"], link["status"]) == ("archiving", "failed"), link
        assert checklist(stack, tmp_path)["BACK-01"] == "fail"
        assert not repository.archived(segment)
    finally:
        repository.shell(REPAIR[fault])
    repository.switch()
    eventually(lambda: repository.archived(segment), within=90)  # the gap closes by itself
    eventually(lambda: repository.ops("backup", "info").status == 0, within=60)
    assert archiving(repository)["status"] == "ok"
    assert checklist(stack, tmp_path)["BACK-01"] == "pass"


def checklist(stack: Stack, folder: Path) -> dict[str, str]:
    """The outcome of each check of backups."""
    run(
        "./scripts/checklist",
        "--target",
        f"docker://{stack.project}",
        "--artifacts",
        str(folder),
        "-k",
        "BACK",
        check=False,
    )
    items = json.loads((folder / "checklist.json").read_text())["items"]
    return {check["id"]: check["outcome"] for item in items for check in item["checks"]}


def test_a_piece_of_the_write_ahead_log_is_gone(repository: Repository) -> None:
    """`--latest` must not end quietly at a WAL gap."""
    segment = repository.switch()
    eventually(lambda: repository.archived(segment), within=60)
    repository.switch()
    repository.write("behind-the-gap")
    with repository.without(f"*/archive/*/{segment}-*") as gone:
        verified = repository.ops("backup", "verify")
        assert verified.status == 1
        restored = repository.ops("restore", "backup", "--latest", "--sandbox")
        assert restored.status == 1
        assert "WAL gap" in restored.err, (gone, restored.err)
    assert repository.ops("backup", "verify").status == 0


def test_a_byte_of_a_backup_is_another(repository: Repository) -> None:
    label = repository.labels()[-1]
    full = label.partition("_")[0]
    with repository.flipped(f"*/backup/flaglearning/{full}/bundle/*"):
        verified = repository.ops("backup", "verify")
        assert verified.status == 1, verified.out
        assert full in verified.out
        drill = repository.ops("backup", "drill", "--json")
        assert drill.status == 1
        assert drill.json["passed"] is False
        assert "restored" in drill.json["checks"][0]["check"]
        refused = repository.ops("restore", "backup", "--backup", label, "--yes")
        assert refused.status == 1
        assert "HINT:" in refused.err
        assert repository.sql("SELECT 1") == "1", "the server that was there runs again"
    assert repository.ops("backup", "verify").status == 0


# Nothing is left to be written to it, which would mend the damage: no hint bit, no autovacuum.
DAMAGED = """
    CREATE TABLE damaged WITH (autovacuum_enabled = off) AS
        SELECT n, repeat('x', 500) FROM generate_series(1, 1000) AS n;
    VACUUM FREEZE damaged;
    CHECKPOINT
"""


def test_a_page_of_the_live_data_is_damaged(repository: Repository, stack: Stack, tmp_path: Path) -> None:
    repository.sql(DAMAGED)
    file = repository.sql("SELECT pg_relation_filepath('damaged')")
    good = repository.labels()[-1]
    write = f"dd if=/dev/urandom of=$PGDATA/{file} bs=1 seek=20000 count=64 conv=notrunc 2>/dev/null"
    repository.shell(f"cp $PGDATA/{file} /tmp/good; {write}")
    made = repository.ops("backup", "create")
    assert made.status == 1, made.out
    assert file in made.err
    bad = repository.labels()[-1]
    assert bad != good
    assert "wrong checksum" in archiving(repository)["detail"]
    assert checklist(stack, tmp_path)["BACK-02"] == "fail"
    refused = repository.ops("restore", "backup", "--backup", bad, "--sandbox")
    assert refused.status == 1
    # an older one serves: the newest of all is passed over
    plan = json.loads(stack.compose("run", "--rm", "--no-deps", "-T", "backup", "plan", '{"latest": true}'))
    assert plan["label"] == good
    repository.sql("DROP TABLE damaged; CHECKPOINT")
    repository.shell(f"pgbackrest --stanza=flaglearning --set={bad} expire")
    assert repository.ops("backup", "create").status == 0


def test_another_passphrase(repository: Repository, stack: Stack, tmp_path: Path) -> None:
    """As on a new host with other secrets: the service `backup`, which can't start there, has no part in it."""
    folder = tmp_path / "secrets"
    shutil.copytree(ROOT / "docker/secrets.dev", folder)
    (folder / "backup_cipher").write_text("[global]\nrepo1-cipher-pass=not-the-one-that-it-was-made-with\n")
    stack.stop("backup")
    try:
        for command in (["backup", "info"], ["restore", "backup", "--latest", "--yes"]):
            refused: Result = repository.ops(*command, SECRETS_DIR=str(folder))
            assert refused.status == 1
            assert "passphrase" in refused.err + refused.out, refused
    finally:
        stack.start("backup")
    assert repository.sql("SELECT 1") == "1"


def test_the_disk_is_full_during_a_restore(repository: Repository) -> None:
    repository.write("before-full")
    # A server that has run for a while has segments to write on; a fresh one would need new ones, and there is no room.
    used = [repository.switch() for _ in range(5)]
    eventually(lambda: all(map(repository.archived, used)), within=60)
    repository.sql("CHECKPOINT")
    room = "$(($(df --output=avail -B1 /var/lib/postgresql | tail -n 1) - 15000000))"
    repository.shell(f"fallocate -l {room} /var/lib/postgresql/filler")
    try:
        refused = repository.ops("restore", "backup", "--latest", "--yes")
        assert refused.status == 1
        assert "disk is full" in refused.err, refused.err
        assert repository.words()[-1] == "before-full", "the server that was there runs again"
        assert "restoring" not in repository.shell("ls /var/lib/postgresql/17")
    finally:
        repository.shell("rm /var/lib/postgresql/filler")
