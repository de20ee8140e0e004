"""How often each country's flag was answered, without counting every answer each time.

flags_guesscount has the sums up to one answer, whose id flags_guesscounting keeps: the line. Reading adds the few
answers after it (most_guessed.sql), so what is read is exact, at any moment. Nothing is written when somebody answers:
no counter that everybody waits for, no queue. Now and then an answer moves the line on (`count_further`). The reasons
are in docs/adr/, "What grows is counted once".
"""

import datetime
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.db.models.signals import pre_delete
from django.dispatch import receiver

from flags.models import GuessCount, GuessCounting, UserAnswer

logger = logging.getLogger(__name__)

# So many answers, or twice as many, are counted when somebody reads: 8 pages of the cache each, some microseconds.
COUNT_EVERY = 100
# After a while without counting (an older version of the app was running), no request has to make up for all of it.
AT_MOST = 10_000


def _sql(name: str) -> str:
    return (Path(__file__).parent / f"{name}.sql").read_text(encoding="utf-8")


MOST_GUESSED, COUNT_GUESSES, COMPARE_GUESSES = _sql("most_guessed"), _sql("count_guesses"), _sql("compare_guesses")

# Who writes answers at this moment: whoever inserts takes this lock before the answer gets its id, and keeps it until
# the end of the transaction. CREATE INDEX CONCURRENTLY waits for the same.
WRITERS = """
    SELECT coalesce(array_agg(DISTINCT virtualtransaction), '{}')
    FROM pg_catalog.pg_locks
    WHERE relation = 'flags_useranswer'::regclass AND mode = 'RowExclusiveLock' AND granted
      AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"""


@dataclass(frozen=True, slots=True)
class Miscount:
    """A country whose sum isn't what the answers say: in practice, or in the challenge of a day."""

    country: str
    date: datetime.date | None
    counted: int
    stored: int

    def __str__(self) -> str:
        where = f"the challenge of {self.date}" if self.date else "practice"
        return f"{self.country} in {where}: {self.stored} guesses are stored, the answers say {self.counted}"


def most_guessed(limit: int, before: datetime.date) -> list[tuple[str, str, str, int]]:
    """Code, name, emoji, guesses of the countries that were answered most; challenges from `before` on don't count."""
    return [tuple(row) for row in _rows(MOST_GUESSED, {"limit": limit, "before": before})]


def after_answer(answer: UserAnswer) -> None:
    """Every so many answers, count. The answer is stored already and stands, whatever happens here."""
    if answer.pk % COUNT_EVERY:
        return
    try:
        count_further()
    except DatabaseError:
        logger.warning("the guesses were not counted; a later answer does it", exc_info=True)


def count_further() -> None:
    """Moves the line on to where it can be moved safely, and says where it may go next time.

    Ids are given before a transaction ends: when 7 is there, 6 may still be on its way. So a stop is chosen first, and
    who is writing at that moment noted; the line moves there when none of them is writing any more, usually the next
    time. Nobody waits for anybody: if somebody else is counting, they are.
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
            counting.writers = sorted(_writers())  # after the stop was chosen, never before
        counting.save()


def differences() -> list[Miscount]:
    """Sums that aren't what the answers say. One statement, hence one moment."""
    return [Miscount(*row) for row in _rows(COMPARE_GUESSES, {})]


def repair() -> None:
    """Counts all anew, up to the line."""
    with transaction.atomic():
        counting = GuessCounting.objects.select_for_update().first() or GuessCounting()
        GuessCount.objects.all().delete()
        upto, counting.counted_to = counting.counted_to, 0
        _count(counting, upto)
        counting.save()


@receiver(pre_delete, sender=UserAnswer)
def uncount(instance: UserAnswer, **_: Any) -> None:
    """An answer that goes (with its person, say) goes out of the sums, if it is in them."""
    counting = GuessCounting.objects.select_for_update().first()
    if counting is not None and instance.pk <= counting.counted_to:
        question = instance.question
        counted = GuessCount.objects.filter(country_id=question.country_id, challenge_id=question.challenge_id)
        counted.update(guesses=F("guesses") - 1)


def _count(counting: GuessCounting, upto: int) -> None:
    """Adds the answers between the line and `upto` to the sums. The caller has the row's lock, and saves it."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT_GUESSES, {"after": counting.counted_to, "upto": upto})
    counting.counted_to = upto


def _writers() -> set[str]:
    return set(_rows(WRITERS, {})[0][0])


def _rows(sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())
