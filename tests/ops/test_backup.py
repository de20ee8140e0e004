"""Making backups: what is in them, and that half a one never looks like one. ./scripts/ops backup, backups."""

import json
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from support.ops import Ops, Result
from support.postgres import Postgres
from testing.shell import eventually, run

pytestmark = pytest.mark.usefixtures("empty_shelf")


@pytest.fixture
def empty_shelf(ops: Ops) -> Iterator[None]:
    ops.shell("rm -rf /backups/* /backups/.partial-*")
    yield
    ops.shell("rm -rf /backups/* /backups/.partial-*")


def made(ops: Ops, *arguments: str) -> dict[str, object]:
    """A new backup's manifest."""
    done = ops("backup", *arguments, "--json")
    assert done.status == 0, done.err
    return dict(done.json)


def contents(ops: Ops, name: object) -> str:
    return ops.shell(f"pg_restore --list /backups/{name}/dump")


# ------------------------------------------------------------ what is in them


@pytest.mark.usefixtures("players")
def test_a_full_backup_says_what_it_is(ops: Ops) -> None:
    manifest = made(ops, "full")
    assert str(manifest["name"]).startswith("flaglearning_dev-full-20")
    assert manifest["database"] == "flaglearning_dev"
    assert str(manifest["server_version"]).startswith("17.")
    rows = manifest["rows"]
    assert isinstance(rows, dict)
    assert (rows["public.flags_country"], rows["public.flags_useranswer"]) == (195, 6)
    assert "TABLE DATA public flags_useranswer" in contents(ops, manifest["name"])


def test_what_policy_makes_is_not_in_it(ops: Ops) -> None:
    listing = contents(ops, made(ops, "full")["name"])
    assert not [line for line in listing.splitlines() if " ACL " in line or " EXTENSION " in line]


def test_a_table_alone(ops: Ops) -> None:
    manifest = made(ops, "table", "flags_country")
    assert manifest["rows"] == {"public.flags_country": 195}
    assert str(manifest["name"]).startswith("flaglearning_dev-table-public.flags_country-20")
    assert "flags_question" not in contents(ops, manifest["name"])


def test_a_table_with_any_name(ops: Ops, hostile: list[str]) -> None:
    for name in hostile:
        manifest = made(ops, "table", name)
        assert manifest["rows"] == {f"public.{name}": 0}
    assert ops("backups", "verify").status == 0


def test_an_unknown_table_is_suggested(ops: Ops) -> None:
    refused = ops("backup", "table", "flags_countri")
    assert refused.status == 4
    assert "did you mean flags_country" in refused.err


def test_schema_and_data_are_the_halves(ops: Ops) -> None:
    assert "TABLE DATA" not in contents(ops, made(ops, "schema")["name"])
    data = contents(ops, made(ops, "data")["name"])
    assert "TABLE DATA" in data
    assert " CONSTRAINT " not in data


def test_plain_is_sql(ops: Ops) -> None:
    name = made(ops, "full", "--plain")["name"]
    assert "COPY public.flags_country" in ops.shell(f"cat /backups/{name}/dump.sql")
    assert ops("backups", "verify").status == 0


def test_it_is_of_one_moment(ops: Ops, postgres: Postgres) -> None:
    """What is written after it began isn't in it, though pg_dump meets it later."""
    with waiting_backup(ops, postgres) as finished:
        late = "INSERT INTO flags_country SELECT 9999, 'ZZ', 'Late', '', '', '', '{}'"
        postgres.superuser(late, database="flaglearning_dev")
        release(postgres)
        result = finished()
        postgres.superuser("DELETE FROM flags_country WHERE id = 9999", database="flaglearning_dev")
    assert result.status == 0
    [backup] = ops("backups", "list", "--json").json
    rows = json.loads(ops.shell(f"cat /backups/{backup['name']}/manifest.json"))["rows"]
    assert rows["public.flags_country"] == 195


def test_the_list_for_machines_and_people(ops: Ops) -> None:
    assert ops("backups", "list").out == "there are no backups yet: ./scripts/ops backup full\n"
    name = made(ops, "table", "flags_country")["name"]
    [row] = ops("backups", "list", "--json").json
    assert (row["name"], row["kind"], row["rows"], row["state"]) == (name, "table", 195, "complete")


# ------------------------------------------------------------ half a backup


@contextmanager
def waiting_backup(ops: Ops, postgres: Postgres) -> Iterator[Callable[[], Result]]:
    """A backup that is in the middle: it waits for a lock. Its result, when it ends."""
    results: list[Result] = []
    blocker = psycopg.connect(**postgres.parameters("migrator"), autocommit=False)
    blocker.execute("LOCK TABLE django_session IN ACCESS EXCLUSIVE MODE")
    thread = threading.Thread(target=lambda: results.append(ops.alone("backup", "full")))
    thread.start()
    postgres.blocker = blocker  # type: ignore[attr-defined]

    def finished() -> Result:
        thread.join(60)
        return results[0]

    try:
        eventually(lambda: "pg_dump" in processes(ops), within=20)
        time.sleep(0.5)
        yield finished
    finally:
        blocker.close()
        thread.join(60)


def release(postgres: Postgres) -> None:
    postgres.blocker.rollback()  # type: ignore[attr-defined]


def processes(ops: Ops) -> str:
    each = "tr '\\0' ' ' <$p/cmdline 2>/dev/null && echo \" ${p#/proc/}\""
    return ops.shell(f"for p in /proc/[0-9]*; do {each}; done; true")


def kill(ops: Ops, signal: str) -> None:
    """Send the CLI in the container a signal."""
    [pid] = [line.split()[-1] for line in processes(ops).splitlines() if "-m flagops backup full" in line]
    ops.shell(f"kill -{signal} {pid}")


def shelf(ops: Ops) -> list[str]:
    return ops.shell("ls -A /backups").split()


@pytest.mark.parametrize("signal", ["INT", "TERM"])
def test_interrupted_it_leaves_nothing(ops: Ops, postgres: Postgres, signal: str) -> None:
    with waiting_backup(ops, postgres) as finished:
        kill(ops, signal)
        result = finished()
    assert (result.status, result.err.splitlines()[-1]) == (130, "interrupted")
    assert shelf(ops) == []


def test_killed_it_leaves_what_is_no_backup_and_is_pruned(ops: Ops, postgres: Postgres) -> None:
    with waiting_backup(ops, postgres) as finished:
        assert ops("backups", "list", "--json").json == [], "somebody is still writing it"
        kill(ops, "KILL")
        assert finished().status == 137
        eventually(lambda: "interrupted" in ops("backups", "list").out, within=10)
    assert ops("restore", "full", "latest", "--yes").status == 4
    pruned = ops("backups", "prune", "--yes")
    assert pruned.out.startswith("removed .partial-flaglearning_dev-full-")
    assert shelf(ops) == []


def test_the_server_restarts_in_the_middle(ops: Ops, postgres: Postgres) -> None:
    with waiting_backup(ops, postgres) as finished:
        ops.stack.restart("postgres")
        result = finished()
    assert result.status == 3
    assert "ERROR:  the server went away" in result.err or "can't be reached" in result.err
    assert shelf(ops) == []


def test_no_space_left(ops: Ops) -> None:
    volume = f"{ops.stack.project}-small"
    options = ("--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=20k,uid=9000")
    run("docker", "volume", "create", *options, volume)
    try:
        compose = ("docker", "compose", "run", "--rm", "--no-deps", "-T", "-v", f"{volume}:/backups")
        done = ops.stack.command(*compose, "ops", "backup", "full", check=False)
        assert done.returncode == 1
        assert "no space is left where the backups are" in done.stderr
        left = ops.stack.command(*compose, "--entrypoint", "ls", "ops", "-A", "/backups")
        assert left.stdout == ""
    finally:
        run("docker", "volume", "rm", volume)


def test_a_folder_that_cannot_be_written(ops: Ops) -> None:
    refused = ops("backup", "full", BACKUPS="/ops")
    assert refused.status == 1
    assert "BACKUPS_DIR has to name a folder that uid 9000 may write" in refused.err


def test_a_wrong_password(ops: Ops) -> None:
    ops.shell("mkdir -p /tmp/wrong; cp /run/secrets/* /tmp/wrong; printf wrong >/tmp/wrong/ops_password")
    refused = ops("backup", "full", SECRETS="/tmp/wrong")  # noqa: S108
    assert (refused.status, shelf(ops)) == (3, [])
    assert "doesn't accept the password of flaglearning_ops" in refused.err


# ------------------------------------------------------------ verify, prune

DAMAGE = {
    "a byte": "printf X | dd of=$dump/toc.dat bs=1 seek=100 conv=notrunc",
    "its end": "truncate -s -1 $dump/toc.dat",
    "a file": "rm $dump/toc.dat",
    "one too many": "touch $dump/more.dat",
    "a link": "ln -s /etc/passwd $dump/more.dat",
    "no manifest": "rm $dump/../manifest.json",
    "a manifest that is none": "echo '[]' >$dump/../manifest.json",
    "a manifest that points elsewhere": "sed -i 's#dump/toc.dat#dump/../../toc.dat#' $dump/../manifest.json",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_found(ops: Ops, damage: str) -> None:
    name = made(ops, "schema")["name"]
    ops.shell(f"dump=/backups/{name}/dump; {damage}")
    found = ops("backups", "verify", "--json")
    assert found.status == 1
    assert [row["good"] for row in found.json] == [False]


def shelf_of_days(ops: Ops, days: int) -> list[str]:
    """A backup a day, the last one today's; their names, the oldest first."""
    name = str(made(ops, "schema")["name"])
    names = []
    for day in reversed(range(days)):
        copy = f"flaglearning_dev-schema-2026010{9 - day}T000000Z"
        ops.shell(f"cp -r /backups/{name} /backups/{copy}")
        created = f's/"created": "[^"]*"/"created": "2026-01-0{9 - day}T00:00:00+00:00"/'
        ops.shell(f"sed -i '{created}' /backups/{copy}/manifest.json")
        names.append(copy)
    ops.shell(f"rm -r /backups/{shlex.quote(name)}")
    return names


def test_prune_keeps_the_newest_and_a_day_each(ops: Ops) -> None:
    names = shelf_of_days(ops, 5)
    dry = ops("backups", "prune", "--keep", "1", "--keep-daily", "3", "--dry-run")
    assert dry.out.startswith("would remove:")
    assert sorted(shelf(ops)) == names
    assert ops("backups", "prune", "--keep", "1", "--keep-daily", "3").status == 1, "nobody said yes"
    assert ops("backups", "prune", "--keep", "1", "--keep-daily", "3", "--yes").status == 0
    assert sorted(shelf(ops)) == names[-3:]


def test_prune_never_takes_the_last_good_one(ops: Ops) -> None:
    names = shelf_of_days(ops, 4)
    for damaged in names[1:]:
        ops.shell(f"truncate -s -1 /backups/{damaged}/dump/toc.dat")
    assert ops("backups", "prune", "--keep", "1", "--keep-daily", "0", "--yes").status == 0
    assert sorted(shelf(ops)) == [names[0], names[-1]]
