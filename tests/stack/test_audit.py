"""The audit log (pgaudit, in the server's log): what people read, and not what the application reads."""

import psycopg
import pytest

from support.postgres import Postgres
from testing.shell import eventually
from testing.stack import Stack

READ = "SELECT count(*) AS {} FROM public.users_userstats"


@pytest.mark.parametrize("role", ["readonly", "ops"])
def test_what_a_person_reads_is_recorded_with_role_and_table(stack: Stack, postgres: Postgres, role: str) -> None:
    with postgres.connect(role) as session:
        session.execute(READ.format(f"read_by_{role}"))
    [line] = eventually(lambda: audited(stack, f"read_by_{role}"), within=10)
    assert f"flaglearning_{role}@{stack.database}" in line
    assert "READ,SELECT" in line


def test_what_the_application_reads_is_not(stack: Stack, postgres: Postgres) -> None:
    with postgres.connect("app") as session:
        session.execute(READ.format("read_by_app"))
    with postgres.connect("readonly") as session:
        session.execute(READ.format("read_afterwards"))
    eventually(lambda: audited(stack, "read_afterwards"), within=10)
    assert not audited(stack, "read_by_app")


@pytest.mark.parametrize("role", ["readonly", "ops", "app"])
def test_only_the_superuser_turns_it_off(postgres: Postgres, role: str) -> None:
    with postgres.connect(role) as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute("SET pgaudit.log = 'none'")


def audited(stack: Stack, text: str) -> list[str]:
    """The lines of the audit log with this text."""
    return [line for line in stack.logs("postgres", since="5m").splitlines() if "AUDIT:" in line and text in line]
