"""Locks and expires the stored totals (users_userstats). What counts them from the answers is in flags.totals."""

import datetime
from typing import TypeVar

from django.db.models import Model

from users.models import ONE_DAY, User, UserStats

M = TypeVar("M", bound=Model)


def lock_stats(user: User) -> UserStats:
    """Return the user's totals, locked until the transaction ends; the first answer creates the row."""
    locked = UserStats.objects.select_for_update().filter(user=user)
    if stats := locked.first():
        return stats
    UserStats.objects.bulk_create([UserStats(user=user)], ignore_conflicts=True)
    return locked.get()


def stats_read_with(user: User) -> UserStats | None:
    """Return the totals that were read together with the user (users.sessions), if so and if there is a row."""
    return user._state.fields_cache.get("stats")


def row_read_with(user: User, model: type[M], value: int) -> tuple[bool, M | None]:
    """Return whether a row was read together with the user (users.sessions.OneMore), and the row, if there is one."""
    return (model, value) in user.read_with, user.read_with.get((model, value))


def forget_read(user: User) -> None:
    """Totals and rows that were read with the user have changed: the next reader of them queries."""
    user._state.fields_cache.pop("stats", None)
    user.read_with = {}


def expire_streaks(today: datetime.date) -> int:
    """Store 0 for every streak that a missed day ended; return their number."""
    return UserStats.objects.filter(current_streak__gt=0, last_guess_date__lt=today - ONE_DAY).update(current_streak=0)
