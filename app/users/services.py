"""Keeps everybody's totals (users_userstats) in step with the raw answers."""

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.db import connection, transaction

from users.models import ONE_DAY, User, UserStats

TOTALS = ("total_answers", "total_correct", "current_streak", "longest_streak", "last_guess_date")

COUNT_FROM_ANSWERS = (Path(__file__).parent / "count_from_answers.sql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Recount:
    """One person's totals, counted from the answers and as stored, in the order of TOTALS."""

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


def lock_stats(user: User) -> UserStats:
    """The person's totals, locked until the transaction ends; made when this is their first answer."""
    locked = UserStats.objects.select_for_update().filter(user=user)
    if stats := locked.first():
        return stats
    UserStats.objects.bulk_create([UserStats(user=user)], ignore_conflicts=True)
    return locked.get()


def recount(stats: UserStats, today: datetime.date) -> None:
    """Sets the totals of one locked row from the raw answers, with the streak as of `today`."""
    (result,) = _recounts(today, stats.user_id)
    for name, value in zip(TOTALS, result.counted, strict=True):
        setattr(stats, name, value)
    stats.save()


def differences(today: datetime.date) -> list[Recount]:
    """Everybody whose stored totals aren't what their answers say.

    A streak that ended by a missed day counts as 0 whether or not `expire_streaks` has stored that yet.
    """
    return [result for result in _recounts(today) if result.counted != result.stored]


def repair(user_ids: Iterable[int], today: datetime.date) -> None:
    """Recounts these people one by one, each under the same lock that answering takes."""
    for user in User.objects.in_bulk(list(user_ids)).values():
        with transaction.atomic():
            recount(lock_stats(user), today)


def expire_streaks(today: datetime.date) -> int:
    """Stores 0 for every streak that ended by a missed day, and says how many there were."""
    return UserStats.objects.filter(current_streak__gt=0, last_guess_date__lt=today - ONE_DAY).update(current_streak=0)


def _recounts(today: datetime.date, user_id: int | None = None) -> Iterator[Recount]:
    with connection.cursor() as cursor:
        cursor.execute(COUNT_FROM_ANSWERS, {"today": today, "user_id": user_id})
        for row in cursor.fetchall():
            yield Recount(row[0], counted=row[1:6], stored=row[6:11])
