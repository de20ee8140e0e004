"""Proof of a password change: the new password logs in, the old ones do not."""

import json
import sys
from typing import Any

import psycopg

import secret_files
from pgclient import stack
from pgclient.database import through_the_pooler
from pgclient.verbs import verb
from user_errors import OperationError

# The roles whose login through PgBouncer a change could break. PgBouncer's own password is used to look up any role.
POOLED: dict[str, stack.RoleKey] = {"app": "app", "readonly": "readonly", "pgbouncer": "app"}


@verb("password-prove")
def prove() -> dict[str, Any]:
    """Standard input: {"role": key, "new": the secret file's text, "old": [password …], "pooler": whether PgBouncer is
    on this host}. Raises OperationError."""
    asked = json.load(sys.stdin)
    role = asked["role"]
    user = "pgbouncer" if role == "pgbouncer" else stack.role_name(role)
    new = secret_files.value(f"{role}_password", asked["new"])
    if not logs_in(user, new):
        raise OperationError(f"PostgreSQL refuses the new password of {user}", "./scripts/ops setup apply")
    old = [password for password in asked["old"] if password != new]
    if any(logs_in(user, password) for password in old):
        raise OperationError(f"PostgreSQL still accepts an old password of {user}", "./scripts/ops setup apply")
    if role in POOLED and asked["pooler"]:
        with through_the_pooler(POOLED[role]) as connection:
            connection.execute("SELECT 1")
    return {"role": user, "refused": len(old)}


def logs_in(user: str, password: str) -> bool:
    """Whether PostgreSQL accepts the password, in the database that each role may connect to."""
    database = (
        "postgres" if user in ("pgbouncer", "flaglearning_monitor", stack.role_name("ops")) else stack.APP_DATABASE
    )
    parameters: dict[str, Any] = {**stack.parameters("ops", database), "user": user, "password": password}
    try:
        psycopg.connect(**parameters).close()
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            return False
        raise
    return True
