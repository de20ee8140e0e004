"""Users and their totals."""

import datetime
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower, Round
from django.utils import timezone

from users.fields import LowercaseEmailField

ONE_DAY = datetime.timedelta(days=1)
# The columns of UserStats that are counted from the answers.
TOTALS = ("total_answers", "total_correct", "current_streak", "longest_streak", "last_guess_date")


class UserManager(BaseUserManager["User"]):
    """Creates users; the e-mail address is the login name."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Create a player; without a password, the account can't log in."""
        if not email:
            raise ValueError("A user needs an e-mail address: it is the login name.")
        user = self.model(email=email, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Create a user with all permissions in the admin (`manage.py createsuperuser`)."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """A player, identified by an e-mail address that other players don't see."""

    email = LowercaseEmailField("e-mail address", max_length=254)
    display_name = models.CharField(max_length=40, blank=True, help_text="Shown on the leaderboard.")
    is_staff = models.BooleanField(default=False, help_text="May open the admin.")
    is_active = models.BooleanField(
        default=True, help_text="May log in. Deactivate accounts rather than deleting them."
    )
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    read_with: Mapping[Any, Any] = MappingProxyType({})  # rows of other tables: users.sessions.OneMore

    class Meta:
        # A constraint rather than unique=True, which would add a second index for LIKE.
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["email"],
                name="user_email_once",
                violation_error_message="This e-mail address has an account already.",
            ),
            models.CheckConstraint(condition=Q(email=Lower("email")), name="user_email_lowercase"),
        ]

    def __str__(self) -> str:
        return str(self.email)

    @property
    def public_name(self) -> str:
        """Return the name that other players see: the chosen one, never the e-mail address."""
        return self.display_name or f"Player {self.pk}"


class UserStats(models.Model):
    """A user's totals, stored in addition to the answers so that a page reads one row instead of counting.

    `manage.py recount_statistics` verifies them. A streak is a run of consecutive UTC days whose daily challenge was
    answered correctly.
    """

    user = models.OneToOneField(User, models.CASCADE, primary_key=True, related_name="stats")
    total_answers = models.PositiveIntegerField(default=0)
    total_correct = models.PositiveIntegerField(default=0)
    current_streak = models.PositiveIntegerField(default=0)
    longest_streak = models.PositiveIntegerField(default=0)
    last_guess_date = models.DateField(null=True, blank=True, help_text="The UTC date of the last daily answer.")

    class Meta:
        verbose_name_plural = "user stats"
        # PositiveIntegerField adds the checks against negative values.
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(total_correct__lte=F("total_answers")), name="userstats_correct_le_answers"
            ),
            models.CheckConstraint(
                condition=Q(current_streak__lte=F("longest_streak")), name="userstats_current_le_longest"
            ),
            models.CheckConstraint(
                condition=Q(longest_streak__lte=F("total_correct")), name="userstats_longest_le_correct"
            ),
            models.CheckConstraint(
                condition=Q(last_guess_date__isnull=False) | Q(longest_streak=0), name="userstats_streak_has_a_date"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-total_correct", "-longest_streak", "user"], name="userstats_leaderboard"),
            # Streaks in order, and expire_streaks: few rows have a streak, so the index stays small.
            models.Index(
                fields=["-current_streak", "user"],
                include=["last_guess_date"],
                condition=Q(current_streak__gt=0),
                name="userstats_streaks",
            ),
            # Accuracy in order: the same expression as in pg/queries/app_accuracy.sql.
            models.Index(
                Round(Decimal("100.0") * F("total_correct") / F("total_answers"), 2).desc(),
                F("total_answers").desc(),
                F("user"),
                condition=Q(total_answers__gt=0),
                name="userstats_accuracy",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.total_correct} of {self.total_answers} correct, streak {self.current_streak}"

    def count(self, *, is_correct: bool) -> None:
        """Count an answer, daily or practice."""
        self.total_answers += 1
        self.total_correct += is_correct

    def extend_streak(self, day: datetime.date, *, is_correct: bool) -> None:
        """Update the streaks with the daily answer of `day`, which must be later than all earlier ones."""
        if not is_correct:
            self.current_streak = 0
        elif self.last_guess_date == day - ONE_DAY:
            self.current_streak += 1
        else:
            self.current_streak = 1
        self.longest_streak = max(self.longest_streak, self.current_streak)
        self.last_guess_date = day

    def streak_on(self, today: datetime.date) -> int:
        """Return the streak as of `today`: it lasts through the day after the last correct answer, then it is 0."""
        if self.last_guess_date is None or self.last_guess_date < today - ONE_DAY:
            return 0
        return self.current_streak
