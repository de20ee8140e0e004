"""upgrade.yml on a host: an older data directory, and what it refuses. PostgreSQL 18 is Debian testing's, a preview; as
long as testing's minor release is older than that of 17, it can't read 17's data, and 15 → 17 is what is upgraded."""

import re
from collections.abc import Callable, Iterator

import pytest

from images import BUILT
from lab.hosts import Lab
from players import HERE, Players
from support import preview
from testing.shell import eventually, run
from testing.stack import TAG

pytestmark = pytest.mark.long

NEXT = ("-e", '{"images_build": false}', "-e", f"images_tag={TAG}-{preview.MAJOR}")
CONFIRMED = ("-e", "upgrade_confirm=flaglearning_prod")
AIM = 60  # seconds without the database, of a small one
OLD_IMAGE = f"flaglearning/postgres:{TAG}-from-15"
COUNT = "SELECT count(*) || ' ' || sum(hashtext(t::text)) FROM flags_country AS t"
# The host's rows in a data directory of PostgreSQL 15, with a backup of it, and today's out of the way.
MAKE_OLD = """
BIN=/usr/lib/postgresql/15/bin; DATA=/var/lib/postgresql/15/data
mkdir -p $DATA
$BIN/initdb -D $DATA -U postgres -E UTF8 --locale=C.UTF-8 --data-checksums --auth=peer >/dev/null
export PGBACKREST_PG1_PATH=$DATA PGBACKREST_PG1_SOCKET_PATH=/tmp PGBACKREST_PG1_USER=postgres
$BIN/pg_ctl -D $DATA -w -l /tmp/log -o "-k /tmp -c listen_addresses= -c archive_mode=on \
	-c 'archive_command=pgbackrest --stanza=flaglearning archive-push %p'" start >/dev/null
psql -q -h /tmp -U postgres -c "CREATE ROLE flaglearning_owner" \
	-c "CREATE DATABASE flaglearning_prod OWNER flaglearning_owner"
PGOPTIONS="-c role=flaglearning_owner" psql -q -h /tmp -U postgres -d flaglearning_prod \
	-f /var/lib/postgresql/dump.sql >/tmp/out 2>&1
rm /var/lib/postgresql/dump.sql
sql() { psql -q -h /tmp -U postgres -d flaglearning_prod "$@"; }
sql -c "CREATE ROLE flaglearning_verifier LOGIN IN ROLE pg_read_all_data" -c ANALYZE
pgbackrest --stanza=flaglearning --no-online stanza-upgrade
pgbackrest --stanza=flaglearning --type=full backup
sql -c "DROP ROLE flaglearning_verifier"
$BIN/pg_ctl -D $DATA -m fast -w stop >/dev/null
rm -rf /var/lib/postgresql/17
"""
DUMP = """
pg_dump -h /run/postgresql -U postgres --no-owner --no-privileges -d flaglearning_prod >/var/lib/postgresql/dump.sql
"""


def sql(lab: Lab, statement: str, database: str = "flaglearning_prod") -> str:
    """What the superuser is told."""
    psql = ("psql", "-XAt", "-h", "/run/postgresql", "-U", "postgres", "-d", database, "-c", statement)
    return lab.exec("db1", *HERE, "exec", "-T", "postgres", *psql).strip()


def ops(lab: Lab, *words: str) -> str:
    return lab.exec("db1", "env", "--chdir=/opt/flaglearning", "./scripts/ops", *words)


@pytest.fixture(scope="module")
def next_version(lab: Lab) -> Iterator[Lab]:
    """The images of a checkout that has the next version of PostgreSQL."""
    preview.build()
    for name in ("app", "ops", "pgbouncer", "proxy"):
        run("docker", "tag", f"flaglearning/{name}:{TAG}", f"flaglearning/{name}:{TAG}-{preview.MAJOR}")
    yield lab
    lab.play("site.yml", *BUILT)


def test_site_refuses_data_of_another_version(next_version: Lab, players: Players) -> None:
    done = next_version.play("site.yml", *NEXT, check=False)
    assert done.returncode != 0
    assert "the data of db1 is of PostgreSQL 17, and this checkout has 18" in " ".join(done.stdout.split())
    assert (sql(next_version, "SHOW server_version")[:2], players.ask("db1")) == ("17", 200)


def test_a_rehearsal_that_fails_stops_the_upgrade(next_version: Lab, players: Players) -> None:
    """By a column of a type that pg_upgrade can't keep."""
    sql(next_version, "CREATE TABLE public.refused (f regproc)", "postgres")
    ops(next_version, "backup", "create", "--type", "full")
    started = sql(next_version, "SELECT pg_postmaster_start_time()")
    try:
        done = next_version.play("upgrade.yml", *NEXT, *CONFIRMED, check=False)
    finally:
        sql(next_version, "DROP TABLE public.refused", "postgres")
    assert done.returncode != 0
    assert "nothing was upgraded" in done.stdout
    assert "reg" in done.stdout
    assert (sql(next_version, "SELECT pg_postmaster_start_time()"), players.ask("db1")) == (started, 200)


def test_an_older_data_directory_is_upgraded(
    lab: Lab, players: Players, record_property: Callable[[str, object], None]
) -> None:
    before = sql(lab, COUNT)
    arguments = {"POSTGRES_IMAGE": f"flaglearning/postgres:{TAG}", "OLD_MAJOR": "15", "OLD_SUITE": "bookworm"}
    words = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    run("docker", "build", "--quiet", *words, "--tag", OLD_IMAGE, "docker/upgrade", timeout=600)
    host = f"{lab.name}-db1-1"
    run("bash", "-ec", f"set -o pipefail; docker save {OLD_IMAGE} | docker exec -i {host} docker load --quiet")
    lab.exec("db1", *HERE, "exec", "-T", "postgres", "sh", "-ec", DUMP)
    lab.exec("db1", *HERE, "stop", "backup", "postgres")
    old = ("env", "--chdir=/opt/flaglearning", f"POSTGRES_TAG={TAG}-from-15", "docker", "compose", "run", "--rm", "-T")
    lab.exec("db1", *old, "--no-deps", "--entrypoint", "bash", "restore", "-ec", MAKE_OLD)
    done = lab.play("upgrade.yml", *BUILT, *CONFIRMED, timeout=1800)
    said = " ".join(done.stdout.split())
    seconds = re.search(r"PostgreSQL 17 serves after ([\d.]+) s, ([\d.]+) s of them pg_upgrade", said)
    assert seconds, said[-3000:]
    record_property("measured", seconds[0])
    assert float(seconds[1]) <= AIM
    assert sql(lab, COUNT) == before
    eventually(lambda: players.ask("db1") == 200, within=60)
    ops(lab, "backup", "info")  # a full backup of the new version, and its WAL arrives
    assert ops(lab, "retained", "list").count("15/data") == 1


def test_without_an_upgrade_there_is_no_way_back(lab: Lab) -> None:
    lab.exec("db1", "rm", "-rf", "/opt/flaglearning-before-upgrade")
    done = lab.play("upgrade-back.yml", *CONFIRMED, check=False)
    assert done.returncode != 0
    assert "has no version to return to" in " ".join(done.stdout.split())
    assert sql(lab, "SHOW server_version")[:2] == "17"
