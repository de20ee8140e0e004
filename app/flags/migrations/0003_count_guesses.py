# ruff: noqa: RUF012 - as Django writes it
"""Counts the answers that are there, while the version before this one goes on taking others.

A batch is a transaction, and moves the line with it: interrupted, it goes on where it was. The answers that come
meanwhile are after the line, where reading finds them.
"""

import time
from typing import Any

from django.db import migrations

BATCH = 200_000
PATIENCE = 60  # seconds for those who are writing an answer at this moment: the application's role gives itself 60

STOP = "SELECT coalesce(max(id), 0) FROM flags_useranswer"
WRITERS = """
    SELECT array_agg(DISTINCT virtualtransaction) FROM pg_catalog.pg_locks
    WHERE relation = 'flags_useranswer'::regclass AND mode = 'RowExclusiveLock' AND granted
      AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"""
COUNT = """
    WITH line AS (
        UPDATE flags_guesscounting SET counted_to = least(counted_to + %(batch)s, %(stop)s)
        WHERE counted_to = %(line)s RETURNING counted_to
    )
    INSERT INTO flags_guesscount AS sums (country_id, challenge_id, guesses)
    SELECT q.country_id, q.challenge_id, count(*)
    FROM flags_useranswer AS a
    JOIN flags_question AS q ON q.id = a.question_id
    WHERE a.id > %(line)s AND a.id <= least(%(line)s + %(batch)s, %(stop)s) AND EXISTS (SELECT FROM line)
    GROUP BY q.country_id, q.challenge_id
    ON CONFLICT (country_id, challenge_id) DO UPDATE SET guesses = sums.guesses + excluded.guesses"""


def count(apps: Any, schema_editor: Any) -> None:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("INSERT INTO flags_guesscounting VALUES (1, 0, 0, '{}') ON CONFLICT DO NOTHING")
        stop = one(cursor, STOP)
        wait_for(cursor, set(one(cursor, WRITERS) or []))
        while (line := one(cursor, "SELECT counted_to FROM flags_guesscounting")) < stop:
            cursor.execute(COUNT, {"line": line, "stop": stop, "batch": BATCH})


def wait_for(cursor: Any, writers: set[str]) -> None:
    """Until none of them runs: whatever has an id up to `stop` is there then, or never will be."""
    until = time.monotonic() + PATIENCE
    while writers & set(one(cursor, WRITERS) or []):
        if time.monotonic() > until:
            raise RuntimeError(f"somebody has been writing answers for {PATIENCE} s; see ./scripts/ops sessions")
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
