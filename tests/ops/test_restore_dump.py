"""Restoring: all or nothing, whatever the file is. ./scripts/ops restore."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from support.ops import Ops, Result
from support.postgres import Bouncer, Postgres
from testing.shell import eventually, run

DATABASE = "flaglearning_dev"
EVERYTHING = """SELECT pg_catalog.md5(pg_catalog.string_agg(t::text, ',' ORDER BY id)) FROM flags_country AS t"""


@pytest.fixture(scope="module", autouse=True)
def _shelf(ops: Ops) -> Iterator[None]:
    ops.shell("rm -rf /backups/* /backups/.partial-*")
    yield
    ops.shell("rm -rf /backups/* /backups/.partial-*")


@pytest.fixture(scope="module")
def backups(ops: Ops) -> dict[str, str]:
    """One of each kind; their names."""
    return {
        "full": ops("backup", "full", "--json").json["name"],
        "plain": ops("backup", "full", "--plain", "--json").json["name"],
        "table": ops("backup", "table", "flags_country", "--json").json["name"],
        "schema": ops("backup", "schema", "--json").json["name"],
        "data": ops("backup", "data", "--json").json["name"],
    }


@pytest.fixture
def country(postgres: Postgres) -> Iterator[None]:
    """France is called something else; whatever happens, afterwards it is France."""
    rename(postgres, "Gaul")
    yield
    for kept in postgres.superuser(
        "SELECT datname FROM pg_database WHERE datname ~ '_before_|_copy$|_restoring_'"
    ).splitlines():
        postgres.superuser(f'DROP DATABASE "{kept}" WITH (FORCE)')
    rename(postgres, "France")


def rename(postgres: Postgres, name: str) -> None:
    postgres.superuser(f"UPDATE flags_country SET name = '{name}' WHERE code = 'FR'", database=DATABASE)  # noqa: S608


def france(postgres: Postgres, database: str = DATABASE) -> str:
    return postgres.superuser("SELECT name FROM flags_country WHERE code = 'FR'", database=database)


def databases(postgres: Postgres) -> list[str]:
    names = postgres.superuser("SELECT datname FROM pg_database WHERE datname LIKE 'flaglearning%' ORDER BY 1")
    return names.splitlines()


def assert_untouched(postgres: Postgres) -> None:
    """The target is as it was, and nothing of the restore is left."""
    assert france(postgres) == "Gaul"
    eventually(lambda: databases(postgres) == [DATABASE], within=20)
    assert postgres.superuser("SELECT rolname FROM pg_roles WHERE rolname = 'flaglearning_restorer'") == ""


# ------------------------------------------------------------ it works


@pytest.mark.usefixtures("country")
@pytest.mark.parametrize("kind", ["full", "plain"])
def test_everything_comes_back_and_the_old_is_kept(
    ops: Ops, postgres: Postgres, backups: dict[str, str], kind: str
) -> None:
    done = ops.script("restore", "full", backups[kind], "--yes")
    assert done.status == 0, done.err
    assert france(postgres) == "France"
    [kept] = ops("restore", "kept", "--json").json
    assert france(postgres, kept["name"]) == "Gaul"
    dropped = ops.script("restore", "drop", kept["name"], "--yes")
    assert dropped.status == 0, dropped.err
    assert databases(postgres) == [DATABASE]


@pytest.mark.usefixtures("country")
def test_roles_and_privileges_are_the_policys(ops: Ops, backups: dict[str, str]) -> None:
    assert ops.script("restore", "full", backups["full"], "--yes").status == 0
    verified = ops.script("setup", "verify")
    assert verified.status == 0, verified.out


@pytest.mark.usefixtures("country")
def test_who_comes_through_the_pooler_waits_and_sees_no_error(
    ops: Ops, bouncer: Bouncer, backups: dict[str, str]
) -> None:
    longest, stop = 0.0, threading.Event()
    errors: list[Exception] = []

    def play() -> None:
        nonlocal longest
        with bouncer.connect("app") as connection:
            while not stop.wait(0.01):
                began = time.monotonic()
                try:
                    connection.execute("SELECT count(*) FROM flags_country")
                except psycopg.Error as error:
                    errors.append(error)
                    return
                longest = max(longest, time.monotonic() - began)

    player = threading.Thread(target=play)
    player.start()
    try:
        assert ops.script("restore", "full", backups["full"], "--yes").status == 0
    finally:
        stop.set()
        player.join()
    assert not errors
    assert longest < 5


@pytest.mark.usefixtures("country")
def test_into_a_new_database(ops: Ops, postgres: Postgres, backups: dict[str, str]) -> None:
    done = ops.restore("full", backups["full"], "--into", "flaglearning_copy", "--yes")
    assert done.status == 0, done.err
    assert (france(postgres), france(postgres, "flaglearning_copy")) == ("Gaul", "France")
    again = ops("restore", "full", backups["full"], "--into", "flaglearning_copy", "--yes")
    assert (again.status, "flaglearning_copy already" in again.err) == (1, True)


@pytest.mark.usefixtures("country")
def test_a_schema_into_a_new_database(ops: Ops, postgres: Postgres, backups: dict[str, str]) -> None:
    assert ops("restore", "schema", backups["schema"], "--yes").status == 2
    done = ops.restore("schema", backups["schema"], "--into", "flaglearning_copy", "--yes")
    assert done.status == 0, done.err
    assert postgres.superuser("SELECT count(*) FROM flags_country", database="flaglearning_copy") == "0"


@pytest.mark.usefixtures("country", "players")
@pytest.mark.parametrize("kind", ["table", "data"])
def test_rows_come_back(ops: Ops, postgres: Postgres, kind: str) -> None:
    """The table of countries, which questions and answers refer to; and all of them."""
    rename(postgres, "France")
    made = ops("backup", kind, *(["flags_country"] if kind == "table" else []), "--json").json["name"]
    rename(postgres, "Gaul")
    done = ops.restore(kind, made, "--yes")
    assert done.status == 0, done.err
    assert france(postgres) == "France"
    assert postgres.superuser("SELECT count(*) FROM flags_useranswer", database=DATABASE) == "6"
    assert databases(postgres) == [DATABASE]


@pytest.mark.usefixtures("country")
def test_the_database_is_gone(ops: Ops, postgres: Postgres, bouncer: Bouncer, backups: dict[str, str]) -> None:
    postgres.superuser(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    done = ops.script("restore", "full", backups["full"], "--yes")
    assert done.status == 0, done.err
    assert bouncer.value("app", "SELECT name FROM flags_country WHERE code = 'FR'") == "France"
    assert ops("restore", "kept").out == "no restore has put a database aside.\n"


@pytest.mark.usefixtures("country")
def test_a_backup_from_before_a_migration(
    ops: Ops, postgres: Postgres, owner: psycopg.Connection, backups: dict[str, str]
) -> None:
    """It lacks the table that the migration made: it comes back, and one is told to migrate. Any other is refused."""
    owner.execute("CREATE TABLE flags_later (id int)")
    refused = ops.restore("full", backups["full"], "--yes")
    assert (refused.status, "it lacks tables" in refused.err) == (1, True), refused.err
    owner.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('flags', '0099_later', now())")
    done = ops.restore("full", backups["full"], "--yes")
    assert done.status == 0, done.err
    assert "was made before flags 0099_later: afterwards ./scripts/ops migrations apply" in done.err
    assert france(postgres) == "France"


# ------------------------------------------------------------ it refuses


@pytest.mark.usefixtures("country", "players")
def test_a_row_that_is_referred_to_may_not_get_lost(ops: Ops, postgres: Postgres) -> None:
    """A backup of the countries without one of them: nothing is done, and the foreign key is named."""
    postgres.superuser("CREATE TABLE keep AS SELECT * FROM flags_country", database=DATABASE)
    try:
        postgres.superuser(
            "SET session_replication_role = replica; DELETE FROM flags_country WHERE code = 'DE'", database=DATABASE
        )
        made = ops("backup", "table", "flags_country", "--json").json["name"]
    finally:
        postgres.superuser(
            "SET session_replication_role = replica; DELETE FROM flags_country;"
            "INSERT INTO flags_country SELECT * FROM keep; DROP TABLE keep", database=DATABASE,
        )  # fmt: skip
    refused = ops.restore("table", made, "--yes")
    assert refused.status == 1
    assert "nothing was changed" in refused.err
    assert "violates foreign key" in refused.err
    assert_untouched(postgres)


@pytest.mark.usefixtures("country")
@pytest.mark.parametrize(
    "damage", ["truncate -s -1 $f/dump/toc.dat", "rm $f/manifest.json", "rm -r $f/dump", ": >$f/manifest.json"]
)
def test_a_damaged_backup(ops: Ops, postgres: Postgres, backups: dict[str, str], damage: str) -> None:
    ops.shell(f"cp -r /backups/{backups['full']} /backups/damaged; f=/backups/damaged; {damage}")
    try:
        refused = ops("restore", "full", "damaged", "--yes")
    finally:
        ops.shell("rm -r /backups/damaged")
    assert (refused.status, "damaged is no good backup" in refused.err) == (1, True)
    assert_untouched(postgres)


@pytest.mark.usefixtures("country")
@pytest.mark.parametrize(
    ("what", "value", "said"),
    [
        ("server_version", "18.1", "newer dumps can't be restored"),
        ("database", "blog", "is of another database: blog"),
        ("kind", "data", "is a backup of the kind data"),
        ("format", 2, "is no good backup"),
    ],
)
def test_not_meant_for_here(
    ops: Ops, postgres: Postgres, backups: dict[str, str], what: str, value: object, said: str
) -> None:
    manifest = json.loads(ops.shell(f"cat /backups/{backups['full']}/manifest.json"))
    changed = json.dumps(manifest | {what: value})
    ops.shell(f"cp -r /backups/{backups['full']} /backups/other; cat >/backups/other/manifest.json <<'X'\n{changed}\nX")
    try:
        refused = ops("restore", "full", "other", "--yes")
    finally:
        ops.shell("rm -r /backups/other")
    assert (refused.status, said in refused.err) == (1, True), refused.err
    assert_untouched(postgres)


@pytest.mark.usefixtures("country")
def test_rows_that_are_not_those_that_were_counted(ops: Ops, postgres: Postgres, backups: dict[str, str]) -> None:
    ops.shell(f"cp -r /backups/{backups['full']} /backups/other")
    ops.shell("sed -i 's/flags_country\": 195/flags_country\": 196/' /backups/other/manifest.json")
    try:
        refused = ops.restore("full", "other", "--yes")
    finally:
        ops.shell("rm -r /backups/other")
    assert "public.flags_country: 195 instead of 196" in refused.err
    assert_untouched(postgres)


@pytest.mark.parametrize("name", ["no-such", "../etc", ".partial-x", "a;b", 'Odd "name"', "国"])
def test_no_such_backup(ops: Ops, name: str) -> None:
    assert ops("restore", "full", name, "--yes").status == 4


IMPOSSIBLE = [
    "postgres",
    "flaglearning_A",
    "flaglearning_x;",
    'flaglearning_"',
    "flaglearning_国",
    f"flaglearning_{26 * 'x'}",
]


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_names_that_no_database_gets(ops: Ops, backups: dict[str, str], name: str) -> None:
    assert ops("restore", "full", backups["full"], "--into", name, "--yes").status == 2


def test_nobody_said_yes(ops: Ops, backups: dict[str, str]) -> None:
    assert ops("restore", "full", backups["full"]).status == 1
    dry = ops("restore", "full", backups["full"], "--dry-run")
    assert (dry.status, "Nothing was done" in dry.out) == (0, True)


@pytest.mark.usefixtures("country")
def test_a_table_that_has_changed_since(
    ops: Ops, postgres: Postgres, owner: psycopg.Connection, backups: dict[str, str]
) -> None:
    owner.execute("ALTER TABLE flags_country ADD anthem text")
    try:
        refused = ops.restore("table", backups["table"], "--yes")
    finally:
        owner.execute("ALTER TABLE flags_country DROP anthem")
    assert (refused.status, "has other columns now: anthem text" in refused.err) == (1, True)
    assert_untouched(postgres)


# ------------------------------------------------------------ strangers' dumps

HEAD = "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version {version}\n"
TAIL = "\n--\n-- PostgreSQL database dump complete\n--\n"


def foreign(ops: Ops, sql: str) -> Result:
    """Restore a file with this between a dump's first and last lines."""
    ops.shell(f"cat >/backups/foreign.sql <<'END-OF-DUMP'\n{HEAD.format(version='17.2')}{sql}{TAIL}\nEND-OF-DUMP")
    try:
        return ops.restore("full", "foreign.sql", "--foreign", "--yes")
    finally:
        ops.shell("rm /backups/foreign.sql")


def url_file(ops: Ops) -> None:
    """/tmp/url in the container: how to connect as the reference's commands would."""  # noqa: S108
    url = ops("url", "--as", "ops", "--from", "network", "--ca", "/tls/ca.crt", "--show-password").out.strip()
    ops.shell(f"cat >/tmp/url <<'X'\n{url}\nX")


FILES = {
    "an empty file": (":", "it is empty"),
    "a folder": ("rm $f; mkdir $f", "it is a folder"),
    "no dump": ("echo SELECT 1 >$f", "doesn't begin as pg_dump's files do"),
    "half of a dump": ("head -c 3000 /backups/*/dump.sql >$f", "its end is missing"),
    "half of a packed dump": (
        "gzip -c /backups/*/dump.sql | head -c 3000 >$f.gz; rm $f; f=$f.gz",
        "it can't be unpacked",
    ),
    "half of an archive": ("pg_dump $(cat /tmp/url) -Fc -f $f.x; head -c 3000 $f.x >$f; rm $f.x", ""),
    "a link": ("rm $f; ln -s /run/secrets/ops_password $f", "it is a link"),
}


@pytest.mark.usefixtures("country", "backups")
@pytest.mark.parametrize(("file", "said"), FILES.values(), ids=FILES.keys())
def test_files_that_are_no_dump(ops: Ops, postgres: Postgres, file: str, said: str) -> None:
    url_file(ops)
    ops.shell(f"f=/backups/stranger; >$f; {file}")
    try:
        refused = ops("restore", "full", ops.shell("basename /backups/stranger*").strip(), "--foreign", "--yes")
    finally:
        ops.shell("rm -rf /backups/stranger*")
    assert refused.status == 1
    assert "is no dump that can be restored" in refused.err
    assert said in refused.err
    assert_untouched(postgres)


HOSTILE = {
    "a program in this container": r"\! touch /tmp/owned",
    "a file of this container": r"\copy flags_country FROM '/run/secrets/app_password'",
    "another connection": r"\connect flaglearning_dev",
    "out of the restriction": "\\unrestrict 0000\n\\! touch /tmp/owned",
    "a program on the server": "COPY (SELECT 1) TO PROGRAM 'touch /tmp/owned'",
    "a file of the server": "CREATE TABLE t (l text); COPY t FROM '/etc/passwd'",
    "the superuser": "SET ROLE postgres",
    "the owner": "SET ROLE flaglearning_owner",
    "more rights": "ALTER ROLE flaglearning_restorer SUPERUSER",
    "the application's database": "COMMIT; DROP DATABASE flaglearning_dev",
    "its name": "ALTER DATABASE flaglearning_dev RENAME TO flaglearning_gone",
    "others' sessions": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
    "an extension": "DO $$ BEGIN EXECUTE 'CREATE EXTENSION dblink'; END $$",
    "code for later": (
        "CREATE TABLE flags_useranswer (id int);"
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER t BEFORE INSERT ON flags_useranswer EXECUTE FUNCTION f()"
    ),
    "another application's tables": "CREATE TABLE blog_post (id int)",
    "nothing": "",
}  # fmt: skip


@pytest.mark.usefixtures("country")
@pytest.mark.parametrize("sql", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_dumps(ops: Ops, postgres: Postgres, sql: str) -> None:
    refused = foreign(ops, f"{sql}\n;")
    assert refused.status == 1, refused.err
    assert_untouched(postgres)
    assert ops.shell("ls /tmp/owned 2>/dev/null || true") == ""
    assert ops.stack.exec("postgres", "ls", "/tmp/owned", check=False).startswith("ls: cannot access")  # noqa: S108


@pytest.mark.usefixtures("country")
def test_a_newer_servers_dump(ops: Ops, postgres: Postgres) -> None:
    ops.shell(f"cat >/backups/foreign.sql <<'END-OF-DUMP'\n{HEAD.format(version='18.0')}{TAIL}\nEND-OF-DUMP")
    refused = ops("restore", "full", "foreign.sql", "--foreign", "--yes")
    assert (refused.status, "newer dumps can't be restored" in refused.err) == (1, True)
    assert_untouched(postgres)


@pytest.mark.usefixtures("country")
@pytest.mark.parametrize("how", ["pg_dump -Fc", "pg_dump -Fp", "pg_dump -Fp | gzip"])
def test_what_the_reference_made_can_be_restored(ops: Ops, postgres: Postgres, how: str) -> None:
    """As the application's role would have dumped it: with owners, privileges and extensions in it."""
    rename(postgres, "France")
    url_file(ops)
    name = "reference.sql.gz" if "gzip" in how else "reference.dump"
    ops.shell(f"set -- $(cat /tmp/url); {how.replace('pg_dump', 'pg_dump $1', 1)} >/backups/{name}")
    rename(postgres, "Gaul")
    try:
        done = ops.restore("full", name, "--foreign", "--yes")
    finally:
        ops.shell(f"rm /backups/{name}")
    assert done.status == 0, done.err
    assert france(postgres) == "France"


# ------------------------------------------------------------ in the middle


@pytest.fixture
def slow(ops: Ops) -> Iterator[subprocess.Popen[str]]:
    """A restore that is in the middle, and stays there."""
    ops.shell(f"cat >/backups/slow.sql <<'X'\n{HEAD.format(version='17.2')}SELECT pg_catalog.pg_sleep(300);{TAIL}\nX")
    assignments = [f"{name}={value}" for name, value in ops.stack.environment.items()]
    process = subprocess.Popen(
        ["env", "-i", *assignments, "./scripts/ops", "restore", "full", "slow.sql", "--foreign", "--yes"],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    asleep = "SELECT FROM pg_stat_activity WHERE usename = 'flaglearning_restorer' AND query LIKE '%pg_sleep%'"
    superuser = Postgres(ops.stack).superuser
    try:
        eventually(lambda: superuser(f"SELECT EXISTS ({asleep})") == "t", within=60)
        yield process
    finally:
        for container in containers(ops):
            run("docker", "kill", container, check=False)
        process.communicate(timeout=60)
        ops.shell("rm /backups/slow.sql")


def containers(ops: Ops, service: str = "") -> list[str]:
    """What the restore runs in."""
    project = f"label=com.docker.compose.project={ops.stack.project}"
    labels = ("--filter", project, "--filter", "label=com.docker.compose.oneoff=True")
    rows = run("docker", "ps", *labels, "--format", "{{.Names}}").stdout.split()
    return [name for name in rows if name not in (ops.container, ops.clerk) and (not service or service in name)]


@pytest.mark.usefixtures("country")
def test_two_at_once(ops: Ops, postgres: Postgres, backups: dict[str, str], slow: subprocess.Popen[str]) -> None:
    assert slow.poll() is None
    refused = ops.script("restore", "full", backups["full"], "--yes")
    assert (refused.status, "another restore is under way" in refused.err) == (1, True)
    assert "of flaglearning_ops from" in refused.err
    assert france(postgres) == "Gaul"
    assert ops.script("reset", "--yes").status == 1, "nor is it reset meanwhile"


@pytest.mark.usefixtures("country")
def test_killed_it_leaves_nothing(ops: Ops, postgres: Postgres, slow: subprocess.Popen[str]) -> None:
    [container] = containers(ops, "-ops-run")
    run("docker", "kill", container)
    assert slow.wait(60) == 137
    assert_untouched(postgres)


@pytest.mark.usefixtures("country")
def test_stopped_it_leaves_nothing(ops: Ops, postgres: Postgres, slow: subprocess.Popen[str]) -> None:
    [container] = containers(ops, "-ops-run")
    run("docker", "stop", container)
    assert slow.wait(60) == 130
    assert_untouched(postgres)


@pytest.mark.usefixtures("country")
def test_the_server_restarts_in_the_middle(ops: Ops, postgres: Postgres, slow: subprocess.Popen[str]) -> None:
    ops.stack.restart("postgres")
    assert slow.wait(90) == 3
    eventually(lambda: france(postgres) == "Gaul", within=30)
    assert_untouched(postgres)


@pytest.mark.usefixtures("country")
def test_when_both_are_killed_the_next_one_cleans_up(
    ops: Ops, postgres: Postgres, backups: dict[str, str], slow: subprocess.Popen[str]
) -> None:
    run("docker", "kill", *containers(ops))
    slow.wait(60)
    assert [name for name in databases(postgres) if "_restoring_" in name]
    assert ops.script("restore", "full", backups["full"], "--into", "flaglearning_copy", "--yes").status == 0
    assert databases(postgres) == ["flaglearning_copy", DATABASE]
