"""./scripts/ops upgrade: a data directory of PostgreSQL 15 becomes one of this version, and the way back."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops.flows.upgrade import SUITES
from support.fixtures import own_stack
from support.ops import Ops
from support.postgres import Postgres
from support.proxy import Proxy
from testing.shell import eventually, run
from testing.stack import TAG, Stack

pytestmark = [pytest.mark.last, pytest.mark.long]

OLD = "15"
IMAGE_TAG = f"{TAG}-from-{OLD}"
BIN, DATA = f"/usr/lib/postgresql/{OLD}/bin", f"/var/lib/postgresql/{OLD}/data"
COUNT = "SELECT count(*) || ' ' || sum(hashtext(t::text)) FROM flags_country AS t"
DUMP = "pg_dump -h /run/postgresql -U postgres --no-owner --no-privileges -d {database} >/var/lib/postgresql/dump.sql"
# A server of the old version with the application's tables and rows, and nothing else of this project.
MAKE_OLD = f"""
mkdir -p {DATA}
{BIN}/initdb -D {DATA} -U postgres -E UTF8 --locale=C.UTF-8 --data-checksums --auth=peer >/dev/null
{BIN}/pg_ctl -D {DATA} -o "-k /tmp -c listen_addresses=" -w -l /tmp/log start >/dev/null
psql -q -h /tmp -U postgres -c "CREATE ROLE flaglearning_owner" -c "CREATE DATABASE $DATABASE OWNER flaglearning_owner"
PGOPTIONS="-c role=flaglearning_owner" psql -q -h /tmp -U postgres -d $DATABASE -f /var/lib/postgresql/dump.sql \\
	>/tmp/out 2>&1
rm /var/lib/postgresql/dump.sql
"""
# A backup of it, with roles that a server of this project has.
BACK_UP = f"""
export PGBACKREST_PG1_PATH={DATA} PGBACKREST_PG1_SOCKET_PATH=/tmp PGBACKREST_PG1_USER=postgres
{BIN}/pg_ctl -D {DATA} -w -l /tmp/log -o "-k /tmp -c listen_addresses= -c archive_mode=on \
	-c 'archive_command=pgbackrest --stanza=flaglearning archive-push %p'" start >/dev/null
sql() {{ psql -q -h /tmp -U postgres -d "$DATABASE" "$@"; }}
sql -c "CREATE ROLE flaglearning_verifier LOGIN IN ROLE pg_read_all_data" -c "CREATE ROLE flaglearning_user LOGIN" \
	-c "GRANT SELECT ON ALL TABLES IN SCHEMA public TO flaglearning_user" -c ANALYZE
pgbackrest --stanza=flaglearning stanza-create
pgbackrest --stanza=flaglearning --type=full backup
sql -c "DROP OWNED BY flaglearning_user" -c "DROP ROLE flaglearning_verifier, flaglearning_user"
"""
STOP = f"{BIN}/pg_ctl -D {DATA} -m fast -w stop >/dev/null"
START = f"{BIN}/pg_ctl -D {DATA} -o '-k /tmp -c listen_addresses=' -w -l /tmp/log start >/dev/null"


def in_old(stack: Stack, script: str) -> str:
    """A script in a container with both versions and the server's volume; what it prints."""
    words = ("run", "--rm", "--no-deps", "-T", "--env", f"DATABASE={stack.database}", "--entrypoint", "bash")
    old = Stack(stack.project, stack.files)
    old.variables = {**stack.variables, "POSTGRES_TAG": IMAGE_TAG}
    return old.compose(*words, "restore", "-ec", script)


def repository_is_of(stack: Stack) -> str:
    """The major version of the server that the repository belongs to now."""
    [stanza] = json.loads(in_old(stack, "pgbackrest --stanza=flaglearning --output=json info"))
    return str(max(stanza["db"], key=lambda one: one["id"])["version"])


@pytest.fixture(scope="module")
def old(request: pytest.FixtureRequest) -> Iterator[tuple[Stack, str]]:
    """A stack whose volume has a data directory of the old version only; and what its table holds."""
    server = f"flaglearning/postgres:{TAG}"
    arguments = {"POSTGRES_IMAGE": server, "OLD_MAJOR": OLD, "OLD_SUITE": SUITES[OLD]}
    words = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    run(
        "docker",
        "build",
        "--quiet",
        *words,
        "--tag",
        f"flaglearning/postgres:{IMAGE_TAG}",
        "docker/upgrade",
        timeout=600,
    )
    with own_stack("upgrade", port=21030, WEB_CONCURRENCY="1") as stack:
        before = Postgres(stack).superuser(COUNT, database=stack.database)
        stack.exec("postgres", "sh", "-ec", DUMP.format(database=stack.database))
        stack.stop("postgres")
        in_old(stack, f"{MAKE_OLD}{STOP}\n{BACK_UP}{STOP}\nrm -rf /var/lib/postgresql/17")
        yield stack, before


SELECT = "SELECT code FROM flags_country WHERE code > $1"


def test_a_backup_of_the_old_version_is_upgraded_beside_the_stack(
    old: tuple[Stack, str], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Nothing of the stack changes, and nothing of the rehearsal stays. The application's requests are answered by the
    upgraded server: the stack's own is stopped."""
    stack, _ = old
    statements = tmp_path / "slow.json"
    statements.write_text(json.dumps([{"query": SELECT}, {"query": "SELECT nothing FROM flags_country"}]))
    volumes = stack.command("docker", "volume", "ls", "--quiet").stdout
    done = Ops(stack)("upgrade", "--rehearse", "--statements", str(statements), "--json")
    assert done.status == 0, done.err
    report = done.json
    record_property("measured", f"rehearsal: {report['seconds']}")
    assert (report["old"], report["new"]) == (OLD, "17")
    assert all(one["ok"] for one in report["checks"]), report["checks"]
    assert len(report["checks"]) == 4
    assert report["image"] == f"flaglearning/app:{TAG}"
    assert [one for one in report["requests"] if one["error"]] == []
    assert report["untried"] == []
    answered = {one["request"]: one["status"] for one in report["requests"]}
    assert (answered["POST /api/answers"], answered["POST /accounts/delete/"]) == (201, 302)
    same, wrong = report["statements"]
    assert (same["plan"], same["nodes_after"]) == ("same", ["Seq Scan on flags_country"])
    assert "does not exist" in wrong["plan"]
    assert stack.command("docker", "volume", "ls", "--quiet").stdout == volumes
    assert in_old(stack, "ls /var/lib/postgresql").split() == [OLD]


def test_an_old_data_directory_is_upgraded_and_is_kept(
    old: tuple[Stack, str], record_property: Callable[[str, object], None]
) -> None:
    stack, before = old
    ops = Ops(stack)
    assert "pg_upgrade --check has passed" in ops("upgrade", "--check").out
    done = ops("upgrade", "--yes")
    assert done.status == 0, done.out + done.err
    result = json.loads(done.out.splitlines()[-1])
    record_property("measured", f"down for {result['down_seconds']} s, pg_upgrade {result['seconds']} s")
    assert (result["old"], result["new"]) == ("15", "17")
    postgres = Postgres(stack)
    assert postgres.superuser(COUNT, database=stack.database) == before
    assert postgres.superuser("SHOW data_checksums") == "on"
    stack.up()
    eventually(lambda: Proxy(stack).get("/readyz").status_code == 200, within=30)
    assert ops("doctor").status == 0
    assert ops("upgrade", "--yes").status == 2


def test_the_way_back_is_the_old_directory_as_it_was(old: tuple[Stack, str]) -> None:
    stack, before = old
    done = Ops(stack)("upgrade", "--back", "--yes")
    assert done.status == 0, done.err
    found = in_old(stack, f'{START}\npsql -h /tmp -U postgres -d "$DATABASE" -XAtc "{COUNT}"\n{STOP}')
    assert found.strip() == before
    assert repository_is_of(stack) == OLD  # its WAL and its backups are taken again
    assert Ops(stack)("upgrade", "--yes").status == 0
    assert Postgres(stack).superuser(COUNT, database=stack.database) == before
