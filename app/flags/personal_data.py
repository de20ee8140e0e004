"""A user's questions and answers: for the download, and deleted in batches (users.personal_data)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from flags.models import GuessCounting, UserAnswer
from flags.services import utc_date
from flags.totals import recount
from users.models import User
from users.services import lock_stats

EXPORT_BATCH = 2_000
# A transaction of some hundred milliseconds. It stops the counting of guesses, for which no request waits.
DELETE_BATCH = 5_000
DELETE_ANSWERS = (Path(__file__).parent / "delete_answers.sql").read_text(encoding="utf-8")

COLUMNS = {
    "answered_at": "answered_at",
    "kind": "question__kind",
    "challenge": "question__challenge__date",
    "country": "question__country__name",
    "answer": "answered_country__name",
    "is_correct": "is_correct",
}


def answers(user: User) -> Iterator[dict[str, Any]]:
    """Yield the user's answers, the newest first."""
    rows = UserAnswer.objects.filter(user=user).order_by("-id").values_list("id", *COLUMNS.values())
    last = None
    while batch := list((rows.filter(id__lt=last) if last else rows)[:EXPORT_BATCH]):
        for id_, *values in batch:
            last = id_
            yield dict(zip(COLUMNS, values, strict=True))


def erase(user: User) -> Iterator[None]:
    """Delete the user's answers and the practice questions that they answer; yield after each batch.

    After each, the totals and the guess counts are those of the answers that are left.
    """
    while _erase_batch(user):
        yield


def _erase_batch(user: User) -> int:
    with transaction.atomic():
        stats = lock_stats(user)  # before the answers, as answering does
        counting = GuessCounting.objects.select_for_update().first()
        with connection.cursor() as cursor:
            values = {"user": user.pk, "limit": DELETE_BATCH, "counted_to": counting.counted_to if counting else 0}
            cursor.execute(DELETE_ANSWERS, values)
            (deleted,) = cursor.fetchone()
        if deleted:
            recount(stats, today=utc_date())
    return int(deleted)
