"""The app's connections to PostgreSQL."""

import select
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import psycopg
import pytest
from django.db import DEFAULT_DB_ALIAS, OperationalError, ProgrammingError, connection, connections

from core.postgresql import passwords
from core.postgresql.base import DatabaseWrapper

pytestmark = pytest.mark.django_db


def test_no_cursor_outlives_a_statement() -> None:
    # PgBouncer may give the next statement another server session, without the cursor.
    assert connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]


def test_connections_are_persistent_checked_and_closed_in_the_end() -> None:
    assert 60 <= connection.settings_dict["CONN_MAX_AGE"] <= 300
    assert connection.settings_dict["CONN_HEALTH_CHECKS"]


@pytest.fixture
def kept() -> Iterator[DatabaseWrapper]:
    """A persistent connection of a worker; not the other fixtures' connection."""
    wrapper = connections.create_connection(DEFAULT_DB_ALIAS)
    assert isinstance(wrapper, DatabaseWrapper)
    wrapper.ensure_connection()
    yield wrapper
    wrapper.close()


class TestHealthCheck:
    def test_a_live_connection_is_usable_without_a_query(self, kept: DatabaseWrapper) -> None:
        with patch.object(kept.connection, "cursor", side_effect=AssertionError("asked")):
            assert kept.is_usable()

    def test_a_connection_that_the_server_ended_is_not_usable(self, kept: DatabaseWrapper) -> None:
        end(kept)
        assert not kept.is_usable()

    def test_the_next_request_gets_a_new_connection(self, kept: DatabaseWrapper) -> None:
        end(kept)
        kept.health_check_enabled = True  # type: ignore[attr-defined]  # as at the start of a request
        kept.health_check_done = False  # type: ignore[attr-defined]
        with kept.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)

    def test_in_an_aborted_transaction_it_is_not_usable(self, kept: DatabaseWrapper) -> None:
        kept.set_autocommit(False)
        with pytest.raises(ProgrammingError), kept.cursor() as cursor:
            cursor.execute("SELECT nothing")
        assert not kept.is_usable()

    def test_after_an_error_the_server_is_queried(self, kept: DatabaseWrapper) -> None:
        kept.errors_occurred = True
        with patch.object(kept.connection, "cursor", side_effect=psycopg.OperationalError("asked")):
            assert not kept.is_usable()

    def test_a_notice_does_not_end_the_connection(self, kept: DatabaseWrapper) -> None:
        kept.connection.execute("LISTEN here")
        kept.connection.execute("NOTIFY here")
        select.select([kept.connection.fileno()], [], [], 5)
        assert kept.is_usable()


def end(kept: DatabaseWrapper) -> None:
    """Close a connection from the server's side, as a restart of PgBouncer or PostgreSQL does."""
    pid = kept.connection.info.backend_pid
    with connection.cursor() as cursor:
        # With a timeout it waits until the backend is gone.
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert cursor.fetchone() == (True,)


class TestChangingPassword:
    """Dual passwords: the secret file has the old and the new one, the server has one of them."""

    @pytest.fixture
    def opens(self, kept: DatabaseWrapper, tmp_path: Path) -> Callable[..., bool]:
        password = passwords.known(kept.settings_dict)[0]
        settings = {**kept.settings_dict, "PASSWORD_FILE": str(tmp_path / "password")}

        def opens(*lines: str) -> bool:
            (tmp_path / "password").write_text("\n".join(lines).replace("<the right one>", password))
            kept.close()
            kept.settings_dict, before = settings, kept.settings_dict
            try:
                kept.ensure_connection()
            except OperationalError:
                return False
            finally:
                kept.settings_dict = before
            return True

        return opens

    @pytest.mark.parametrize("lines", [("<the right one>", "new"), ("old", "<the right one>"), ("", "<the right one>")])
    def test_one_accepted_password_is_enough(self, opens: Callable[..., bool], lines: tuple[str, ...]) -> None:
        assert opens(*lines)

    @pytest.mark.parametrize("lines", [("old",), ("old", "new")])
    def test_without_an_accepted_password_the_connection_fails(
        self, opens: Callable[..., bool], lines: tuple[str, ...]
    ) -> None:
        assert not opens(*lines)
