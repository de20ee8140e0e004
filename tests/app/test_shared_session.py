"""The app changes no state of a server session: PgBouncer lends it to the next request without a reset."""

import pytest
from django.db import connection

from conftest import lasting_state
from core.postgresql.shared_session import SessionStateError, changes_session
from users.models import User

REFUSED = [
    "SET statement_timeout = 0",
    "set session search_path to elsewhere",
    "  -- why\n /* and how */ SET TIME ZONE 'UTC'",
    "SELECT 1; SET work_mem = '1GB'",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "RESET ALL",
    "DISCARD PLANS",
    "LOAD 'auto_explain'",
    "LISTEN answers",
    "PREPARE one AS SELECT 1",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "CREATE TEMPORARY TABLE t (id int)",
    "CREATE TEMP VIEW v AS SELECT 1",
    "SELECT 1 AS id INTO TEMP t",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_catalog.pg_try_advisory_lock_shared (%s, 2)",
    "SELECT pg_advisory_unlock_all()",
    "SELECT set_config('work_mem', '1GB', false)",
    "SELECT set_config(%s, %s, %s)",
]
ALLOWED = [
    "SET LOCAL statement_timeout = '1s'",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET CONSTRAINTS ALL IMMEDIATE",
    "SELECT set_config('work_mem', '1MB', true)",
    "SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock(2)",
    "UPDATE users_user SET display_name = 'reset; SET x'",
    "DECLARE c CURSOR FOR SELECT 1",
    "NOTIFY answers",
    "PREPARE TRANSACTION 'two phases'",
    'SELECT "set" FROM settings -- ; SET x = 1',
    "INSERT INTO temperatures VALUES (1)",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_what_would_outlive_the_transaction_is_refused(statement: str) -> None:
    assert changes_session(statement)


@pytest.mark.parametrize("statement", ALLOWED)
def test_the_rest_is_allowed(statement: str) -> None:
    assert not changes_session(statement)


def test_a_refused_statement_is_not_sent(db: None) -> None:
    with connection.cursor() as cursor:
        with pytest.raises(SessionStateError, match=r"SET work_mem.*\nHINT: .*SET LOCAL"):
            cursor.execute("SET work_mem = '1MB'")
        cursor.execute("SHOW work_mem")
        assert cursor.fetchone() != ("1MB",)


def test_the_orms_raw_ways_are_refused_too(db: None) -> None:
    with pytest.raises(SessionStateError):
        list(User.objects.raw("SELECT pg_advisory_lock(1) AS id"))
    with pytest.raises(SessionStateError):
        list(User.objects.extra(where=["pg_try_advisory_lock(1)"]))


def test_migrations_have_a_session_of_their_own(db: None) -> None:
    with connection.own_session(), connection.cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute("SET work_mem = '1MB'")
        cursor.execute("RESET work_mem")
    with pytest.raises(SessionStateError), connection.cursor() as cursor:
        cursor.execute("SET work_mem = '1MB'")


@pytest.mark.parametrize(
    ("statement", "undo"),
    [
        ("SET work_mem = '1MB'", "RESET work_mem"),
        ("SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock(1)"),
        ("LISTEN answers", "UNLISTEN answers"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "CLOSE c"),
        ("PREPARE one AS SELECT 1", "DEALLOCATE one"),
    ],
)
def test_the_check_after_each_test_finds_what_was_sent_past_the_guard(
    transactional_db: None, statement: str, undo: str
) -> None:
    connection.ensure_connection()
    connection.connection.execute(statement)
    found = lasting_state(connection.connection)
    connection.connection.execute(undo)
    assert (len(found), lasting_state(connection.connection)) == (1, [])
