"""Prepared statements that no migration breaks. tests/stack/test_migrations.py: through the pooler, under load."""

import datetime
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DEFAULT_DB_ALIAS, connection, connections
from psycopg import pq
from psycopg._queries import PostgresQuery
from psycopg.adapt import Transformer

from core.logs import request_id
from core.postgresql.base import DatabaseWrapper
from core.postgresql.prepared import Prepared, one_type
from flags import services

pytestmark = pytest.mark.django_db

NOW = datetime.datetime(2026, 3, 10, 12, tzinfo=datetime.UTC)
# For each parameter that any of the statements has.
VALUES: dict[str, Any] = {
    "session_key": "k" * 32, "now": NOW, "answered_at": NOW, "today": NOW.date(), "is_correct": True,
    "last_guess_date": NOW.date(), "old_last_guess_date": NOW.date(),
    **dict.fromkeys(("user_id", "question_id", "answered_country_id", "value"), 0),
    **{f"{age}{name}": 0 for age in ("", "old_") for name in
       ("total_answers", "total_correct", "current_streak", "longest_streak")},
}  # fmt: skip
# Whatever a migration may do to a column of this type that PostgreSQL lets it do; most of it `migrate` refuses.
TYPES = {
    "character varying": ["varchar(999)", "text", 'varchar(999) COLLATE "C"'],
    "text": ['text COLLATE "C"', "varchar(9999)"],
    "integer": ["bigint", "numeric(20)", "smallint"],
    "smallint": ["integer"],
    "bigint": ["integer", "numeric(20)"],
    "date": ["timestamp", "timestamptz"],
    "timestamp with time zone": ["timestamptz(3)", "timestamp"],
}
OTHERS = [
    "ALTER TABLE {table} ADD COLUMN added text DEFAULT 'x'",
    "ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL",
    "ALTER TABLE {table} ADD COLUMN added text; ALTER TABLE {table} DROP COLUMN added",
    "CREATE INDEX another ON {table} ({column})",
    "ALTER TABLE {table} RENAME TO before; CREATE TABLE {table} (LIKE before INCLUDING ALL)",
]
COLUMNS = """
    SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns AS c
    WHERE c.table_schema = 'public' AND c.table_name = ANY(%s) ORDER BY 1, 2"""


@pytest.fixture
def kept() -> Iterator[DatabaseWrapper]:
    """A connection of its own, as a worker has."""
    wrapper = connections.create_connection(DEFAULT_DB_ALIAS)
    assert isinstance(wrapper, DatabaseWrapper)
    yield wrapper
    wrapper.close()


class Session:
    """The test's connection, through libpq alone: psycopg forgets its prepared statements after an ALTER of its own."""

    def __init__(self) -> None:
        connection.ensure_connection()
        self.libpq = connection.connection.pgconn

    def run(self, statement: str) -> None:
        """Raises AssertionError with the server's message."""
        self.check(self.libpq.exec_(statement.encode()))

    @staticmethod
    def check(result: pq.abc.PGresult) -> None:
        assert result.status in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK), result.error_message.decode()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self.run("SAVEPOINT one")
        try:
            yield
        finally:
            self.run("ROLLBACK TO one; RELEASE one")

    def error(self, *arguments: Any, prepared: bool) -> str:
        """Of a statement's execution; "" when there is none."""
        self.run("SAVEPOINT two")
        try:
            self.check(self.libpq.exec_prepared(*arguments) if prepared else self.libpq.exec_params(*arguments))
        except AssertionError as error:
            self.run("ROLLBACK TO two")
            return str(error)
        return ""


@pytest.fixture
def session(db: None) -> Session:
    return Session()


def changes(tables: list[str]) -> Iterator[str]:
    """What migrations may do to each column of these tables."""
    with connection.cursor() as cursor:
        cursor.execute(COLUMNS, [tables])
        columns = cursor.fetchall()
    for table, column, kind in columns:
        yield from (f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {new}" for new in TYPES.get(kind, ()))
        yield from (change.format(table=table, column=column) for change in OTHERS)


def broken(session: Session, statement: str) -> tuple[list[str], int]:
    """The changes after which the statement fails if it was prepared before, and works if not; and how many it bore."""
    query = PostgresQuery(Transformer(connection.connection))
    query.convert(statement, one_type(VALUES))
    found, survived = [], 0
    session.check(session.libpq.prepare(b"it", query.query, query.types))
    for change in changes(re.findall(r"\b(?:users|flags|django)_[a-z]+", statement)):
        with session.savepoint():
            try:
                session.run(change)
            except AssertionError:  # PostgreSQL does not do it: a foreign key or a check depends on the type
                continue
            if session.error(query.query, query.params, query.types, query.formats, prepared=False):
                continue
            if error := session.error(b"it", query.params, query.formats, prepared=True):
                found.append(f"{change}: {error}")
            else:
                survived += 1
    session.run("DEALLOCATE it")
    return found, survived


@pytest.mark.parametrize("statement", Prepared.known, ids=lambda text: " ".join(text.split())[:60])
def test_no_change_that_the_statement_survives_breaks_it_prepared(session: Session, statement: Prepared) -> None:
    found, survived = broken(session, statement)
    assert found == []
    assert survived > 20


def test_without_casts_it_would_break(session: Session) -> None:
    found, _ = broken(session, "SELECT email, display_name FROM users_user WHERE id = %(user_id)s")
    assert any("display_name TYPE text" in change and "cached plan must not change result type" in change
               for change in found)  # fmt: skip
    assert any("COLLATE" in change for change in found)


def test_only_these_statements_are_prepared(kept: DatabaseWrapper) -> None:
    """And each once, whatever the size of its integers and the request's id, with which other statements begin."""
    for number in (1, 40_000, 2**40):
        request_id.set(f"request-{number}")
        with kept.cursor() as cursor:
            cursor.execute(services.ANSWER_TO, {"user_id": number, "question_id": 1})
            cursor.execute("SELECT id FROM users_user WHERE id = %s", [number])
    with kept.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        ((text,),) = cursor.fetchall()
    request_id.set("")
    assert "FROM flags_useranswer" in text


def test_after_a_rollback_it_is_prepared_again(kept: DatabaseWrapper) -> None:
    """psycopg then deallocates all of its connection."""
    for _ in range(2):
        kept.set_autocommit(False)
        for _ in range(2):
            with kept.cursor() as cursor:
                cursor.execute(services.ANSWER_TO, {"user_id": 1, "question_id": 1})
                assert cursor.fetchall() == []
        kept.rollback()
        kept.set_autocommit(True)
