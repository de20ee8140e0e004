"""Create a lost table again: from the sandbox instance, or from a staging database."""

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from pgclient import stack
from pgclient.database import at_sandbox, connect
from pgclient.dump_create import POLICY_EXTENSIONS
from pgclient.verbs import verb
from user_errors import OperationError, Status, UserError

# The foreign keys of other tables that pointed at it.
KEYS_TO = """
    SELECT pg_catalog.format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::pg_catalog.regclass, conname,
                             pg_catalog.pg_get_constraintdef(oid)) AS statement
    FROM pg_catalog.pg_constraint WHERE contype = 'f' AND confrelid = %s::pg_catalog.oid AND conrelid <> confrelid"""
TABLE = """
    SELECT c.oid FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')"""


@verb("table-bring-back")
def bring_back(table: str, database: str = "") -> dict[str, Any]:
    """A table that the stack has lost: its definition, its rows and others' foreign keys to it, in one transaction.

    `table` is NAME, or SCHEMA.NAME outside public. `database`: the staging database that has it; '' means the sandbox
    instance. Raises UserError when the table isn't there.
    """
    schema, _, name = table.rpartition(".")
    schema = schema or "public"
    with connect(database=database) if database else at_sandbox() as source:
        found = source.execute(TABLE, [schema, name]).fetchone()
        if found is None:
            raise UserError(
                f"the restored backup has no table {schema}.{name}",
                "./scripts/ops restore backup --to an earlier time",
                status=Status.NOT_FOUND,
            )  # fmt: skip
        keys = [row["statement"] for row in source.execute(KEYS_TO, [found["oid"]]).fetchall()]
    with connect() as target:
        if target.execute(TABLE, [schema, name]).fetchone():
            raise UserError(
                f"the table {schema}.{name} exists already", f"./scripts/ops restore backup … --table {table}"
            )
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name))
    with tempfile.TemporaryDirectory() as folder:
        archive, script = Path(folder) / "table.dump", Path(folder) / "table.sql"
        options = ["--format=custom", "--no-owner", "--no-privileges", "--no-password", "--strict-names"]
        where = stack.POSTGRES if database else stack.SANDBOX
        options += [f"--exclude-extension={name}" for name in POLICY_EXTENSIONS]
        run("pg_dump", *options, f"--table={quoted}", f"--file={archive}", database=database, endpoint=where)
        run("pg_restore", "--no-owner", f"--file={script}", str(archive))
        with script.open("a") as file:
            file.writelines(f"{statement};\n" for statement in keys)
        # As a migration logs in: what it creates belongs to the owner, and the policy's default privileges apply.
        psql = ("psql", "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--no-password")
        run(*psql, "--output=/dev/null", f"--file={script}", role="migrator")
    return {"table": f"{schema}.{name}", "foreign_keys": len(keys)}


def run(
    *command: str, role: stack.RoleKey = "ops", database: str = "", endpoint: stack.Endpoint = stack.POSTGRES
) -> None:
    """Run a client tool to its end. Raises OperationError with what it printed."""
    environment = stack.client_environment(role, database, endpoint)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OperationError(
            f"{command[0]} failed", "correct what the message says, then the same command again",
            " ".join(done.stderr.split())[-1000:],
        )  # fmt: skip
