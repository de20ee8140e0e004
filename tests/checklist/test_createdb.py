"""Item 3: the application reads and writes rows, and has no other privilege; CREATEDB above all."""
# ruff: noqa: S608 -- the only names that are pasted into SQL here are this stack's own role names

import secrets

from checklist.api import Evidence, check, deviates
from checklist.client import Client, Superuser
from checklist.target import Target

APPLY = "roles drifted from pg/sql/10-roles.sql; `docker compose up roles` brings them back"
FOR_TESTS = "Django's test runner creates and drops test_flaglearning_dev"


@check("PRIV-01", claim="no role but the superuser has CREATEDB", remedy=APPLY)
def test_no_role_has_createdb(target: Target, superuser: Superuser, evidence: Evidence) -> None:
    rows = superuser.rows(
        "SELECT rolname, CASE WHEN rolsuper THEN 'superuser'"
        " WHEN rolcreatedb THEN 'CREATEDB' ELSE 'NOCREATEDB' END AS what"
        " FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1"
    )
    for row in rows:
        evidence(f"{row['rolname']}: {row['what']}")
    holders = [row["rolname"] for row in rows if row["what"] == "CREATEDB"]
    if holders == [target.app_role] and target.development:
        deviates(f"{target.app_role} has CREATEDB: {FOR_TESTS}")
    assert not holders, f"CREATEDB: {', '.join(holders)}"


@check(
    "PRIV-02", claim="CREATE DATABASE as the application is refused, at the server and through the pooler", remedy=APPLY
)
def test_create_database_is_refused(target: Target, superuser: Superuser, beside: Client, evidence: Evidence) -> None:
    created = []
    for endpoint in target.endpoints:
        name = f"checklist_probe_{secrets.token_hex(4)}"
        answer = beside.login(endpoint, target.app_role, "app_password", f"CREATE DATABASE {name}")
        if answer.ok:
            created.append(str(endpoint))
            superuser.rows(f"DROP DATABASE {name}", "postgres")
            evidence(f"{endpoint}: CREATE DATABASE was accepted; the database was dropped again")
        else:
            evidence(f"{endpoint}: {answer}")
            assert "42501" in answer.text, f"refused, but not with insufficient_privilege: {answer}"
    if created and target.development:
        deviates(f"{target.app_role} has CREATEDB: {FOR_TESTS}")
    assert not created, f"{target.app_role} created a database at: {', '.join(created)}"


@check(
    "PRIV-03",
    claim="no role but postgres has SUPERUSER, CREATEROLE or REPLICATION (a cluster's replicator has the last);"
    " BYPASSRLS only who reads all rows",
    remedy=APPLY,
)
def test_no_dangerous_attributes(target: Target, superuser: Superuser, evidence: Evidence) -> None:
    rows = superuser.rows(
        "SELECT rolname, concat_ws(' ', CASE WHEN rolsuper THEN 'SUPERUSER' END,"
        " CASE WHEN rolcreaterole THEN 'CREATEROLE' END,"
        " CASE WHEN rolreplication THEN 'REPLICATION' END, CASE WHEN rolbypassrls THEN 'BYPASSRLS' END) AS attributes"
        " FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1"
    )
    for row in rows:
        evidence(f"{row['rolname']}: {row['attributes'] or 'none of these'}")
    expected = {"flaglearning_ops": "BYPASSRLS", "flaglearning_verifier": "BYPASSRLS"}  # dumps, checksums of rows
    if target.members:
        expected["flaglearning_replicator"] = "REPLICATION"
    dangerous = [
        row["rolname"]
        for row in rows
        if row["rolname"] != "postgres" and row["attributes"] not in ("", expected.get(row["rolname"], ""))
    ]
    assert not dangerous, f"too powerful: {', '.join(dangerous)}"


@check("PRIV-04", claim="the application is a member of no role and can't SET ROLE to one", remedy=APPLY)
def test_application_is_in_no_role(target: Target, superuser: Superuser, beside: Client, evidence: Evidence) -> None:
    roles = superuser.rows(
        f"SELECT rolname FROM pg_roles WHERE rolname <> '{target.app_role}'"
        f" AND pg_has_role('{target.app_role}', oid, 'MEMBER')"
    )
    evidence(f"{target.app_role} is a member of: {', '.join(row['rolname'] for row in roles) or 'nothing'}")
    endpoint = target.endpoint("postgres")
    attempts = {
        role: beside.attempt(endpoint, target.app_role, "app_password", f"SET ROLE {role}")
        for role in ("postgres", "flaglearning_owner")
    }
    for role, answer in beside.try_all(attempts).items():
        evidence(f"SET ROLE {role}: {answer}")
        assert "42501" in answer.text, f"{target.app_role} became {role}: {answer}"
    assert not roles, f"{target.app_role} is a member of {', '.join(row['rolname'] for row in roles)}"


@check("PRIV-05", claim="the application owns nothing and can't create, alter, empty or drop anything", remedy=APPLY)
def test_application_owns_nothing(target: Target, superuser: Superuser, beside: Client, evidence: Evidence) -> None:
    owned = superuser.value(
        f"SELECT (SELECT count(*) FROM pg_class WHERE relowner = '{target.app_role}'::regrole)"
        f" + (SELECT count(*) FROM pg_namespace WHERE nspowner = '{target.app_role}'::regrole)"
        f" + (SELECT count(*) FROM pg_proc WHERE proowner = '{target.app_role}'::regrole)"
        f" + (SELECT count(*) FROM pg_database WHERE datdba = '{target.app_role}'::regrole AND datname !~ '^test_')"
    )
    evidence(f"{target.app_role} owns {owned} relations, schemas, functions and databases")
    # Each in a transaction that is rolled back, should it be let through. On a table that any Django application has.
    acts = (
        "CREATE TABLE public.checklist_probe (a int)",
        "CREATE TEMPORARY TABLE checklist_probe (a int)",
        "CREATE SCHEMA checklist_probe",
        "CREATE EXTENSION hstore",
        "ALTER TABLE django_migrations ADD COLUMN probe int",
        "TRUNCATE django_migrations CASCADE",
        "DROP TABLE django_migrations CASCADE",
    )
    endpoint = target.endpoint("postgres")
    attempts = {
        act: beside.attempt(endpoint, target.app_role, "app_password", f"BEGIN; {act}; ROLLBACK") for act in acts
    }
    for act, answer in beside.try_all(attempts).items():
        evidence(f"{act}: {answer}")
        assert "42501" in answer.text, f"{target.app_role} may {act}: {answer}"
    assert owned == "0", f"{target.app_role} owns {owned} objects"


@check(
    "PRIV-06",
    claim="the superuser can't log in over the network, with any password",
    remedy="keep `host all postgres all reject` above every other TCP line of pg_hba.conf",
)
def test_superuser_is_local(target: Target, beside: Client, evidence: Evidence) -> None:
    attempts = {
        f"{endpoint}/{database}": beside.attempt(endpoint, "postgres", "ops_password", dbname=database)
        for endpoint in target.endpoints
        for database in (target.database, "postgres")
    }
    for where, answer in beside.try_all(attempts).items():
        evidence(f"postgres at {where}: {answer}")
        # A wrong password would be refused as well; the endpoint has to refuse the role itself.
        assert not answer.ok, f"the superuser logged in at {where}"
        assert "password" not in answer.text, f"the superuser was asked for its password at {where}: {answer}"


@check("PRIV-07", claim="the read-only role can't write", remedy=APPLY)
def test_readonly_reads(target: Target, beside: Client, evidence: Evidence) -> None:
    endpoint = target.endpoint("postgres")
    read = "SELECT count(*) FROM django_migrations"
    # Its sessions are read only by default, which it may change itself; the privilege must be missing as well.
    writes = (
        "DELETE FROM django_migrations",
        "UPDATE django_migrations SET name = ''",
        "CREATE TABLE public.probe (a int)",
    )
    commands = {read: read, **{act: f"BEGIN READ WRITE; {act}; ROLLBACK" for act in writes}}
    answers = beside.try_all(
        {
            name: beside.attempt(endpoint, "flaglearning_readonly", "readonly_password", sql)
            for name, sql in commands.items()
        }
    )
    for name, answer in answers.items():
        evidence(f"{name}: {answer}")
    assert answers.pop(read).ok, "the read-only role can't even read, so the refusals prove nothing"
    for act, answer in answers.items():
        assert "42501" in answer.text, f"the read-only role may {act}: {answer}"


# Django's accounts, whatever the application calls their table.
TABLES_WITH_PASSWORDS = """
    SELECT format('public.%I', c.relname) AS name FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'password'"""


@check("PRIV-08", claim="the read-only role reads no session key and no password hash", remedy=APPLY)
def test_readonly_takes_over_no_account(
    target: Target, superuser: Superuser, beside: Client, evidence: Evidence
) -> None:
    read = "SELECT count(app) FROM django_migrations"
    accounts = [row["name"] for row in superuser.rows(TABLES_WITH_PASSWORDS)]
    secrets = ["SELECT session_key FROM django_session"]
    secrets += [f"SELECT {columns} FROM {table}" for table in accounts for columns in ("password", "*")]
    answers = beside.try_all(
        {
            sql: beside.attempt(
                target.endpoint("postgres"), "flaglearning_readonly", "readonly_password", f"{sql} LIMIT 0"
            )
            for sql in (read, *secrets)
        }
    )
    for sql, answer in answers.items():
        evidence(f"{sql}: {answer}")
    assert answers.pop(read).ok, "the read-only role can't even read, so the refusals prove nothing"
    for sql, answer in answers.items():
        assert "42501" in answer.text, f"the read-only role may {sql}: {answer}"
