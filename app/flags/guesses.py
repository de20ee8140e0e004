"""Incremental counters of the answers to each country's flag.

flags_guesscount holds the sums of the answers up to one id, the high-water mark in flags_guesscounting. Reading adds
the few answers above it (most_guessed.sql), so that results are always exact. Storing an answer updates no counter,
hence no row that all writers would lock. Every COUNT_EVERY-th answer moves the mark (`count_further`). The reasons are
in docs/adr/.
"""

import datetime
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections, transaction
from django.db.models import F
from django.db.models.signals import pre_delete
from django.dispatch import receiver

from flags.models import GuessCount, GuessCounting, UserAnswer

logger = logging.getLogger(__name__)

# At most twice as many answers are counted at each read: 8 buffer accesses each, some microseconds.
COUNT_EVERY = 100
# A batch's upper limit: after a time without counting (an older version of the app ran), no request counts it all.
AT_MOST = 10_000


def _sql(name: str) -> str:
    return (Path(__file__).parent / f"{name}.sql").read_text(encoding="utf-8")


MOST_GUESSED, COUNT_GUESSES, COMPARE_GUESSES = _sql("most_guessed"), _sql("count_guesses"), _sql("compare_guesses")

# The transactions that are writing answers: an INSERT takes this lock before the answer gets its id, and holds it until
# the transaction ends. CREATE INDEX CONCURRENTLY waits for the same locks.
WRITERS = """
    SELECT coalesce(array_agg(DISTINCT virtualtransaction), '{}')
    FROM pg_catalog.pg_locks
    WHERE relation = 'flags_useranswer'::regclass AND mode = 'RowExclusiveLock' AND granted
      AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"""


@dataclass(frozen=True, slots=True)
class Miscount:
    """A country whose sum differs from its answers: in practice, or in the challenge of a day."""

    country: str
    date: datetime.date | None
    counted: int
    stored: int

    def __str__(self) -> str:
        where = f"the challenge of {self.date}" if self.date else "practice"
        return f"{self.country} in {where}: {self.stored} guesses are stored, the answers say {self.counted}"


def most_guessed(limit: int, before: datetime.date, using: str = DEFAULT_DB_ALIAS) -> list[tuple[str, str, str, int]]:
    """Return code, name, emoji, guesses of the countries answered most; challenges from `before` on don't count."""
    return [tuple(row) for row in _rows(MOST_GUESSED, {"limit": limit, "before": before}, using)]


def after_answer(answer: UserAnswer) -> None:
    """Count after every COUNT_EVERY-th answer. The answer is committed: an error here doesn't affect it."""
    if answer.pk % COUNT_EVERY:
        return
    try:
        count_further()
    except DatabaseError:
        logger.warning("the guesses were not counted; a later answer will count them", exc_info=True)


def count_further() -> None:
    """Move the high-water mark to the chosen stop when that is safe, and choose the next stop.

    An id is assigned before its transaction commits: when 7 is visible, 6 may not be. So the stop is chosen first, and
    the transactions that are writing at that time are recorded. The mark moves when none of them is running any more,
    usually at the next call. A call returns at once while another one is counting.
    """
    with transaction.atomic():
        counting = GuessCounting.objects.select_for_update(skip_locked=True).first()
        if counting is None:
            GuessCounting.objects.bulk_create([GuessCounting()], ignore_conflicts=True)
            return
        if counting.stop > counting.counted_to and not set(counting.writers) & _writers():
            _count(counting, min(counting.stop, counting.counted_to + AT_MOST))
        if counting.stop <= counting.counted_to:
            counting.stop = UserAnswer.objects.order_by("-id").values_list("id", flat=True).first() or 0
            counting.writers = sorted(_writers())  # after choosing the stop, never before
        counting.save()


def differences() -> list[Miscount]:
    """Return the sums that differ from the answers. One statement, hence one snapshot."""
    return [Miscount(*row) for row in _rows(COMPARE_GUESSES, {})]


def repair() -> None:
    """Recount all answers up to the high-water mark."""
    with transaction.atomic():
        counting = GuessCounting.objects.select_for_update().first() or GuessCounting()
        GuessCount.objects.all().delete()
        upto, counting.counted_to = counting.counted_to, 0
        _count(counting, upto)
        counting.save()


@receiver(pre_delete, sender=UserAnswer)
def uncount(instance: UserAnswer, **_: Any) -> None:
    """Subtract a deleted answer (deleted with its user, for example) if it is counted."""
    counting = GuessCounting.objects.select_for_update().first()
    if counting is not None and instance.pk <= counting.counted_to:
        question = instance.question
        counted = GuessCount.objects.filter(country_id=question.country_id, challenge_id=question.challenge_id)
        counted.update(guesses=F("guesses") - 1)


def _count(counting: GuessCounting, upto: int) -> None:
    """Add the answers above the mark up to `upto` to the sums. The caller holds the row's lock and saves the row."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT_GUESSES, {"after": counting.counted_to, "upto": upto})
    counting.counted_to = upto


def _writers() -> set[str]:
    return set(_rows(WRITERS, {})[0][0])


def _rows(sql: str, values: dict[str, Any], using: str = DEFAULT_DB_ALIAS) -> list[tuple[Any, ...]]:
    with connections[using].cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())
