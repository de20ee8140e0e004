"""Apply pg/sql/apply.sql: roles, database, pooler lookup, monitoring, as the superuser through the socket.

    DEPLOYMENT    development | production
    APP_DATABASE  the application's database
    APP_ROLE      the role that the application logs in as
    CLUSTER       on, if this server is a member of a cluster
    /run/secrets/*_password (secret_files.PASSWORDS)

The SCRAM verifiers are computed here (RFC 5802, RFC 7677), so that no plaintext password reaches the server. A password
that the server already has keeps its verifier: PgBouncer logs in with keys that it learnt under that verifier's salt.
"""

import base64
import hashlib
import hmac
import os
import re
import secrets
import subprocess
from pathlib import Path
from typing import Any

import secret_files
from pgadmin.session import OPTIONS, primary_socket
from user_errors import OperationError, UserError

APPLY_SQL = "/etc/postgresql/sql/apply.sql"
SECRETS = Path(os.environ.get("SECRETS", "/run/secrets"))
ITERATIONS = 4096  # PostgreSQL's default scram_iterations


def read_passwords(deployment: str) -> dict[str, str]:
    """The newest password of each secret; production refuses weak ones, and one for two roles."""
    texts = {}
    for name in secret_files.PASSWORDS:
        try:
            texts[name] = (SECRETS / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"the secret {name} can't be read", secret_files.NEW_FOLDER, str(error)) from None
    passwords = {name: secret_files.value(name, text) for name, text in texts.items()}
    if deployment == "production":
        found = secret_files.problems(texts)
    else:
        found = [f"the secret {name} {why}" for name in passwords if (why := secret_files.unusable(passwords[name]))]
    if found:
        raise UserError("no role was changed", secret_files.NEW_FOLDER, "; ".join(found))
    return {name.removesuffix("_password"): password for name, password in passwords.items()}


def scram_verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """What pg_authid.rolpassword holds for this password (RFC 5803)."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    parts = (base64.b64encode(part).decode() for part in (salt, stored_key, server_key))
    return "SCRAM-SHA-256${}:{}${}:{}".format(iterations, *parts)


def keep_or_make(password: str, current: str | None) -> str:
    """The current verifier if it is this password's, a new one otherwise."""
    if current and current.startswith("SCRAM-SHA-256$"):
        iterations, salt = current.split("$")[1].split(":")
        if hmac.compare_digest(current, scram_verifier(password, base64.b64decode(salt), int(iterations))):
            return current
    return scram_verifier(password, secrets.token_bytes(16))


def psql(script: str, *arguments: str) -> str:
    """Run psql as the superuser through the socket; what it printed. Raises OperationError."""
    environment = {
        **os.environ,
        "PGHOST": primary_socket(),
        "PGUSER": "postgres",
        "PGDATABASE": "postgres",
        "PGOPTIONS": OPTIONS,
        "PGAPPNAME": "pgadmin",
    }
    command = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", *arguments]
    done = subprocess.run(command, input=script, env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        raise OperationError(
            "applying pg/sql failed",
            "docker compose up --wait postgres when it is not running; else correct what psql names in pg/sql/, and "
            "run: docker compose up --build roles",
            done.stderr.strip(),
        )
    return done.stdout


VERIFIERS = "SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolpassword IS NOT NULL;"


def current_verifiers() -> dict[str, str]:
    """Role → the verifier that the server has."""
    rows = psql(VERIFIERS, "--no-align", "--tuples-only")
    return dict(row.split("|", 1) for row in rows.splitlines())


def apply() -> dict[str, Any]:
    """Apply pg/sql/apply.sql to the application's database: {"database", "deployment", "app_role"}."""
    return apply_to(os.environ.get("APP_DATABASE", ""))


def apply_to(database: str) -> dict[str, Any]:
    """The same to another database, which is created if it does not exist. Raises UserError, OperationError."""
    deployment, app_role = os.environ.get("DEPLOYMENT", "production"), os.environ.get("APP_ROLE", "")
    if deployment not in ("development", "production"):
        raise UserError(f"DEPLOYMENT is '{deployment}'", "set it to development or production")
    for name, value in (("APP_DATABASE", database), ("APP_ROLE", app_role)):
        if not re.fullmatch(r"flaglearning_[a-z0-9_]+", value):
            raise UserError(
                f"{name} is '{value}': pg_hba.conf admits names like flaglearning_dev only", f"correct or unset {name}"
            )
    cluster = "on" if os.environ.get("CLUSTER") == "on" else "off"
    variables = {"deployment": deployment, "database": database, "app_role": app_role, "cluster": cluster}
    passwords = read_passwords(deployment)
    current = current_verifiers()
    role_of = {"app": app_role, "pgbouncer": "pgbouncer"}
    for name, password in passwords.items():
        role = role_of.get(name, f"flaglearning_{name}")
        variables[f"{name}_verifier"] = keep_or_make(password, current.get(role))
    # Through standard input, not the command line, which every process on the host can read.
    settings = "".join(f"\\set {name} '{value}'\n" for name, value in variables.items())
    psql(f"{settings}\\i {APPLY_SQL}\n")
    return {"database": database, "deployment": deployment, "app_role": app_role}
