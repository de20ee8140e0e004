"""./scripts/ops dump: what is in dumps, that half a dump never looks like one, verify, prune, import."""

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from support.ops import Container, Ops, Started
from support.postgres import Postgres
from testing.shell import ROOT, eventually, run

pytestmark = pytest.mark.usefixtures("_no_dumps")
EMPTY = "rm -rf /dumps/* /dumps/.partial-*"


@pytest.fixture
def _no_dumps(client: Container) -> Iterator[None]:
    client.shell(EMPTY)
    yield
    client.shell(EMPTY)


def made(client: Container, kind: str, **parameters: str | bool) -> dict[str, object]:
    """A new dump's manifest; by the verb that ./scripts/ops dump calls."""
    done = client.verb("dump-create", kind=kind, **parameters)
    assert done.status == 0, done.err
    return dict(done.json)


def contents(client: Container, name: object) -> str:
    return client.shell(f"pg_restore --list /dumps/{name}/dump")


def in_folder(client: Container) -> list[str]:
    return client.shell("ls -A /dumps").split()


# ------------------------------------------------------------ what is in them


@pytest.mark.usefixtures("players")
def test_a_full_dump_says_what_it_is(ops: Ops, client: Container) -> None:
    done = ops("dump", "full", "--json")
    assert done.status == 0, done.err
    manifest = done.json
    assert manifest["name"].startswith("flaglearning_dev-full-20")
    assert manifest["database"] == "flaglearning_dev"
    assert manifest["server_version"].startswith("17.")
    assert manifest["rows"]["public.flags_country"] == 195
    assert manifest["rows"]["public.flags_useranswer"] == 6
    listing = contents(client, manifest["name"])
    assert "TABLE DATA public flags_useranswer" in listing
    # Owners, privileges and the policy's extensions are pg/sql's.
    assert not [line for line in listing.splitlines() if " ACL " in line or " EXTENSION " in line]


def test_a_table_alone(ops: Ops, client: Container) -> None:
    done = ops("dump", "table", "flags_country")
    assert done.status == 0, done.err
    assert "195 rows of 1 tables" in done.err
    name = done.out.strip()
    assert name.startswith("flaglearning_dev-table-public.flags_country-20")
    assert "flags_question" not in contents(client, name)


def test_a_table_with_any_name(client: Container, hostile: list[str]) -> None:
    for name in hostile:
        manifest = made(client, "table", table=name)
        assert manifest["rows"] == {f"public.{name}": 0}
    verified = client.verb("dump-verify-files", names=[]).json
    assert [row["good"] for row in verified] == len(hostile) * [True]


def test_an_unknown_table_is_suggested(ops: Ops) -> None:
    refused = ops("dump", "table", "flags_countri")
    assert refused.status == 4
    assert "did you mean flags_country" in refused.err


def test_schema_and_data_are_the_halves(client: Container) -> None:
    assert "TABLE DATA" not in contents(client, made(client, "schema")["name"])
    data = contents(client, made(client, "data")["name"])
    assert "TABLE DATA" in data
    assert " CONSTRAINT " not in data


def test_plain_is_sql(client: Container) -> None:
    name = made(client, "full", plain=True)["name"]
    assert "COPY public.flags_country" in client.shell(f"cat /dumps/{name}/dump.sql")
    [verified] = client.verb("dump-verify-files", names=[]).json
    assert verified["good"]


def test_it_is_of_one_moment(ops: Ops, client: Container, postgres: Postgres) -> None:
    """What is written after it began isn't in it, though pg_dump meets it later."""
    with waiting_dump(ops, postgres) as (dump, blocker):
        late = "INSERT INTO flags_country SELECT 9999, 'ZZ', 'Late', '', '', '', '{}'"
        postgres.superuser(late, database="flaglearning_dev")
        blocker.rollback()
        result = dump.result()
        postgres.superuser("DELETE FROM flags_country WHERE id = 9999", database="flaglearning_dev")
    assert result.status == 0, result.err
    [dumped] = client.verb("dump-list").json
    rows = json.loads(client.shell(f"cat /dumps/{dumped['name']}/manifest.json"))["rows"]
    assert rows["public.flags_country"] == 195


def test_the_list_for_machines_and_people(ops: Ops, client: Container) -> None:
    assert ops("dump", "list").out == "no dump exists yet: ./scripts/ops dump full\n"
    name = made(client, "table", table="flags_country")["name"]
    [row] = ops("dump", "list", "--json").json
    assert (row["name"], row["kind"], row["rows"], row["state"]) == (name, "table", 195, "complete")


def test_large_objects_are_in_it(ops: Ops, client: Container, postgres: Postgres) -> None:
    """pg_read_all_data does not cover them: without a grant pg_dump fails as flaglearning_ops."""
    oid = postgres.value("migrator", "SELECT lo_from_bytea(0, 'flag')")
    try:
        done = ops("dump", "full")
        assert done.status == 0, done.err
        assert " BLOB " in contents(client, done.out.strip())
    finally:
        postgres.value("migrator", f"SELECT lo_unlink({oid})")


# ------------------------------------------------------------ half a dump


@contextlib.contextmanager
def waiting_dump(ops: Ops, postgres: Postgres) -> Iterator[tuple[Started, psycopg.Connection]]:
    """A dump that is in the middle: it waits for a lock; and the session that holds the lock."""
    connection = psycopg.connect(**postgres.parameters("migrator"), autocommit=False)
    with contextlib.closing(connection) as blocker:
        blocker.execute("LOCK TABLE django_session IN ACCESS EXCLUSIVE MODE")
        with ops.started("dump", "full") as dump:
            sessions = "FROM pg_stat_activity WHERE application_name = 'dump' AND wait_event_type = 'Lock'"
            eventually(lambda: postgres.superuser(f"SELECT count(*) {sessions}") == "1", within=20)
            yield dump, blocker


def container_of(ops: Ops) -> str:
    """The container in which the dump runs."""
    project = f"label=com.docker.compose.project={ops.stack.project}"
    rows = run("docker", "ps", "--filter", project, "--filter", "name=-ops-run-", "--format", "{{.Names}}").stdout
    [name] = rows.split()
    return name


@pytest.mark.parametrize("how", ["docker stop", "docker kill --signal INT", "Ctrl-C", "SIGTERM"])
def test_interrupted_it_leaves_nothing(ops: Ops, client: Container, postgres: Postgres, how: str) -> None:
    with waiting_dump(ops, postgres) as (dump, _):
        if how == "Ctrl-C":
            dump.signal(signal.SIGINT)
        elif how == "SIGTERM":  # to the orchestrator alone
            dump.process.terminate()
        else:
            run(*how.split(), container_of(ops))
        result = dump.result()
        assert in_folder(client) == []
    assert result.status == 130
    assert "interrupted" in result.err
    assert "ERROR" not in result.err


def test_killed_it_leaves_what_is_no_dump_and_is_pruned(ops: Ops, client: Container, postgres: Postgres) -> None:
    with waiting_dump(ops, postgres) as (dump, _):
        assert client.verb("dump-list").json == [], "it is still being written"
        run("docker", "kill", container_of(ops))
        assert dump.result().status == 1
        [left] = eventually(lambda: client.verb("dump-list").json, within=10)
        assert left["state"] == "interrupted: dump prune removes it"
    assert ops("restore", "dump", "latest", "--yes").status == 4
    pruned = ops("dump", "prune", "--yes")
    assert pruned.out.startswith("removed .partial-flaglearning_dev-full-")
    assert in_folder(client) == []


def test_the_server_restarts_in_the_middle(ops: Ops, client: Container, postgres: Postgres) -> None:
    with waiting_dump(ops, postgres) as (dump, _):
        ops.stack.restart("postgres")
        result = dump.result()
    assert result.status == 3, result.err
    assert "ERROR: pg_dump failed: " in result.err
    assert in_folder(client) == []


def test_no_space_left(ops: Ops) -> None:
    volume = f"{ops.stack.project}-small"
    options = ("--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=20k,uid=9000")
    run("docker", "volume", "create", *options, volume)
    try:
        compose = ("docker", "compose", "run", "--rm", "--no-deps", "-T", "-v", f"{volume}:/dumps")
        done = ops.stack.command(*compose, "ops", "dump-create", '{"kind": "full"}', check=False)
        assert done.returncode == 1
        assert "No space left on device" in done.stderr
        assert "./scripts/ops dump prune" in done.stderr
        left = ops.stack.command(*compose, "--entrypoint", "ls", "ops", "-A", "/dumps")
        assert left.stdout == ""
    finally:
        run("docker", "volume", "rm", volume)


def test_a_folder_that_cannot_be_written(ops: Ops, tmp_path: Path) -> None:
    refused = ops("dump", "full", DUMPS_DIR=str(tmp_path))
    assert refused.status == 1
    assert "DUMPS_DIR has to name a folder that uid 9000 may write" in refused.err


def test_a_wrong_password(client: Container) -> None:
    client.shell("mkdir -p /tmp/wrong; cp /run/secrets/* /tmp/wrong; printf wrong >/tmp/wrong/ops_password")
    refused = client(*client.program, "dump-create", '{"kind": "full"}', SECRETS="/tmp/wrong")  # noqa: S108
    assert (refused.status, in_folder(client)) == (3, [])
    assert "does not accept the password of flaglearning_ops" in refused.err


# ------------------------------------------------------------ verify

DAMAGE = {
    "a byte": "printf X | dd of=$dump/toc.dat bs=1 seek=100 conv=notrunc",
    "its end": "truncate -s -1 $dump/toc.dat",
    "a file": "rm $dump/toc.dat",
    "one too many": "touch $dump/more.dat",
    "a link": "ln -s /etc/passwd $dump/more.dat",
    "a manifest that is none": "echo '[]' >$dump/../manifest.json",
    "a manifest of a later version": """sed -i 's/"format": 1/"format": 2/' $dump/../manifest.json""",
    "a manifest that points elsewhere": "sed -i 's#dump/toc.dat#dump/../../toc.dat#' $dump/../manifest.json",
}


def test_damage_is_found(ops: Ops, client: Container) -> None:
    """Each kind of it, in a copy."""
    name = made(client, "schema")["name"]
    for number, damage in enumerate(DAMAGE.values()):
        client.shell(f"cp -r /dumps/{name} /dumps/damaged-{number}; dump=/dumps/damaged-{number}/dump; {damage}")
    found = ops("dump", "verify", "--quick", "--json")
    assert found.status == 1
    good = {row["name"]: row["good"] for row in found.json}
    assert good.pop(str(name))
    assert good == {f"damaged-{number}": False for number in range(len(DAMAGE))}
    client.shell(f"cp -r /dumps/{name} /dumps/without; rm /dumps/without/manifest.json")
    states = {row["name"]: row["state"] for row in client.verb("dump-list").json}
    assert states["without"] == "external: restore dump NAME --external"
    assert states["damaged-5"].startswith("unusable: ")
    assert ops("dump", "verify", "without").status == 2, "a dump of ours that has lost its manifest is not verified"


def test_every_kind_is_proven_to_restore(ops: Ops, client: Container, postgres: Postgres) -> None:
    """Also a table that needs an extension, in a schema of its own: pg_dump --table leaves both out."""
    with postgres.connect("migrator") as owner:
        owner.execute("CREATE EXTENSION pg_trgm; CREATE SCHEMA shop")
        owner.execute("CREATE TABLE shop.book (title text, country bigint REFERENCES flags_country)")
        owner.execute("CREATE INDEX ON shop.book USING gin (title gin_trgm_ops)")
        try:
            book = made(client, "table", table="shop.book")["name"]
        finally:
            owner.execute("DROP SCHEMA shop CASCADE; DROP EXTENSION pg_trgm")
    full, data, plain = made(client, "full"), made(client, "data"), made(client, "full", plain=True)
    names = [book, *(one["name"] for one in (full, data, plain))]
    done = ops("dump", "verify", "--json")
    assert done.status == 0, done.err
    assert sorted((row["name"], row["good"]) for row in done.json) == sorted((name, True) for name in names)


def test_a_dump_that_cannot_be_restored_is_found(ops: Ops, client: Container, postgres: Postgres) -> None:
    """Every byte of it is as it was written. Its index needs an extension that no restore may create."""
    index = "CREATE EXTENSION bloom SCHEMA public; CREATE INDEX blooming ON flags_country USING bloom (code)"
    try:
        postgres.superuser(index, database="flaglearning_dev")
        name = made(client, "schema")["name"]
    finally:
        postgres.superuser("DROP EXTENSION IF EXISTS bloom CASCADE", database="flaglearning_dev")
    assert client.verb("dump-verify-files", names=[name]).json[0]["good"]
    done = ops("dump", "verify", "--json")
    assert done.status == 1
    assert [(row["name"], row["good"]) for row in done.json] == [(name, False)]
    assert 'access method "bloom" does not exist' in done.err
    assert "restoring" not in postgres.superuser("SELECT pg_catalog.string_agg(datname, ' ') FROM pg_database")


# ------------------------------------------------------------ prune


def dumps_of_days(client: Container, days: int) -> list[str]:
    """A dump a day; their names, the oldest first."""
    name = made(client, "schema")["name"]
    names = []
    for day in range(10 - days, 10):
        copy = f"flaglearning_dev-schema-2026010{day}T000000Z"
        created = f's/"created": "[^"]*"/"created": "2026-01-0{day}T00:00:00+00:00"/'
        client.shell(f"cp -r /dumps/{name} /dumps/{copy}; sed -i '{created}' /dumps/{copy}/manifest.json")
        names.append(copy)
    client.shell(f"rm -r /dumps/{name}")
    return names


def test_prune_removes_what_the_retention_does_not_keep(ops: Ops, client: Container) -> None:
    """Also the newest usable one, though it is not among those that are kept."""
    names = dumps_of_days(client, 5)
    for damaged in names[2:]:
        client.shell(f"truncate -s -1 /dumps/{damaged}/dump/toc.dat")
    command = ("dump", "prune", "--keep", "1", "--keep-daily", "2")
    dry = ops(*command, "--dry-run")
    assert dry.out.startswith("would remove:")
    assert ops(*command).status == 2, "not confirmed"
    assert sorted(in_folder(client)) == names
    assert ops(*command, "--yes").status == 0
    assert sorted(in_folder(client)) == [names[1], *names[-2:]]


# ------------------------------------------------------------ import


@pytest.fixture
def exported(client: Container, tmp_path: Path) -> Path:
    """A folder of this machine, with a blank in its name, with what another pg_dump could have written."""
    folder = tmp_path / "my dumps"
    folder.mkdir()
    url = "host=postgres dbname=flaglearning_dev user=flaglearning_ops sslmode=verify-full sslrootcert=/tls/ca.crt"
    script = f"""export PGPASSWORD=$(cat /run/secrets/ops_password)
        mkdir /dumps/.partial-export; cd /dumps/.partial-export
        pg_dump '{url}' -t flags_country -f blog.sql; gzip -k blog.sql; cp blog.sql "blog of friday.sql"
        pg_dump '{url}' -t flags_country -Fc -f blog.dump; pg_dump '{url}' -t flags_country -Fd -f blog.dir
        mkdir bad.dir; cp blog.dir/toc.dat bad.dir; ln -s /run/secrets/ops_password bad.dir/3301.dat"""
    client.shell(script)
    run("docker", "cp", f"{client.name}:/dumps/.partial-export/.", str(folder))
    client.shell("rm -r /dumps/.partial-export")
    return folder


def test_a_dump_is_imported_from_any_path(ops: Ops, client: Container, exported: Path) -> None:
    relative = ROOT / "artifacts" / "import.sql"
    relative.write_bytes((exported / "blog.sql").read_bytes())
    try:
        assert ops("dump", "import", "artifacts/import.sql").out == "import.sql\n"
    finally:
        relative.unlink()
    assert ops("dump", "import", str(exported / "blog of friday.sql")).out == "blog_of_friday.sql\n"
    assert ops("dump", "import", str(exported / "blog.sql.gz"), "--as", "friday.gz").out == "friday.gz\n"
    found = ops("dump", "import", str(exported / "blog.dir"), "--json").json
    assert (found["name"], found["plain"], found["database"]) == ("blog.dir", False, "flaglearning_dev")
    assert ops("dump", "import", str(exported / "blog.dump")).status == 0
    assert in_folder(client) == ["blog.dir", "blog.dump", "blog_of_friday.sql", "friday.gz", "import.sql"]
    states = {row["name"]: row["state"] for row in client.verb("dump-list").json}
    assert set(states.values()) == {"external: restore dump NAME --external"}
    whole = client.shell("sha256sum </dumps/blog.dump; pg_restore -l /dumps/blog.dir >/dev/null")
    assert whole.split()[0] == run("sha256sum", str(exported / "blog.dump")).stdout.split()[0]
    taken = ops("dump", "import", str(exported / "blog.dump"))
    assert (taken.status, "blog.dump exists already in DUMPS_DIR" in taken.err) == (2, True)


def test_what_is_no_dump_is_not_imported(ops: Ops, client: Container, exported: Path) -> None:
    absent = ops("dump", "import", str(exported / "absent"))
    assert (absent.status, "there is no file" in absent.err) == (2, True)
    half = exported / "half.dump"
    half.write_bytes((exported / "blog.dump").read_bytes()[:-2000])
    for file in (half, exported / "bad.dir", Path("README.md")):
        refused = ops("dump", "import", str(file))
        assert refused.status == 2, file
        assert "can't be restored" in refused.err or "is not a file of pg_dump's directory format" in refused.err
    hidden = ops("dump", "import", str(exported / "blog.dump"), "--as", "../blog")
    assert (hidden.status, "can't be the name of a dump" in hidden.err) == (2, True)
    assert in_folder(client) == []
