"""The privileged helper's steps of a restore: each validates its names, can be repeated, and leaves the dump's role
nothing.
"""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from support.postgres import Postgres
from testing.shell import eventually
from testing.stack import Stack

# What a dump may contain that has an owner, as its role creates it.
OWNED = """
    SET SESSION AUTHORIZATION flaglearning_restorer;
    CREATE TABLE loaded (id int PRIMARY KEY, word text); INSERT INTO loaded VALUES (1, 'x');
    CREATE VIEW seen AS SELECT id FROM loaded; CREATE MATERIALIZED VIEW kept AS SELECT id FROM loaded;
    CREATE SEQUENCE counter; CREATE SCHEMA own; CREATE TABLE own.more (id int);
    CREATE TYPE colour AS ENUM ('red'); CREATE DOMAIN word AS text; CREATE TYPE span AS RANGE (SUBTYPE = float8);
    CREATE FUNCTION public.one() RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION public.plus(int, int) RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE OPERATOR public.@@@ (LEFTARG = int, RIGHTARG = int, FUNCTION = public.plus);
    CREATE AGGREGATE public.total(int) (SFUNC = int4pl, STYPE = int);
    CREATE COLLATION public.plain FROM "C"; CREATE STATISTICS public.s ON id, word FROM loaded;
    CREATE TEXT SEARCH CONFIGURATION public.c (COPY = simple);
    CREATE TEXT SEARCH DICTIONARY public.d (TEMPLATE = simple);
    CREATE PUBLICATION p FOR TABLE loaded; CREATE EXTENSION pg_trgm;
    CREATE FUNCTION public.hidden() RETURNS int LANGUAGE sql AS 'SELECT 1';
    ALTER EXTENSION pg_trgm ADD FUNCTION public.hidden();
    SELECT pg_catalog.lo_create(4711);
    GRANT SELECT ON loaded TO PUBLIC; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;
    SELECT pg_catalog.format('ALTER DATABASE %I SET search_path = own, public', pg_catalog.current_database()) \\gexec
    SELECT pg_catalog.format('ALTER DATABASE %I CONNECTION LIMIT 0', pg_catalog.current_database()) \\gexec
"""
LEFT = """
    SELECT classid::regclass, objid FROM pg_shdepend
    WHERE refclassid = 'pg_authid'::regclass AND refobjid = {oid}::oid
"""
SETTINGS = """
    SELECT setconfig FROM pg_db_role_setting AS s JOIN pg_database AS d ON d.oid = s.setdatabase WHERE d.datname = '{}'
"""
SWAP_BACK = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname ~ '^{application}' AND pid <> pg_backend_pid();
    BEGIN; ALTER DATABASE {application} RENAME TO {staging}; ALTER DATABASE {retained} RENAME TO {application}; COMMIT;
"""


PASSWORD = "of-one-restore-and-longer-than-32-characters"


def pgadmin(stack: Stack, verb: str, /, stdin: str = "", **parameters: Any) -> tuple[int, Any, str]:
    """Its exit status, its JSON, its errors."""
    words = [verb, json.dumps(parameters)] if parameters else [verb]
    run = ("docker", "compose", "run", "--rm", "--no-deps", "-T", "--entrypoint", "pgadmin", "roles")
    done = stack.command(*run, *words, stdin=stdin, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None, done.stderr


@pytest.fixture
def staging(stack: Stack) -> Iterator[str]:
    status, made, err = pgadmin(stack, "create-staging", stdin=PASSWORD)
    assert status == 0, err
    yield made["database"]
    pgadmin(stack, "drop-staging", database=made["database"])


def databases(postgres: Postgres) -> list[str]:
    return postgres.superuser("SELECT datname FROM pg_database").split()


def test_nothing_stays_the_restorers_and_the_databases_settings_are_reset(
    stack: Stack, postgres: Postgres, staging: str
) -> None:
    oid = postgres.superuser("SELECT 'flaglearning_restorer'::regrole::oid")
    postgres.superuser(OWNED, database=staging)
    status, _, err = pgadmin(stack, "reassign", database=staging)
    assert status == 0, err
    assert postgres.superuser(LEFT.format(oid=oid), database=staging) == ""
    assert postgres.superuser("SELECT count(*) FROM pg_roles WHERE rolname = 'flaglearning_restorer'") == "0"
    owner = "SELECT pg_get_userbyid(datdba), datconnlimit, datistemplate FROM pg_database WHERE datname = '{}'"
    assert postgres.superuser(owner.format(staging)) == "flaglearning_owner|-1|f"
    extension = "SELECT pg_get_userbyid(extowner) FROM pg_extension WHERE extname = 'pg_trgm'"
    assert postgres.superuser(extension, database=staging) == "flaglearning_owner"
    assert postgres.superuser(SETTINGS.format(staging)) == ""
    assert pgadmin(stack, "reassign", database=staging)[0] == 0, "repeated after a kill"


def test_a_second_restore_is_refused_and_one_that_was_killed_is_cleared_away(
    stack: Stack, postgres: Postgres, staging: str
) -> None:
    restorer = postgres.parameters("migrator", dbname=staging, user="flaglearning_restorer", password=PASSWORD)
    with psycopg.connect(**restorer):
        status, _, err = pgadmin(stack, "create-staging", stdin=PASSWORD)
        assert (status, "another restore is under way" in err) == (1, True)
        assert staging in databases(postgres)
    status, made, err = pgadmin(stack, "create-staging", stdin=PASSWORD)
    assert status == 0, err
    assert staging not in databases(postgres)
    assert pgadmin(stack, "drop-staging", database=made["database"]) == (0, {"dropped": True}, "")
    assert pgadmin(stack, "drop-staging", database=made["database"])[:2] == (0, {"dropped": False})


def test_it_takes_the_place_of_the_applications_database_which_is_retained(
    stack: Stack, postgres: Postgres, staging: str
) -> None:
    postgres.superuser("CREATE TABLE public.from_the_dump ()", database=staging)
    assert pgadmin(stack, "reassign", database=staging)[0] == 0
    status, renamed, err = pgadmin(stack, "rename", database=staging)
    assert status == 0, err
    retained = renamed["retained"]
    try:
        assert renamed["database"] == stack.database
        assert postgres.superuser("SELECT to_regclass('public.from_the_dump')", stack.database) == "from_the_dump"
    finally:
        swap_back = SWAP_BACK.format(application=stack.database, staging=staging, retained=retained)
        # A client may connect again between the statements.
        eventually(lambda: "ERROR" not in postgres.superuser(swap_back, check=False), within=30)
    assert pgadmin(stack, "drop-retained", name=retained)[0] == 4, "it is no retained one any more"


REFUSED: list[tuple[str, dict[str, Any], int]] = [
    ("reassign", {"database": "postgres"}, 2),
    ("rename", {"database": "flaglearning_dev"}, 2),
    ("drop-staging", {"database": "flaglearning_dev"}, 2),
    ("drop-staging", {"database": 'x"; DROP DATABASE postgres'}, 2),
    ("drop-retained", {"name": "flaglearning_dev"}, 4),
    ("drop-retained", {"name": "flaglearning_dev_before_20260101t000000"}, 4),
    ("drop-staging", {}, 2),
    ("drop-staging", {"database": "x", "more": 1}, 2),
    ("nothing", {}, 2),
]


@pytest.mark.parametrize(("verb", "parameters", "status"), REFUSED)
def test_another_name_is_refused(stack: Stack, verb: str, parameters: dict[str, Any], status: int) -> None:
    found, _, err = pgadmin(stack, verb, **parameters)
    assert found == status
    assert "ERROR:" in err
    assert "HINT:" in err
    assert "Traceback" not in err


def test_the_new_name_is_one_that_pg_hba_admits(stack: Stack, staging: str) -> None:
    for name in ("postgres", "elsewhere", "flaglearning_" + "x" * 26, "flaglearning_dev"):
        assert pgadmin(stack, "rename", database=staging, into=name)[0] == 2
