"""Least privilege, as each role meets it: what it may not do fails with 42501, what it needs works."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from support.postgres import Postgres

pytestmark = pytest.mark.usefixtures("table")

SUPERUSER_THINGS = [
    "ALTER SYSTEM SET work_mem = '1GB'",
    "COPY (SELECT 1) TO PROGRAM 'cat'",
    "COPY probe FROM '/etc/passwd'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT rolpassword FROM pg_authid",
    "CREATE ROLE intruder",
    "CREATE EXTENSION pg_trgm",
    "ALTER ROLE flaglearning_ops SUPERUSER",
    "ALTER ROLE postgres PASSWORD 'mine'",
    "ALTER DATABASE flaglearning_dev SET work_mem = '1GB'",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "SELECT pg_reload_conf()",
    "DROP DATABASE flaglearning_dev",
    "ALTER DATABASE flaglearning_dev OWNER TO CURRENT_USER",
    "CREATE PUBLICATION everything FOR ALL TABLES",
]
DEFINING = [
    "CREATE TABLE mine (id int)",
    "CREATE TEMPORARY TABLE mine (id int)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE INDEX ON probe (word)",
    "DROP TABLE probe",
    "TRUNCATE probe",
    "ALTER TABLE probe ADD COLUMN more int",
    "ALTER TABLE probe OWNER TO CURRENT_USER",
    "SET ROLE flaglearning_owner",
    "SET ROLE flaglearning_migrator",
]
WRITING = [
    "INSERT INTO probe (word) VALUES ('x')",
    "UPDATE probe SET word = 'x'",
    "DELETE FROM probe",
    "SELECT nextval('probe_id_seq')",
    "SELECT FROM probe FOR UPDATE",
]
READING_STATISTICS = [
    "SELECT pg_stat_statements_reset()",
    "SELECT pg_ls_waldir()",
]
# What logs a client in, or leads to it; and a table that pg/sql/readonly-grants.sql does not name.
TAKING_OVER = [
    "SELECT session_key FROM django_session",
    "SELECT session_data FROM django_session",
    "SELECT count(*) FROM django_session",
    "SELECT password FROM users_user",
    "SELECT * FROM users_user",
    "SELECT users_user::text FROM users_user",
    "SELECT id FROM users_user ORDER BY password",
    "COPY users_user (password) TO STDOUT",
    "SELECT passwd FROM pg_shadow",
    "SELECT query FROM pg_stat_statements",
    "SELECT object_repr FROM django_admin_log",
    "SELECT word FROM probe",
]
# What fills the disk.
FILLING = [
    "SET temp_file_limit = '100GB'",
    "SELECT lo_creat(-1)",
    "SELECT lo_create(4711)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_put(4711, 0, 'x')",
    "SELECT lowrite(0, 'x')",
    "SELECT lo_truncate(0, 1)",
    "SELECT lo_truncate64(0, 1)",
]
FORBIDDEN = {
    "app": [*SUPERUSER_THINGS, *DEFINING, *READING_STATISTICS, *FILLING],
    "readonly": [*SUPERUSER_THINGS, *DEFINING, *WRITING, *READING_STATISTICS, *TAKING_OVER, *FILLING],
    # It reads pg_authid: pg_read_all_data covers every table, and a dump of the roles needs it.
    "ops": [*(sql for sql in SUPERUSER_THINGS if "pg_authid" not in sql), *DEFINING, *WRITING, *FILLING],
    # The owner of the database may have trusted extensions, and may alter the database.
    "migrator": [
        *(sql for sql in SUPERUSER_THINGS if "flaglearning_dev" not in sql and "pg_trgm" not in sql),
        "CREATE EXTENSION file_fdw",
        "DROP EXTENSION pgaudit",
        # What privileged sessions would evaluate, whatever their search_path is.
        "CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()",
        "CREATE EVENT TRIGGER mine ON login EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()",
        "CREATE CAST (oid AS json) WITH INOUT AS IMPLICIT",
        "CREATE TYPE mine (INPUT = int4in, OUTPUT = int4out)",
        "CREATE OPERATOR CLASS mine FOR TYPE int4 USING btree AS OPERATOR 1 <",
        "CREATE ACCESS METHOD mine TYPE TABLE HANDLER heap_tableam_handler",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE c AS 'mine'",
        "CREATE FUNCTION pg_catalog.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OPERATOR pg_catalog.>= (LEFTARG = oid, RIGHTARG = integer, FUNCTION = int4ge)",
        "CREATE SUBSCRIPTION mine CONNECTION 'host=x' PUBLICATION p",
        "ALTER DATABASE flaglearning_dev SET session_preload_libraries = 'mine'",
        "ALTER DATABASE postgres SET search_path = public",
        "ALTER ROLE flaglearning_verifier SET search_path = public",
        "SET ROLE flaglearning_verifier",
    ],
    # It meets no table at all: it may connect to `postgres` only.
    "pgbouncer": [
        *(sql for sql in SUPERUSER_THINGS if "probe" not in sql),
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE TEMPORARY TABLE mine (id int)",
    ],
    # Nor does it.
    "monitor": [
        *(sql for sql in SUPERUSER_THINGS if "probe" not in sql),
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE TEMPORARY TABLE mine (id int)",
        "SELECT at FROM operations.heartbeat",
        "SELECT report FROM operations.drill",
        "SELECT pgbouncer.lookup('flaglearning_user')",
        "SELECT pg_stat_statements_reset()",
        "SELECT pg_switch_wal()",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pgbouncer'",
        "SET ROLE flaglearning_ops",
        "CHECKPOINT",
    ],
}
PERMITTED = {
    "app": [
        "SELECT word FROM probe",
        "INSERT INTO probe (word) VALUES ('x')",
        "UPDATE probe SET word = 'y' WHERE word = 'x'",
        "SELECT FROM probe FOR UPDATE",
        "DELETE FROM probe WHERE word = 'y'",
    ],
    "readonly": [
        "SELECT count(*) FROM flags_country",
        "SELECT id, email, display_name FROM users_user",
        "SELECT count(*) FROM users_userstats",
        "SELECT count(*) FROM django_migrations",
        "COPY flags_country TO STDOUT",
    ],
    "ops": [
        "SELECT word FROM probe",
        "SELECT query FROM pg_stat_statements LIMIT 1",
        "SELECT pg_stat_statements_reset()",
        "SELECT pg_ls_waldir()",
        "SELECT count(*) FROM pg_stat_activity WHERE query <> ''",
        "VACUUM (ANALYZE) probe",
        "REINDEX TABLE probe",
        "LOCK TABLE probe",
    ],
    "monitor": [
        "SELECT query FROM pg_stat_activity",
        "SELECT pg_database_size('flaglearning_dev')",
        "SELECT * FROM pg_stat_archiver",
    ],
    "migrator": [
        "CREATE TABLE mine (id int)",
        "ALTER TABLE mine ADD COLUMN more int",
        "CREATE INDEX ON mine (more)",
        "TRUNCATE mine",
        "DROP TABLE mine",
        "SELECT lo_unlink(lo_from_bytea(0, 'x'))",
    ],
}


@pytest.fixture(scope="module")
def sessions(postgres: Postgres) -> Iterator[dict[str, psycopg.Connection]]:
    """One session for each role. readonly's refusals are to come from privileges, not from read-only transactions."""
    writing = {"options": "-c default_transaction_read_only=off"}
    changes = {"pgbouncer": {"dbname": "postgres"}, "monitor": {"dbname": "postgres", **writing}, "readonly": writing}
    opened = {role: postgres.connect(role, **changes.get(role, {})) for role in FORBIDDEN}
    yield opened
    for connection in opened.values():
        connection.close()


@pytest.mark.parametrize(("role", "sql"), [(role, sql) for role, acts in FORBIDDEN.items() for sql in acts])
def test_forbidden(sessions: dict[str, psycopg.Connection], role: str, sql: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        attempt(sessions[role], sql)


@pytest.mark.parametrize("role", PERMITTED)
def test_permitted(sessions: dict[str, psycopg.Connection], role: str) -> None:
    for sql in PERMITTED[role]:
        attempt(sessions[role], sql)


def attempt(session: psycopg.Connection, sql: str) -> None:
    """Run it; COPY speaks a protocol of its own."""
    if sql.startswith("COPY") and sql.endswith("STDOUT"):
        with session.cursor() as cursor, cursor.copy(sql.encode()) as rows:
            list(rows)
    elif sql.startswith("LOCK"):
        with session.transaction():
            session.execute(sql.encode())
    else:
        session.execute(sql.encode())


def test_readonly_reads_no_statistics_of_a_column_that_it_may_not_read(postgres: Postgres) -> None:
    postgres.superuser("ANALYZE users_user, flags_country", database=postgres.stack.database)
    columns = "SELECT count(*) FROM pg_stats WHERE (tablename, attname) = ('{}', '{}')"
    assert postgres.value("readonly", columns.format("users_user", "password")) == 0
    assert postgres.value("readonly", columns.format("flags_country", "name")) == 1


def test_readonly_has_no_role_that_reads_everything(postgres: Postgres) -> None:
    roles = "SELECT count(*) FROM pg_auth_members WHERE member = 'flaglearning_readonly'::regrole"
    assert postgres.value("readonly", roles) == 0


# What a host that speaks pgBackRest's protocol may try (ADR 8), in `postgres`, the only database that the role opens.
NOT_FOR_BACKUPS = [
    *(sql for sql in SUPERUSER_THINGS if "probe" not in sql),
    "SELECT * FROM operations.heartbeat",
    "SELECT pgbouncer.lookup('flaglearning_ops')",
    "SELECT pg_read_binary_file('global/pg_control')",
    "SELECT pg_ls_dir('.')",
    "SELECT pg_promote()",
    "CHECKPOINT",
    "CREATE TABLE mine (id int)",
    "CREATE TEMPORARY TABLE mine (id int)",
    "SET ROLE flaglearning_ops",
]


def as_backup(postgres: Postgres, sql: str, database: str = "postgres") -> str:
    """What psql prints, through the socket: the role's only way in."""
    words = ("psql", "-XAtq", "-v", "VERBOSITY=verbose", "-h", "/run/postgresql", "-U", "flaglearning_backup", database)
    return postgres.stack.exec("postgres", *words, stdin=sql, check=False).strip()


@pytest.mark.parametrize("sql", NOT_FOR_BACKUPS)
def test_backups_role_may_not(postgres: Postgres, sql: str) -> None:
    assert "ERROR:  42501:" in as_backup(postgres, sql)


def test_backups_role_opens_no_other_database_and_runs_a_backup(postgres: Postgres) -> None:
    assert "FATAL:" in as_backup(postgres, "SELECT 1", postgres.stack.database)
    run = "SELECT pg_backup_start('probe', true) > '0/0';"
    run += " SELECT lsn > '0/0' FROM pg_backup_stop(false); SHOW data_directory"
    assert as_backup(postgres, run).splitlines()[-3:-1] == ["t", "t"]


def test_readonly_writes_nothing_even_by_mistake(postgres: Postgres) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        postgres.value("readonly", "DELETE FROM flags_country RETURNING 1")


@pytest.mark.parametrize("role", ["app", "readonly"])
def test_a_sort_cannot_fill_the_disk(postgres: Postgres, role: str) -> None:
    assert postgres.value(role, "SHOW temp_file_limit") == "1GB"
    # A lower limit for this test: the same error, without a gigabyte.
    postgres.superuser(f"ALTER ROLE {postgres.stack.role(role)} SET temp_file_limit = '1MB'")
    try:
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded, match="temp_file_limit"):
            postgres.value(role, "SELECT n FROM generate_series(1, 1000000) AS n ORDER BY n DESC, n::text")
    finally:
        postgres.superuser(f"ALTER ROLE {postgres.stack.role(role)} SET temp_file_limit = '1GB'")


def test_ops_may_end_a_backend(postgres: Postgres) -> None:
    with postgres.connect("app") as victim:
        assert postgres.value("ops", f"SELECT pg_terminate_backend({victim.info.backend_pid}, 2000)")
        with pytest.raises(psycopg.OperationalError):
            victim.execute("SELECT 1")


def test_app_may_not_end_anothers_backend(postgres: Postgres) -> None:
    with postgres.connect("readonly") as other, pytest.raises(InsufficientPrivilege):
        postgres.value("app", f"SELECT pg_terminate_backend({other.info.backend_pid})")


def test_what_a_migration_creates_belongs_to_the_owner(postgres: Postgres) -> None:
    owner = postgres.value("ops", "SELECT tableowner FROM pg_tables WHERE tablename = 'probe'")
    assert owner == "flaglearning_owner"


def test_a_migrations_function_is_not_everybodys(postgres: Postgres) -> None:
    with postgres.connect("migrator") as migrator:
        migrator.execute("CREATE OR REPLACE FUNCTION secret_sum() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        try:
            with pytest.raises(InsufficientPrivilege):
                postgres.value("app", "SELECT secret_sum()")
        finally:
            migrator.execute("DROP FUNCTION secret_sum()")


def test_app_may_create_a_test_database_in_development(postgres: Postgres) -> None:
    with postgres.connect("app", dbname="postgres") as app:
        app.execute("CREATE DATABASE test_flaglearning_probe")
        app.execute("DROP DATABASE test_flaglearning_probe")


def test_everybodys_schema_takes_no_objects(postgres: Postgres) -> None:
    assert (
        postgres.superuser(
            "SELECT nspacl FROM pg_namespace WHERE nspname = 'public' AND nspacl::text ~ '[,{]='", "flaglearning_dev"
        )
        == ""
    )


# ------------------------------------------------------------ the pooler's password lookup

LOOKUP = "SELECT count(*) FROM pgbouncer.lookup('{}')"


@pytest.mark.parametrize(
    "name", ["flaglearning_user", "flaglearning_readonly", "flaglearning_ops", "flaglearning_monitor"]
)
def test_lookup_knows_who_uses_the_pool(postgres: Postgres, name: str) -> None:
    assert postgres.value("pgbouncer", LOOKUP.format(name), dbname="postgres") == 1


@pytest.mark.parametrize(
    "name", ["postgres", "flaglearning_migrator", "flaglearning_owner", "pgbouncer", "no_such_role", ""]
)
def test_lookup_says_nothing_about_others(postgres: Postgres, name: str) -> None:
    assert postgres.value("pgbouncer", LOOKUP.format(name), dbname="postgres") == 0


@pytest.mark.parametrize("change", ["VALID UNTIL '2020-01-01'", "NOLOGIN", "SUPERUSER"])
def test_lookup_says_nothing_about_a_role_that(postgres: Postgres, change: str) -> None:
    undo = {"VALID UNTIL '2020-01-01'": "VALID UNTIL 'infinity'", "NOLOGIN": "LOGIN", "SUPERUSER": "NOSUPERUSER"}[
        change
    ]
    postgres.superuser(f"ALTER ROLE flaglearning_readonly {change}")
    try:
        assert postgres.value("pgbouncer", LOOKUP.format("flaglearning_readonly"), dbname="postgres") == 0
    finally:
        postgres.superuser(f"ALTER ROLE flaglearning_readonly {undo}")


@pytest.mark.parametrize("role", ["app", "ops"])
def test_nobody_else_may_look_up(postgres: Postgres, role: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        postgres.value(role, LOOKUP.format("flaglearning_user"), dbname="postgres")
