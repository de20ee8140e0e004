"""The reference document's quick reference card, word for word, from the host.

The client tools are the server's own, in a container on the host's network. A person has PostgreSQL on 5432 and types
the password or has it in a file; here the port is the test stack's (PGPORT) and the password is in PGPASSWORD.
"""
# ruff: noqa: S608 - the names pasted into SQL are the tests' own

import pytest

from testing.shell import run
from testing.stack import Stack

CONNECT = "psql -U flaglearning_user -d flaglearning_dev -h localhost"
URI = "postgresql://flaglearning_user:dev_password_2024@localhost:5432/flaglearning_dev"
BACKUP = "pg_dump -U flaglearning_user flaglearning_dev > backup.sql"
RESTORE = "psql -U flaglearning_user flaglearning_dev < backup.sql"


def on_the_host(stack: Stack, command: str) -> str:
    """What the command prints, on both streams; the card's lines that name no host mean this one."""
    port = str(stack.port("postgres", 5432))
    done = run(
        "docker", "run", "--rm", "--network", "host", "--workdir", "/tmp", "--tmpfs", "/tmp",  # noqa: S108
        "--env", "PGHOST=localhost", "--env", f"PGPORT={port}", "--env", "PGPASSWORD=dev_password_2024",
        "--entrypoint", "bash", f"flaglearning/postgres:{stack.variables['TAG']}",
        "-ec", command.replace(":5432/", f":{port}/"),
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("typed", "shown"),
    {
        r"\dt": "flags_country",
        r"\d flags_country": "flag_emoji",
        r"\di": "flags_country_pkey",
        r"\l": "flaglearning_dev",
        r"\du": "flaglearning_user",
        "SELECT COUNT(*) FROM flags_country;": "195",
        "SELECT pg_size_pretty(pg_database_size('flaglearning_dev'));": "B\n(1 row)",
    }.items(),
)
def test_psql(stack: Stack, typed: str, shown: str) -> None:
    assert shown in on_the_host(stack, f"{CONNECT} <<'END'\n{typed}\n\\q\nEND")


def test_the_connection_string(stack: Stack) -> None:
    assert "195" in on_the_host(stack, f"psql '{URI}' -c 'SELECT COUNT(*) FROM flags_country'")


def test_list_databases_before_knowing_one(stack: Stack) -> None:
    assert "flaglearning_dev" in on_the_host(stack, "psql -U flaglearning_user -l")


def test_create_backup(stack: Stack) -> None:
    assert "PostgreSQL database dump complete" in on_the_host(stack, f"{BACKUP}; tail -n 5 backup.sql")


def test_restore_backup_over_the_same_database_loses_nothing(stack: Stack) -> None:
    """Everything exists already, so the restore changes no row (and psql says so, line by line)."""
    count = f"{CONNECT} -Atc 'SELECT COUNT(*) FROM flags_country'"
    assert on_the_host(stack, f"{BACKUP}; {RESTORE} >/dev/null 2>&1; {count}").strip() == "195"


def test_restore_backup_into_an_empty_database(stack: Stack) -> None:
    """Beside the original, as the application's user, who may create databases in development."""
    beside = "test_flaglearning_restored"
    script = f"""
        createdb -U flaglearning_user --maintenance-db=postgres {beside}
        trap 'dropdb -U flaglearning_user --maintenance-db=postgres {beside}' EXIT
        {BACKUP}
        psql -U flaglearning_user {beside} < backup.sql >/dev/null 2>&1
        psql -U flaglearning_user {beside} -Atc 'SELECT COUNT(*) FROM flags_country'"""
    assert on_the_host(stack, script).splitlines()[-1] == "195"


def test_drop_test_databases(stack: Stack) -> None:
    script = """
        createdb -U flaglearning_user --maintenance-db=postgres test_flaglearning_dev_old
        psql -U flaglearning_user postgres -Atc "SELECT datname FROM pg_database WHERE datname LIKE 'test_%';"
        psql -U flaglearning_user postgres -c "DROP DATABASE IF EXISTS test_flaglearning_dev_old;" """
    assert on_the_host(stack, script).split()[0] == "test_flaglearning_dev_old"
