"""The drill: it restores, compares, measures and says so; and it fails when something is not as it was."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from backup.repository import Repository
from support.ops import Result
from support.postgres import Postgres
from testing.shell import eventually, run
from testing.stack import Stack


def newest_heartbeat(repository: Repository) -> int:
    return int(repository.sql("SELECT max(id) FROM operations.heartbeat", database="postgres"))


@pytest.fixture(scope="module")
def drill(repository: Repository) -> Result:
    return repository.ops("backup", "drill", "--json")


def test_it_passes(drill: Result) -> None:
    assert drill.status == 0, drill.out + drill.err
    assert drill.json["passed"] is True
    assert [check["check"] for check in drill.json["checks"] if not check["ok"]] == []


def test_it_compared_every_table(drill: Result, repository: Repository) -> None:
    count = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    tables = int(repository.sql(count))
    names = [check["check"] for check in drill.json["checks"]]
    assert drill.json["tables"] == tables
    assert drill.json["rows"] > 195
    assert len(names) == len(set(names)) == 8


def test_it_measured_rpo_and_rto(drill: Result) -> None:
    assert 0 < drill.json["rpo_seconds"] <= 60
    assert 0 < drill.json["restore_seconds"] < drill.json["rto_seconds"] < 60


def test_it_leaves_nothing(drill: Result, stack: Stack) -> None:
    assert f"{stack.project}-sandbox" not in run("docker", "ps", "--all", "--format", "{{.Names}}").stdout
    assert not run("docker", "volume", "ls", "--quiet", "--filter", f"name={stack.project}_sandbox-data").stdout


def test_its_report_has_three_forms(drill: Result, repository: Repository, stack: Stack) -> None:
    page = repository.ops("backup", "report", "--html").out
    assert "<h1>The backups restore</h1>" in page
    assert "<script" not in page
    volume = f"{stack.project}_reports:/reports:ro"
    image = stack.config["services"]["ops"]["image"]
    names = ["/reports/flaglearning_backup_drill.prom", "/reports/drill.json"]
    files = run("docker", "run", "--rm", "--volume", volume, "--entrypoint", "cat", image, *names).stdout
    assert "flaglearning_backup_drill_passed 1\n" in files
    assert drill.json["restore_point"] in files


def test_a_heartbeat_while_a_restore_point_waits_for_writers_belongs_to_it(
    repository: Repository, stack: Stack, postgres: Postgres
) -> None:
    """It is in the WAL before the restore point: a drill that took it for a later one would fail."""
    with ThreadPoolExecutor(1) as pool, postgres.connect("migrator") as writer:
        writer.execute("BEGIN; LOCK TABLE flags_country IN ROW EXCLUSIVE MODE")
        before = newest_heartbeat(repository)
        waiting = pool.submit(stack.exec, "backup", "pgbackup", "mark")
        eventually(lambda: newest_heartbeat(repository) > before, within=30)  # its own first
        beat = json.loads(stack.exec("backup", "pgbackup", "heartbeat").splitlines()[-1])["heartbeat"]
        writer.execute("COMMIT")
        name = json.loads(waiting.result().splitlines()[-1])["restore_point"]
    point = repository.sql(
        f"DELETE FROM operations.restore_point WHERE name = '{name}' RETURNING heartbeat",  # noqa: S608
        database="postgres",
    )
    assert int(point.split()[0]) >= beat


@pytest.fixture
def one_restore_point(repository: Repository) -> Iterator[str]:
    """The only one that a drill can choose; what a test does to it is undone."""
    repository.sql(
        "CREATE TABLE IF NOT EXISTS operations.aside AS TABLE operations.restore_point;"
        "DELETE FROM operations.restore_point WHERE name <> (SELECT max(name) FROM operations.restore_point)",
        database="postgres",
    )
    yield repository.sql("SELECT name FROM operations.restore_point", database="postgres")
    repository.sql(
        "TRUNCATE operations.restore_point; INSERT INTO operations.restore_point TABLE operations.aside;"
        " DROP TABLE operations.aside",
        database="postgres",
    )


def test_a_row_or_a_heartbeat_that_is_not_as_it_was_fails_it(one_restore_point: str, repository: Repository) -> None:
    """The recorded facts are changed, so that the restored ones differ: one table's hash, and the last heartbeat."""
    repository.sql(
        "UPDATE operations.restore_point SET heartbeat = heartbeat - 1,"
        " manifest = jsonb_set(manifest, '{flaglearning_dev.public.flags_country,hash}', '\"1\"')",
        database="postgres",
    )
    done = repository.ops("backup", "drill", "--json")
    assert done.status == 1
    assert done.json["passed"] is False
    failed = {check["check"]: check["saw"] for check in done.json["checks"] if not check["ok"]}
    assert set(failed) == {"heartbeats from after it are not", "every table has the same contents"}
    assert "flaglearning_dev.public.flags_country" in failed["every table has the same contents"]
