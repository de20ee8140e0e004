"""PgBouncer's console: psql's CSV, errors."""

from ops import pooler
from testing.shell import ROOT
from user_errors import Status

POOLS = "database,user,cl_active,pool_mode\nflaglearning_dev,flaglearning_user,12,transaction\npostgres,pgbouncer,0,\n"


def test_numbers_are_numbers_and_empty_values_are_none() -> None:
    assert pooler.parse(POOLS) == [
        {"database": "flaglearning_dev", "user": "flaglearning_user", "cl_active": 12, "pool_mode": "transaction"},
        {"database": "postgres", "user": "pgbouncer", "cl_active": 0, "pool_mode": None},
    ]


def test_a_stopped_pooler_is_named() -> None:
    failure = pooler.failure('service "pgbouncer" is not running\n')
    assert failure.what == "the service pgbouncer is not running"
    assert failure.status == Status.CANNOT_CONNECT


def test_psqls_own_message_is_the_reason() -> None:
    failure = pooler.failure("psql: error: connection to server on socket failed:\n  FATAL:  bad\n")
    assert failure.reason == "psql: error: connection to server on socket failed: FATAL: bad"


def test_the_clients_of_session_pools_are_ended_before_a_pause() -> None:
    pools = [
        {"database": "d", "user": "app", "pool_mode": "transaction"},
        {"database": "d", "user": "readonly", "pool_mode": "session"},
    ]
    clients = [
        {"id": 1, "database": "d", "user": "app"},
        {"id": 2, "database": "d", "user": "readonly"},
        {"id": 3, "database": "other", "user": "readonly"},
    ]
    assert pooler.enders(pools, clients) == ["KILL_CLIENT 2"]


def test_the_program_that_holds_clients_is_on_hosts_too() -> None:
    """They get this folder, not the whole checkout (stack_files in ansible/roles/stack/vars/main.yml)."""
    assert pooler.HOLD.parent.as_posix() == "scripts/lib/ops"
    assert "'scripts/lib/ops'" in (ROOT / "ansible/roles/stack/vars/main.yml").read_text()
    assert (ROOT / pooler.HOLD).is_file()


def test_the_program_that_holds_clients_says_why_and_what_next() -> None:
    printed = "ERROR: PgBouncer is led to no server that takes writes\nHINT:  ./scripts/ops cluster status\n"
    assert str(pooler.not_held("no switchover was started", printed)) == (
        "ERROR: no switchover was started: PgBouncer is led to no server that takes writes\n"
        "HINT:  ./scripts/ops cluster status"
    )
