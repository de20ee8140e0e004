"""Counts users' totals (users_userstats) from the raw answers: to verify them, to repair them."""

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.db import connection, transaction

from users.models import TOTALS, User, UserStats
from users.services import lock_stats

COUNT_FROM_ANSWERS = (Path(__file__).parent / "count_from_answers.sql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Recount:
    """One user's totals, counted from the answers and as stored, in the order of TOTALS."""

    user_id: int
    counted: tuple[object, ...]
    stored: tuple[object, ...]

    def __str__(self) -> str:
        parts = (
            f"{name} is {stored}, the answers say {counted}"
            for name, counted, stored in zip(TOTALS, self.counted, self.stored, strict=True)
            if counted != stored
        )
        return f"user {self.user_id}: " + "; ".join(parts)


def recount(stats: UserStats, today: datetime.date) -> None:
    """Set the totals of one locked row from the raw answers, with the streak as of `today`."""
    (result,) = _recounts(today, stats.user_id)
    for name, value in zip(TOTALS, result.counted, strict=True):
        setattr(stats, name, value)
    stats.save()


def differences(today: datetime.date) -> list[Recount]:
    """Return the users whose stored totals differ from their answers.

    A streak that a missed day ended counts as 0 on both sides, also before `expire_streaks` has stored the 0.
    """
    return [result for result in _recounts(today) if result.counted != result.stored]


def repair(user_ids: Iterable[int], today: datetime.date) -> None:
    """Recount these users one by one, each under the lock that answering takes."""
    for user in User.objects.in_bulk(list(user_ids)).values():
        with transaction.atomic():
            recount(lock_stats(user), today)


def _recounts(today: datetime.date, user_id: int | None = None) -> Iterator[Recount]:
    with connection.cursor() as cursor:
        cursor.execute(COUNT_FROM_ANSWERS, {"today": today, "user_id": user_id})
        for row in cursor.fetchall():
            yield Recount(row[0], counted=row[1:6], stored=row[6:11])
