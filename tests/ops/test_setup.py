"""Sections 1 and 5: what apply.sql made, verified against what it makes of a fresh server."""

import pytest

from support.ops import Ops
from support.postgres import Postgres

DRIFTS = {
    "ALTER ROLE flaglearning_user CREATEROLE": "role flaglearning_user",
    "GRANT INSERT ON flags_country TO flaglearning_readonly": "table flags_country",
    "GRANT CREATE ON SCHEMA public TO PUBLIC": "schema public",
    "ALTER ROLE flaglearning_user SET statement_timeout = 0": "role flaglearning_user",
    "DROP EXTENSION amcheck": "extension amcheck",
}


def test_show_tells_of_roles_and_privileges(ops: Ops) -> None:
    facts = {(row["object"], row["fact"]) for row in ops("setup", "show", "--json").json}
    assert ("role flaglearning_migrator", "member of flaglearning_owner") in facts
    assert ("table flags_country", "flaglearning_readonly may SELECT") in facts


def test_a_stack_as_it_was_made_is_as_wanted(ops: Ops) -> None:
    result = ops.script("setup", "verify")
    assert (result.status, result.err) == (0, "")
    assert "as apply.sql wants it" in result.out


def test_every_drift_is_found_and_repaired(ops: Ops, postgres: Postgres) -> None:
    for drift in DRIFTS:
        postgres.superuser(drift, database=postgres.stack.database)
    result = ops.script("setup", "verify", "--json")
    assert result.status == 1
    assert {row["object"] for row in result.json} == set(DRIFTS.values())
    assert ops.script("setup", "apply").status == 0
    assert ops.script("setup", "verify").status == 0


def test_a_role_that_is_not_in_the_policy_is_named(ops: Ops, postgres: Postgres) -> None:
    postgres.superuser("CREATE ROLE intruder LOGIN SUPERUSER")
    try:
        result = ops.script("setup", "verify")
    finally:
        postgres.superuser("DROP ROLE intruder")
    assert result.status == 1
    assert "role intruder" in result.out


@pytest.mark.parametrize("stdin", ["", "\n"])
def test_without_the_scratch_servers_answer_nothing_is_verified(ops: Ops, stdin: str) -> None:
    assert ops("setup", "verify", stdin=stdin).status == 1


def test_the_container_cant_do_the_hosts_part(ops: Ops) -> None:
    result = ops("setup", "apply")
    assert result.status == 1
    assert "HINT:   ./scripts/ops setup apply" in result.err
