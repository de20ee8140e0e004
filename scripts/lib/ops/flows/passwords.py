"""A new password for a role, without downtime (dual passwords).

stage: the secret file gets the new password beside the old one, and clients try both → PostgreSQL gets the new one →
commit: the file holds the new one alone → finalise: PgBouncer reloads its own password, and it is proven that the new
password logs in and the old one does not. Interrupted at any point, the same command run again completes it.
"""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import Callable

import secret_files
from ops import cluster, containers, docker, pooler
from ops.output import note, say
from user_errors import OperationError, UserError

ROLES = tuple(name[: -len("_password")] for name in secret_files.PASSWORDS)
PUBLIC_FOLDER = Path("docker/secrets.dev")
LOOKUP_DATABASE = "postgres"  # auth_dbname in pg/pgbouncer.ini
ON_APPLICATION_HOSTS = ("app", "pgbouncer", "monitor")  # roles whose password a fleet's application hosts have


def reset(role: str, prompt: bool, yes: bool) -> None:
    """The whole change. `prompt`: the password is typed (or read from standard input) instead of generated."""
    file = secret_file(role)
    if not yes and file.parent == PUBLIC_FOLDER.resolve():
        raise UserError(
            f"{file} is in git: a new password there would be a change for every developer",
            "--yes to change it; or SECRETS_DIR=./secrets, a folder of your own (./scripts/secrets new)",
        )
    if role in ON_APPLICATION_HOSTS and not cluster.has_every_pooler():
        raise UserError(
            f"nothing was changed: application hosts log in with the password of {role}, too",
            "from the control machine: ansible-playbook -i inventories/NAME playbooks/rotate-passwords.yml",
        )
    new = typed_password() if prompt else secret_files.generate(file.name)
    refuse_unfit(file, new)
    if not containers.is_running(containers.server()):
        raise OperationError(
            "nothing was changed: the service postgres is not running", "docker compose up --detach --wait postgres"
        )
    old = [password for password in secret_files.candidates(read(file)) if password != new]
    write(secret_files.stage, file, new)
    give_to_postgresql(file)
    write(secret_files.commit, file, new)
    finalise(role, old)
    note(f"the secret file: {file}")


def give_to_postgresql(file: Path) -> None:
    """pgadmin sets the verifier of each secret's newest password."""
    try:
        containers.pgadmin("apply")
    except containers.Failed as failed:
        raise OperationError(
            f"PostgreSQL did not take the new password; {file} holds both, and clients try both",
            "./scripts/ops doctor; then run the same command again",
            status=failed.status,
        ) from None


def finalise(role: str, old: list[str]) -> None:
    """PostgreSQL and the file have the new password: PgBouncer reloads its own, then both are proven."""
    if role == "pgbouncer" and containers.is_running("pgbouncer"):
        containers.run(docker.exec_in("pgbouncer", "docker-entrypoint.sh", "write-userlist"))
        # The proof's lookup logs in with the new password. Only that database: a pool whose last server login failed,
        # as one may with the application's old keys, refuses its clients while it has no connection left.
        pooler.execute("RELOAD", f"RECONNECT {LOOKUP_DATABASE}")
    if role == "monitor":
        restart_exporters()
    # A database host without the application has no PgBouncer: the playbook proves the login beside each application.
    proof = {"role": role, "new": read(secret_file(role)), "old": old, "pooler": cluster.has_pooler()}
    proven = containers.client("password-prove", stdin=json.dumps(proof))
    say(f"{proven['role']} logs in with the new password{refusal(proven['refused'])}")


def restart_exporters() -> None:
    """Exporters read their password when they start. They run with docker/compose/monitoring.yml only, which
    COMPOSE_FILE may lack here: they are found by their labels."""
    exporters = [name for name in secret_files.SECRETS["monitor_password"].readers if name.endswith("-exporter")]
    project = f"--filter=label=com.docker.compose.project={containers.config()['name']}"
    for name in exporters:
        found = containers.run(
            ["docker", "ps", "--quiet", project, f"--filter=label=com.docker.compose.service={name}"]
        )
        for container in found.split():
            containers.run(["docker", "restart", container])


def refusal(count: int) -> str:
    """What was proven of old passwords."""
    return {0: "", 1: "; the old one is refused"}.get(count, f"; the {count} old ones are refused")


# ------------------------------------------------------------ the secret file


def secret_file(role: str) -> Path:
    """Where Compose takes the role's password from."""
    return Path(containers.config()["secrets"][f"{role}_password"]["file"])


def read(file: Path) -> str:
    """Its text. Raises OperationError."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OperationError(
            f"{file} can't be read", "run it as root; SECRETS_DIR in .env names the folder of the secrets", str(error)
        ) from None


def write(step: Callable[[Path, str], bool], file: Path, new: str) -> None:
    """Stage or commit. Raises OperationError."""
    try:
        step(file, new)
    except OSError as error:
        raise OperationError(f"{file} can't be written", f"run as root; ls -l {file}", str(error)) from None


# ------------------------------------------------------------ the new password


def typed_password() -> str:
    """From the terminal, twice; or the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("New password: ")
    if getpass.getpass("Repeat it: ") != first:
        raise UserError("nothing was changed: the two passwords differ", "run the same command again")
    return first


def refuse_unfit(file: Path, new: str) -> None:
    """Raises UserError for a password that no client can send or, in production, that the next start would refuse."""
    reason = secret_files.unusable(new)
    if not reason and containers.environment_of("roles").get("DEPLOYMENT") != "development":
        reason = secret_files.weakness(file.name, new)
        others = [file.with_name(name) for name in secret_files.PASSWORDS if name != file.name]
        if any(secret_files.value(other.name, read(other)) == new for other in others):
            reason = "is the password of another role"
    if reason:
        raise UserError(f"nothing was changed: the new password {reason}", "leave --prompt out for a random one")
