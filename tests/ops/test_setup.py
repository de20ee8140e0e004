"""./scripts/ops setup: what apply.sql made, compared with what it makes of a fresh server."""

from support.ops import Ops
from support.postgres import Postgres
from testing.shell import run

DRIFTS = {
    "ALTER ROLE flaglearning_user CREATEROLE": "role flaglearning_user",
    "GRANT INSERT ON flags_country TO flaglearning_readonly": "table flags_country",
    "GRANT SELECT ON django_session TO flaglearning_readonly": "table django_session",
    "GRANT SELECT (password) ON users_user TO flaglearning_readonly": "table users_user",
    "GRANT CREATE ON SCHEMA public TO PUBLIC": "schema public",
    "ALTER ROLE flaglearning_user SET statement_timeout = 0": "role flaglearning_user",
    "DROP EXTENSION amcheck": "extension amcheck",
    "GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC": "function lo_create(oid)",
}


def test_show_lists_roles_and_privileges(ops: Ops) -> None:
    facts = {(row["object"], row["fact"]) for row in ops.script("setup", "show", "--json").json}
    assert ("role flaglearning_migrator", "member of flaglearning_owner") in facts
    assert ("table flags_country", "flaglearning_readonly may SELECT") in facts


def test_a_new_stack_is_as_apply_sql_makes_it(ops: Ops) -> None:
    result = ops.script("setup", "verify")
    assert (result.status, result.err) == (0, "")
    assert "the server is as apply.sql makes it" in result.out


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


def test_nothing_of_the_fresh_server_is_left(ops: Ops, postgres: Postgres) -> None:
    result = ops.script("setup", "verify")
    assert result.status == 0, result
    assert run("docker", "ps", "--all", "--quiet", "--filter", f"name=^{postgres.stack.project}-policy-").stdout == ""
