"""SQL in the running server: psql's command line, its errors, quoting."""

import pytest

from ops import containers, psql
from user_errors import Status

LOCKED = "psql:<stdin>:1: ERROR:  55P03: canceling statement due to lock timeout\nLOCATION:  ProcessInterrupts, x.c:1\n"
STOPPED = (
    'psql: error: connection to server on socket "/run/postgresql/.s.PGSQL.5432" failed: '
    'FATAL:  database "nothing" does not exist\n'
)


@pytest.mark.parametrize(
    ("printed", "reason", "hint", "status"),
    [
        (LOCKED, "canceling statement due to lock timeout", "./scripts/ops blocking", Status.PROBLEM),
        ("ERROR:  57014: canceling statement", "canceling statement", "./scripts/ops sessions", Status.PROBLEM),
        ("FATAL:  57P03: the database system is starting up", "the database system", "doctor", Status.CANNOT_CONNECT),
        ("ERROR:  53300: too many connections", "too many", "./scripts/ops connections", Status.CANNOT_CONNECT),
        (STOPPED, "", "./scripts/ops doctor", Status.CANNOT_CONNECT),
        ("ERROR:  42501: permission denied", "permission denied", "setup verify", Status.PROBLEM),
    ],
)
def test_an_error_has_postgresqls_message_and_the_next_command(
    printed: str, reason: str, hint: str, status: Status
) -> None:
    failure = psql.failure(printed)
    assert reason in failure.reason
    assert hint in failure.hint
    assert failure.status == status


def test_a_stopped_service_is_named() -> None:
    assert psql.failure('service "postgres" is not running').what == "the service postgres is not running"


def test_the_sqlstate_is_kept() -> None:
    failure = psql.failure(LOCKED)
    assert isinstance(failure, psql.ServerError)
    assert failure.sqlstate == "55P03"


def test_warnings_are_passed_on_without_their_place() -> None:
    printed = (
        'psql:<stdin>:1: WARNING:  01000: permission denied to vacuum "x", skipping it\nLOCATION:  vacuum_rel\n'
        "WARNING:  something\n"
    )
    assert psql.warnings(printed) == ['WARNING: permission denied to vacuum "x", skipping it', "WARNING: something"]


def test_the_container_knows_the_applications_database() -> None:
    words = psql.command("ops", "", {"table": "a'b"})
    assert words[:3] == ["sh", "-c", 'exec "$@" --dbname="$APP_DATABASE"']
    assert "--username=flaglearning_ops" in words
    assert "--set=table=a'b" in words


def test_another_database_is_named() -> None:
    words = psql.command("readonly", "postgres", {})
    assert words[0] == "psql"
    assert words[-1] == "--dbname=postgres"


def test_a_session_has_a_safe_search_path_and_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "server", lambda: "postgres")
    words = psql.in_postgres(["psql"], psql.READ_TIMEOUTS)
    options = next(word for word in words if word.startswith("PGOPTIONS="))
    assert "-c search_path=pg_catalog,pg_temp" in options
    assert "-c statement_timeout=60s" in options


@pytest.mark.parametrize(
    ("value", "quoted"), [("a", "'a'"), ("it's", "'it''s'"), ("a\\b", " E'a\\\\b'"), ("'; DROP", "'''; DROP'")]
)
def test_a_constant_is_quoted(value: str, quoted: str) -> None:
    assert psql.literal(value) == quoted
