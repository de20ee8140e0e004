"""flows/policy.py: the comparison, and the throw-away container's command lines."""

from __future__ import annotations

import pytest

from ops import containers, psql
from ops.flows import policy
from ops.flows.policy import Fact
from user_errors import OperationError

ROLE = Fact("", "role flaglearning_ops", "login")
PROBE = {Fact("app", "table policy_probe", "owner x"), Fact("app", "sequence policy_probe_id_seq", "owner y")}


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        ({ROLE}, {ROLE}, []),
        ({ROLE}, set(), [("missing", "role flaglearning_ops", "login")]),
        (set(), {ROLE}, [("not in policy", "role flaglearning_ops", "login")]),
        # a migration's table has to be as the probe is
        ({ROLE, *PROBE}, {ROLE, Fact("app", "table flags_country", "owner x")}, []),
        ({ROLE, *PROBE}, {ROLE, Fact("app", "sequence flags_id_seq", "owner y")}, []),
        (
            {ROLE, *PROBE},
            {ROLE, Fact("app", "table flags_country", "owner intruder")},
            [("missing", "table flags_country", "owner x"), ("not in policy", "table flags_country", "owner intruder")],
        ),
        # a function that the policy does not have is no table
        ({ROLE, *PROBE}, {ROLE, Fact("app", "function f()", "x")}, [("not in policy", "function f()", "x")]),
        # a fact of the same text in another database is another one
        ({Fact("app", "schema public", "x")}, {Fact("postgres", "schema public", "x")},
         [("missing", "schema public", "x"), ("not in policy", "schema public", "x")]),
    ],
)  # fmt: skip
def test_differences(wanted: set[Fact], found: set[Fact], expected: list[tuple[str, str, str]]) -> None:
    rows = policy.differences(wanted, found)
    assert sorted((row["problem"], row["object"], row["fact"]) for row in rows) == sorted(expected)


def test_objects_with_the_same_facts_are_shown_together() -> None:
    found = [Fact("app", name, fact) for name in ("table a", "table b") for fact in ("owner x", "y may SELECT")]
    assert policy.alike([*found, ROLE]) == {
        ("app", ("owner x", "y may SELECT")): ["table a", "table b"],
        ("", ("login",)): ["role flaglearning_ops"],
    }


def test_the_container_has_no_network_no_secret_and_no_capability() -> None:
    environment = {"DEPLOYMENT": "production", "APP_DATABASE": "db", "APP_ROLE": "role", "OTHER": "not passed on"}
    argv = policy.container_argv("name", "image:tag", environment)
    text = " ".join(argv)
    for expected in ("--network none", "--read-only", "--cap-drop ALL", "--rm", "--env DEPLOYMENT=production"):
        assert expected in text
    assert "OTHER" not in text
    assert "--volume" not in text
    assert argv[-4:] == ["--entrypoint", "sleep", "image:tag", policy.LIFETIME]


def test_the_server_is_made_before_the_policy_is_applied() -> None:
    programs = [step[3] for step in policy.setup_steps("name", "db")]
    assert programs == ["mkdir", "secret_files.py", "initdb", "pg_ctl", "pgadmin", "psql", "pgadmin"]


def test_the_fresh_servers_tables_have_this_servers_names_and_columns() -> None:
    tables = [
        {"schema": "public", "name": "users_user", "columns": ["id", 'odd"name']},
        {"schema": "other", "name": "elsewhere", "columns": ["id"]},
        {"schema": "public", "name": "empty", "columns": []},
    ]
    assert policy.stubs(tables).split("; ") == [
        'CREATE TABLE public."users_user" ("id" text, "odd""name" text)',
        'CREATE TABLE public."empty" ()',
    ]


def test_a_fresh_server_without_facts_verifies_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"DEPLOYMENT": "development", "APP_DATABASE": "db", "APP_ROLE": "role"}
    config = {"name": "stack", "services": {"roles": {"image": "image", "environment": environment}}}
    monkeypatch.setattr(containers, "config", lambda: config)
    monkeypatch.setattr(policy, "execute", lambda argv, stdin="": "[]")
    monkeypatch.setattr(psql, "rows", lambda name: [])
    removed: list[list[str]] = []
    monkeypatch.setattr(containers, "completed", lambda argv, quiet: removed.append(argv))
    with pytest.raises(OperationError, match="no facts"):
        policy.wanted_facts()
    assert removed[0][:3] == ["docker", "rm", "--force"]
    assert removed[0][-1].startswith("stack-policy-")
