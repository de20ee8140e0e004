"""The databases of restores, and the reset of a development database.

A restore (scripts/lib/ops/flows/restore_dump.py) loads a dump into a staging database, DATABASE_restoring_TOKEN, as
flaglearning_restorer: a role that is made for it, owns this one database, may connect to no other, is a member of
nothing and is gone afterwards. A dump is another author's SQL: what it does, it does as that role. The steps:

    create-staging → (load) → reassign → (check) → rename | drop-staging

Only one restore runs at a time: a staging database in which the restorer, or ops, has a session belongs to a restore
that is under way; one without was left by a restore that was killed, and is dropped.
"""

import os
import re
import secrets
import sys
import time
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from pgadmin import policy
from pgadmin.session import Session, connect
from user_errors import OperationError, Status, UserError

RESTORER = "flaglearning_restorer"
OWNER = "flaglearning_owner"
STAGING = re.compile(r"flaglearning_[a-z0-9_]+_restoring_[0-9a-f]{8}")
NEW_NAME = re.compile(r"flaglearning_[a-z0-9_]{1,25}")  # pg_hba.conf admits no other names


def application() -> str:
    """APP_DATABASE. Raises UserError for a name that this project never gives."""
    name = os.environ.get("APP_DATABASE", "")
    if not re.fullmatch(r"flaglearning_[a-z0-9_]+", name):
        raise UserError(f"APP_DATABASE is '{name}', no name of the application's database", "unset APP_DATABASE")
    return name


def databases(server: Session) -> list[str]:
    """All of them."""
    return [row["datname"] for row in server.rows("SELECT datname::text FROM pg_catalog.pg_database ORDER BY 1")]


def staging_name(name: str) -> str:
    """The name, if it is a staging database's. Raises UserError."""
    if not STAGING.fullmatch(name):
        raise UserError(f"'{name}' is not a staging database", "./scripts/ops restore dump creates one")
    return name


# ------------------------------------------------------------ steps of a restore


def create_staging() -> dict[str, Any]:
    """A new staging database and its role: {"database": NAME}. Standard input: the role's password, for this restore.

    Drops what killed restores have left. Raises OperationError while another restore is under way.
    """
    password = sys.stdin.readline().strip()
    if len(password) < 32:
        raise UserError("standard input has no password for the restore", "./scripts/ops restore dump passes it")
    with connect() as server:
        require_no_restore(server)
        for name in databases(server):
            if STAGING.fullmatch(name):
                drop_database(server, name)
        drop_restorer(server)
        name = f"{application()}_restoring_{secrets.token_hex(4)}"
        policy.apply_to(name)
        server.run(
            "CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT"
            " CONNECTION LIMIT 6 PASSWORD {verifier}",
            RESTORER, verifier=policy.scram_verifier(password, secrets.token_bytes(16)),
        )  # fmt: skip
        with connect(name) as inside:  # a dump may hold large objects (pg/sql/large-objects.sql)
            inside.run(
                "GRANT EXECUTE ON FUNCTION pg_catalog.lo_create(oid), pg_catalog.lowrite(integer, bytea) TO {}",
                RESTORER,
            )
        server.run("ALTER DATABASE {} OWNER TO {}", name, RESTORER)
    return {"database": name}


def require_no_restore(server: Session) -> None:
    """Raises OperationError when a session is in a staging database."""
    running = server.rows(
        """SELECT datname::text AS name, usename::text AS role, pid,
                  pg_catalog.to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS') AS since
           FROM pg_catalog.pg_stat_activity WHERE datname ~ '_restoring_[0-9a-f]{8}$' AND usename <> 'postgres'"""
    )
    if running:
        who = ", ".join(
            f"session {row['pid']} of {row['role']} in {row['name']} since {row['since']}" for row in running
        )
        raise OperationError("another restore is under way", "wait until it ends; ./scripts/ops sessions shows it", who)


def reassign(database: str) -> dict[str, Any]:
    """The load is over: its role goes, what it loaded belongs to flaglearning_owner, with the policy's privileges.

    What the dump set on the database itself (ALTER DATABASE … SET, CONNECTION LIMIT) is reset before any other role
    connects. Raises OperationError when the dump brought something that can't be handed over.
    """
    staging_name(database)
    with connect() as server:
        if role_exists(server, RESTORER):
            server.run("ALTER ROLE {} NOLOGIN", RESTORER)
            terminate(server, "usename", RESTORER)
            reset_settings(server, database)
            with connect(database) as inside:
                hand_over_large_objects(inside)
                inside.run("REASSIGN OWNED BY {} TO {}", RESTORER, OWNER)
                inside.run("DROP OWNED BY {}", RESTORER)
            server.run("ALTER DATABASE {} OWNER TO {}", database, OWNER)
            drop_restorer(server)
    policy.apply_to(database)
    return {"database": database}


def hand_over_large_objects(inside: Session) -> None:
    """Large objects are the application's own: it made them, and no default privilege covers them."""
    query = "SELECT oid::bigint AS oid FROM pg_catalog.pg_largeobject_metadata WHERE lomowner = %s::regrole ORDER BY 1"
    for row in inside.rows(query, RESTORER):
        statement = sql.SQL("ALTER LARGE OBJECT {} OWNER TO {}")
        inside.rows(statement.format(sql.Literal(row["oid"]), sql.Identifier(os.environ["APP_ROLE"])))


def grant_large_objects() -> dict[str, Any]:
    """Let ops read every large object of the application's database, to dump it: {"granted": NUMBER}.

    pg_read_all_data does not cover them (PostgreSQL 17 docs, 21.5).
    """
    with connect(application()) as inside:
        query = """SELECT oid::bigint AS oid FROM pg_catalog.pg_largeobject_metadata
                   WHERE lomacl IS NULL OR NOT lomacl @> pg_catalog.makeaclitem(
                       'flaglearning_ops'::regrole, lomowner, 'SELECT', false) ORDER BY 1"""
        found = inside.rows(query)
        for row in found:
            grant = sql.SQL("GRANT SELECT ON LARGE OBJECT {} TO flaglearning_ops")
            inside.rows(grant.format(sql.Literal(row["oid"])))
    return {"granted": len(found)}


def reset_settings(server: Session, database: str) -> None:
    """No settings, no connection limit, connections allowed, no template."""
    server.run("ALTER DATABASE {} RESET ALL", database)
    server.run("ALTER DATABASE {} CONNECTION LIMIT -1 ALLOW_CONNECTIONS true IS_TEMPLATE false", database)


def rename(database: str, into: str = "") -> dict[str, Any]:
    """Give the staging database its name: `into` a new one, or the application's ('').

    The application's previous database is retained as DATABASE_before_TIME: {"database": …, "retained": … or null}.
    """
    staging_name(database)
    if into and not NEW_NAME.fullmatch(into):
        raise UserError(
            f"'{into}' can't be the name of a new database",
            "flaglearning_ and up to 25 small letters, digits and underscores: pg_hba.conf admits no other names",
        )
    with connect() as server:
        existing = databases(server)
        if database not in existing:
            raise OperationError(f"the staging database {database} does not exist", "./scripts/ops restore dump again")
        if into:
            if into in existing:
                raise UserError(
                    f"the database {into} exists already: it is not changed", "choose another name for --into"
                )
            rename_all(server, {database: into})
            return {"database": into, "retained": None}
        retained = f"{application()}_before_{datetime.now(UTC):%Y%m%dt%H%M%S}"
        old = {application(): retained} if application() in existing else {}
        rename_all(server, {**old, database: application()})
    return {"database": application(), "retained": retained if old else None}


def rename_all(server: Session, names: dict[str, str]) -> None:
    """All of it in one transaction: killed at any point, either all names are the new ones or none is."""
    for attempt in range(10):
        for old in names:
            terminate(server, "datname", old)
        try:
            with server.connection.transaction():
                for old, new in names.items():
                    server.run("ALTER DATABASE {} RENAME TO {}", old, new)
            return
        except psycopg.errors.ObjectInUse:  # a client connected again between the two statements
            if attempt == 9:
                raise


def drop_staging(database: str, wait: float = 0) -> dict[str, Any]:
    """Drop a staging database and the restorer; nothing happens when they are gone.

    `wait`: so many seconds at most for a server that is restarting.
    """
    staging_name(database)
    wait_for_server(wait)
    with connect() as server:
        dropped = database in databases(server)
        if dropped:
            drop_database(server, database)
        drop_restorer(server)
    return {"dropped": dropped}


def drop_retained(name: str) -> dict[str, Any]:
    """Drop a database that a restore has retained. Raises UserError for any other."""
    with connect() as server:
        if not re.fullmatch(re.escape(application()) + r"_before_[0-9]{8}t[0-9]{6}", name) or name not in databases(
            server
        ):
            raise UserError(
                f"'{name}' is not a retained database", "./scripts/ops retained list", status=Status.NOT_FOUND
            )
        drop_database(server, name)
    return {"dropped": name}


def reset() -> dict[str, Any]:
    """Drop the application's database and create it again, empty: on a development server only."""
    with connect() as server:
        kind = deployment(server)
        if kind != "development":
            raise OperationError(
                f"the server was set up as {kind or 'no deployment yet'}: only a development server is reset",
                "./scripts/ops restore dump brings a dump back" if kind else "./scripts/ops setup apply",
            )
        require_no_restore(server)
        if application() in databases(server):
            drop_database(server, application())
    policy.apply_to(application())
    return {"database": application()}


# ------------------------------------------------------------ parts


def deployment(server: Session) -> str:
    """What the server is, from the catalog (pg/sql/05-deployment.sql); a session's own SET doesn't count."""
    found = server.rows(
        """SELECT pg_catalog.split_part(setting, '=', 2) AS deployment FROM pg_catalog.pg_db_role_setting AS s
           JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase AND d.datname = 'postgres'
           CROSS JOIN pg_catalog.unnest(s.setconfig) AS setting
           WHERE s.setrole = 0 AND setting LIKE 'flaglearning.deployment=%'"""
    )
    return str(found[0]["deployment"]) if found else ""


def wait_for_server(seconds: float) -> None:
    """Return as soon as the server admits a session, or when the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with connect():
                return
        except OperationError:
            time.sleep(0.2)


def role_exists(server: Session, role: str) -> bool:
    """Whether there is such a role."""
    return bool(server.rows("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", role))


def drop_database(server: Session, name: str) -> None:
    """With its sessions; also one that the dump's role has declared a template."""
    server.run("ALTER DATABASE {} IS_TEMPLATE false", name)
    server.run("DROP DATABASE {} WITH (FORCE)", name)


def drop_restorer(server: Session) -> None:
    """The role owns nothing any more: its database is dropped or reassigned."""
    if role_exists(server, RESTORER):
        terminate(server, "usename", RESTORER)
        server.run("DROP ROLE {}", RESTORER)


def terminate(server: Session, column: str, name: str) -> None:
    """End the sessions of a database (datname) or a role (usename), and wait until they are gone."""
    query: LiteralString = {
        "datname": "SELECT pg_catalog.pg_terminate_backend(pid, 5000) FROM pg_catalog.pg_stat_activity"
        " WHERE datname = %s AND pid <> pg_catalog.pg_backend_pid()",
        "usename": "SELECT pg_catalog.pg_terminate_backend(pid, 5000) FROM pg_catalog.pg_stat_activity"
        " WHERE usename = %s AND pid <> pg_catalog.pg_backend_pid()",
    }[column]
    server.rows(query, name)
