"""pg/sql/apply.sql: a second run changes nothing, a run after drift restores the policy, sessions are undisturbed."""

import psycopg
import pytest

from support.postgres import Bouncer, Postgres
from testing.stack import Stack

# Everything that apply.sql decides, as text. xmin would show a row that was written again; oids and times are left out.
SNAPSHOT = """
    SELECT 'role', r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication,
           r.rolbypassrls, r.rolconnlimit, r.rolvaliduntil, r.rolpassword
        FROM pg_authid r WHERE rolname !~ '^pg_' ORDER BY 2;
    SELECT 'member', roleid::regrole, member::regrole, grantor::regrole, admin_option, inherit_option, set_option
        FROM pg_auth_members ORDER BY 2, 3;
    SELECT 'setting', setdatabase, setrole::regrole, setconfig FROM pg_db_role_setting ORDER BY 2, 3;
    SELECT 'database', datname, datdba::regrole, datconnlimit, datistemplate,
           (SELECT array_agg(a ORDER BY a::text) FROM unnest(datacl) a)
        FROM pg_database ORDER BY 2;
    SELECT 'schema', nspname, nspowner::regrole, (SELECT array_agg(a ORDER BY a::text) FROM unnest(nspacl) a)
        FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 2;
    SELECT 'relation', oid::regclass, relowner::regrole, (SELECT array_agg(a ORDER BY a::text) FROM unnest(relacl) a)
        FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 2;
    SELECT 'column', attrelid::regclass, attname, (SELECT array_agg(a ORDER BY a::text) FROM unnest(attacl) a)
        FROM pg_attribute WHERE attacl IS NOT NULL AND attrelid >= 16384 ORDER BY 2, 3;
    SELECT 'function', oid::regprocedure, proowner::regrole,
           (SELECT array_agg(a ORDER BY a::text) FROM unnest(proacl) a)
        FROM pg_proc WHERE pronamespace::regnamespace::text !~ '^pg_|information' OR proname ~ '^lo' ORDER BY 2;
    SELECT 'default', defaclrole::regrole, defaclnamespace, defaclobjtype, defaclacl
        FROM pg_default_acl ORDER BY 2, 3, 4;
    SELECT 'extension', extname, extversion FROM pg_extension ORDER BY 2;
"""

DRIFT = {
    "a superuser": "ALTER ROLE flaglearning_user SUPERUSER",
    "a creator of roles": "ALTER ROLE flaglearning_user CREATEROLE BYPASSRLS REPLICATION",
    "a member of the owner": "GRANT flaglearning_owner TO flaglearning_user",
    "an admin of a role": "GRANT pg_read_all_data TO flaglearning_readonly WITH ADMIN OPTION",
    "the owner may log in": "ALTER ROLE flaglearning_owner LOGIN",
    "no limit": "ALTER ROLE flaglearning_user CONNECTION LIMIT -1",
    "no timeout": "ALTER ROLE flaglearning_user SET statement_timeout = 0",
    "a setting of its own": "ALTER ROLE flaglearning_user SET session_replication_role = 'replica'",
    "another password": "ALTER ROLE flaglearning_readonly PASSWORD 'another'",
    "PUBLIC may connect": "GRANT CONNECT, TEMPORARY ON DATABASE flaglearning_dev TO PUBLIC",
    "the app may create": "GRANT CREATE ON DATABASE flaglearning_dev TO flaglearning_user",
    "another owner of the database": "ALTER DATABASE flaglearning_dev OWNER TO flaglearning_user",
    "a setting of the database": "ALTER DATABASE flaglearning_dev SET search_path = public, pg_catalog",
    "a setting of a role in the database": "ALTER ROLE flaglearning_ops IN DATABASE flaglearning_dev SET jit = on",
    "a connection limit of the database": "ALTER DATABASE flaglearning_dev CONNECTION LIMIT 0",
    "a template": "ALTER DATABASE flaglearning_dev IS_TEMPLATE true",
    "the verifier may write": "GRANT pg_write_all_data TO flaglearning_verifier",
    "the verifier has a password": "ALTER ROLE flaglearning_verifier PASSWORD 'another'",
    "PUBLIC may create": "GRANT CREATE ON SCHEMA public TO PUBLIC",
    "the app may create in public": "GRANT CREATE ON SCHEMA public TO flaglearning_user",
    "the app may truncate": "GRANT TRUNCATE, TRIGGER ON probe TO flaglearning_user",
    "readonly may write": "GRANT INSERT ON probe TO flaglearning_readonly",
    "readonly may read sessions": "GRANT SELECT ON django_session TO flaglearning_readonly",
    "readonly may read passwords": "GRANT SELECT (password) ON users_user TO flaglearning_readonly",
    "readonly lost a column": "REVOKE SELECT (email) ON users_user FROM flaglearning_readonly",
    "readonly may read what comes": """ALTER DEFAULT PRIVILEGES FOR ROLE flaglearning_owner IN SCHEMA public
                                       GRANT SELECT ON TABLES TO flaglearning_readonly""",
    "PUBLIC may create large objects": "GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC",
    "a right was lost": "REVOKE SELECT ON probe FROM flaglearning_user",
    "readonly may write what comes": """ALTER DEFAULT PRIVILEGES FOR ROLE flaglearning_owner IN SCHEMA public
                                        GRANT INSERT ON TABLES TO flaglearning_readonly""",
}  # fmt: skip


def snapshot(postgres: Postgres) -> list[str]:
    lines = postgres.superuser(SNAPSHOT, database=postgres.stack.database).splitlines()
    # the verifier of a changed password has another salt
    return [line.rpartition("|")[0] if "SCRAM-SHA-256$" in line else line for line in lines]


def verifiers(postgres: Postgres) -> str:
    return postgres.superuser("SELECT rolname, rolpassword FROM pg_authid ORDER BY 1")


def apply(stack: Stack) -> str:
    return stack.compose("run", "--rm", "--no-deps", "roles")


def test_the_second_time_changes_nothing(stack: Stack, postgres: Postgres, table: str) -> None:
    before = snapshot(postgres), verifiers(postgres)
    apply(stack)
    assert (snapshot(postgres), verifiers(postgres)) == before


@pytest.mark.parametrize("drift", DRIFT.values(), ids=DRIFT)
def test_a_drift_is_repaired(stack: Stack, postgres: Postgres, table: str, drift: str) -> None:
    before = snapshot(postgres), len(verifiers(postgres))
    postgres.superuser(drift, database=stack.database)
    changed = verifiers(postgres) if "PASSWORD" in drift else snapshot(postgres)
    assert changed != before[0], "this drift isn't in the snapshot"
    apply(stack)
    assert (snapshot(postgres), len(verifiers(postgres))) == before


def test_a_database_that_takes_no_connections_takes_them_again(stack: Stack, postgres: Postgres) -> None:
    postgres.superuser(f"ALTER DATABASE {stack.database} ALLOW_CONNECTIONS false")
    apply(stack)
    assert postgres.value("app", "SELECT 1") == 1


def test_clients_stay_connected(stack: Stack, postgres: Postgres, app: psycopg.Connection) -> None:
    with postgres.connect("app") as direct, app.transaction():
        app.execute("SELECT 1")
        apply(stack)
        assert app.execute("SELECT 1").fetchone() == direct.execute("SELECT 1").fetchone() == (1,)


def test_new_clients_get_in_while_it_runs(stack: Stack, bouncer: Bouncer) -> None:
    apply(stack)
    bouncer.admin("RECONNECT")
    assert bouncer.value("app", "SELECT 1") == 1


@pytest.mark.parametrize(("variable", "message"), [("DEPLOYMENT=staging", "DEPLOYMENT is 'staging'")])
def test_a_bad_value_is_one_sentence(stack: Stack, variable: str, message: str) -> None:
    done = stack.command("docker", "compose", "run", "--rm", "--no-deps", "--env", variable, "roles", check=False)
    assert done.returncode == 2
    assert f"ERROR: {message}" in done.stderr
    assert "HINT:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("variable", ["APP_DATABASE", "APP_ROLE"])
def test_a_hostile_name_is_refused(stack: Stack, postgres: Postgres, variable: str) -> None:
    hostile = f"{variable}=x'; DROP DATABASE flaglearning_dev; --"
    done = stack.command("docker", "compose", "run", "--rm", "--no-deps", "--env", hostile, "roles", check=False)
    assert done.returncode == 2
    assert postgres.value("app", "SELECT 1") == 1
