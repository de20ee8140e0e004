"""Rows and tables that tests of ./scripts/ops work with, for as long as a block lasts."""

import contextlib
from collections.abc import Iterator

import psycopg

from support.postgres import Postgres

HOSTILE = ['Odd "name"; DROP TABLE flags_country; --', "Länder 国 🏁", "it's", "red\x1b[31m"]


@contextlib.contextmanager
def hostile_tables(postgres: Postgres) -> Iterator[list[str]]:
    """Tables with names that are meant to break this program."""
    with postgres.connect("migrator") as owner:
        for name in HOSTILE:
            identifier = psycopg.sql.Identifier(name)
            owner.execute(psycopg.sql.SQL("DROP TABLE IF EXISTS {}").format(identifier))
            owner.execute(psycopg.sql.SQL("CREATE TABLE {} (id bigint PRIMARY KEY)").format(identifier))
    yield HOSTILE
    with postgres.connect("migrator") as owner:
        for name in HOSTILE:
            owner.execute(psycopg.sql.SQL("DROP TABLE IF EXISTS {}").format(psycopg.sql.Identifier(name)))


@contextlib.contextmanager
def players(postgres: Postgres) -> Iterator[None]:
    """Three players, the first two of whom have answered: 3 of 4 and 1 of 2 answers were right."""
    postgres.superuser(
        """
        INSERT INTO users_user (id, password, is_superuser, email, display_name, is_staff, is_active, date_joined)
            SELECT 9000 + n, '!', false, 'player' || n || '@example.org', '', false, true, now()
            FROM generate_series(1, 3) n;
        INSERT INTO users_userstats
            (user_id, total_answers, total_correct, current_streak, longest_streak, last_guess_date) VALUES
            (9001, 4, 3, 2, 3, (now() AT TIME ZONE 'UTC')::date),
            (9002, 2, 1, 1, 1, (now() AT TIME ZONE 'UTC')::date - 5),
            (9003, 0, 0, 0, 0, NULL);
        INSERT INTO flags_dailychallenge (id, date, country_id, selection_algorithm_version)
            SELECT 9000, (now() AT TIME ZONE 'UTC')::date, id, 1 FROM flags_country WHERE code = 'FR';
        INSERT INTO flags_question (id, kind, country_id, challenge_id, user_id, options, is_open, created_at)
            SELECT 9000 + n, 'practice', c.id, NULL, 9001, ARRAY[c.id, c.id + 1, c.id + 2, c.id + 3], false, now()
            FROM generate_series(1, 4) n, flags_country c WHERE c.code = CASE WHEN n < 4 THEN 'DE' ELSE 'FR' END;
        INSERT INTO flags_useranswer (user_id, question_id, answered_country_id, is_correct, answered_at)
            SELECT 9001, id, country_id, id < 9004, now() FROM flags_question WHERE id BETWEEN 9001 AND 9004
            UNION ALL SELECT 9002, id, country_id, id = 9001, now() FROM flags_question WHERE id IN (9001, 9004);
        """,
        database=postgres.stack.database,
    )
    yield
    postgres.superuser(
        "DELETE FROM flags_useranswer WHERE user_id > 9000; DELETE FROM flags_question WHERE id > 9000;"
        "DELETE FROM flags_dailychallenge WHERE id = 9000; DELETE FROM users_userstats WHERE user_id > 9000;"
        "DELETE FROM users_user WHERE id > 9000;",
        database=postgres.stack.database,
    )
