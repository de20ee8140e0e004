# ruff: noqa: RUF012 - as Django writes it
"""Counts the existing answers while the previous version of the app stores new ones.

Each batch is a transaction that also moves the high-water mark: after an interruption it continues there. Answers
stored meanwhile are above the mark, where reading finds them.
"""

import time
from typing import Any

from django.db import migrations

BATCH = 200_000
WRITERS_TIMEOUT = 60  # seconds; the application role's own limit for a transaction is 60

STOP = "SELECT coalesce(max(id), 0) FROM flags_useranswer"
WRITERS = """
    SELECT array_agg(DISTINCT virtualtransaction) FROM pg_catalog.pg_locks
    WHERE relation = 'flags_useranswer'::regclass AND mode = 'RowExclusiveLock' AND granted
      AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"""
COUNT = """
    WITH mark AS (
        UPDATE flags_guesscounting SET counted_to = least(counted_to + %(batch)s, %(stop)s)
        WHERE counted_to = %(mark)s RETURNING counted_to
    )
    INSERT INTO flags_guesscount AS sums (country_id, challenge_id, guesses)
    SELECT q.country_id, q.challenge_id, count(*)
    FROM flags_useranswer AS a
    JOIN flags_question AS q ON q.id = a.question_id
    WHERE a.id > %(mark)s AND a.id <= least(%(mark)s + %(batch)s, %(stop)s) AND EXISTS (SELECT FROM mark)
    GROUP BY q.country_id, q.challenge_id
    ON CONFLICT (country_id, challenge_id) DO UPDATE SET guesses = sums.guesses + excluded.guesses"""


def count(apps: Any, schema_editor: Any) -> None:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("INSERT INTO flags_guesscounting VALUES (1, 0, 0, '{}') ON CONFLICT DO NOTHING")
        stop = one(cursor, STOP)
        wait_for(cursor, set(one(cursor, WRITERS) or []))
        while (mark := one(cursor, "SELECT counted_to FROM flags_guesscounting")) < stop:
            cursor.execute(COUNT, {"mark": mark, "stop": stop, "batch": BATCH})


def wait_for(cursor: Any, writers: set[str]) -> None:
    """Wait until none of these transactions is running: then no answer with an id up to `stop` can be added."""
    until = time.monotonic() + WRITERS_TIMEOUT
    while writers & set(one(cursor, WRITERS) or []):
        if time.monotonic() > until:
            raise RuntimeError(f"transactions write answers for over {WRITERS_TIMEOUT} s: see ./scripts/ops sessions")
        time.sleep(0.1)


def one(cursor: Any, sql: str) -> Any:
    cursor.execute(sql)
    return cursor.fetchone()[0]


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("flags", "0002_guess_counts"),
    ]

    operations = [
        migrations.RunPython(count, migrations.RunPython.noop, elidable=True),
    ]
