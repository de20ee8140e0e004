"""The game's tables. Rules that PostgreSQL enforces are constraints here; the others are in services.py."""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

OPTIONS_PER_QUESTION = 4


class Country(models.Model):
    """A country with a flag; `manage.py load_countries` inserts the 195."""

    code = models.CharField(max_length=2, validators=[RegexValidator(r"^[A-Z]{2}\Z")], help_text="ISO 3166-1 alpha-2.")
    name = models.CharField(max_length=60, help_text="The everyday English name.")
    flag_emoji = models.CharField(max_length=8)
    region = models.CharField(max_length=40)
    subregion = models.CharField(max_length=40)
    lookalikes = ArrayField(
        models.CharField(max_length=2),
        default=list,
        blank=True,
        help_text="Codes of countries with a flag hard to tell from this one.",
    )

    class Meta:
        ordering: ClassVar = ["name"]
        verbose_name_plural = "countries"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["code"], name="country_code_once"),
            # Checked at the end of a transaction: one load may rename two countries into each other's names.
            models.UniqueConstraint(fields=["name"], name="country_name_once", deferrable=models.Deferrable.DEFERRED),
            models.CheckConstraint(condition=Q(code__regex=r"^[A-Z]{2}$"), name="country_code_form"),
        ]

    def __str__(self) -> str:
        return self.name

    def looks_like(self, other: "Country") -> bool:
        """Whether the two flags are too alike to be options of the same question."""
        return other.code in self.lookalikes or self.code in other.lookalikes


class DailyChallenge(models.Model):
    """The country of one UTC day, the same for all players."""

    date = models.DateField()
    # No query looks a challenge up by its country, and countries are never deleted: no index.
    country = models.ForeignKey(Country, models.PROTECT, db_index=False, related_name="challenges")
    selection_algorithm_version = models.PositiveSmallIntegerField()

    class Meta:
        ordering: ClassVar = ["-date"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["date"], name="dailychallenge_date_once")]

    def __str__(self) -> str:
        return f"Challenge of {self.date}"


class Question(models.Model):
    """A flag and four names: the question of a daily challenge, or one user's practice question."""

    class Kind(models.TextChoices):
        DAILY = "daily"
        PRACTICE = "practice"

    kind = models.CharField(max_length=8, choices=Kind)
    country = models.ForeignKey(Country, models.PROTECT, related_name="questions", help_text="The right answer.")
    challenge = models.OneToOneField(DailyChallenge, models.CASCADE, null=True, blank=True, related_name="question")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        blank=True,
        db_index=False,  # question_by_user begins with it
        related_name="practice_questions",
    )
    options = ArrayField(
        models.BigIntegerField(), help_text="Ids of the countries to choose from, in the order they are shown."
    )
    is_open = models.BooleanField(default=False, help_text="A practice question that waits for its answer.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(kind="daily", challenge__isnull=False, user__isnull=True, is_open=False)
                | Q(kind="practice", challenge__isnull=True, user__isnull=False),
                name="question_kind_consistent",
            ),
            models.CheckConstraint(condition=Q(options__len=OPTIONS_PER_QUESTION), name="question_four_options"),
            models.CheckConstraint(condition=Q(options__contains=[F("country")]), name="question_has_right_option"),
            # An unanswered practice question is asked again instead of piling up, however many requests race.
            models.UniqueConstraint(fields=["user"], condition=Q(is_open=True), name="question_one_open_per_user"),
        ]
        indexes: ClassVar = [
            # A user's recent questions, and the cascade when the user is deleted.
            models.Index(fields=["user", "-id"], condition=Q(user__isnull=False), name="question_by_user"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} question {self.pk}"


class UserAnswer(models.Model):
    """A user's answer; never updated, so the statistics can be recounted from it."""

    # useranswer_once begins with the user: no index of its own.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, db_index=False, related_name="answers")
    question = models.ForeignKey(Question, models.CASCADE, related_name="answers")
    answered_country = models.ForeignKey(Country, models.PROTECT, db_index=False, related_name="+")
    is_correct = models.BooleanField()
    answered_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "question"], name="useranswer_once")]
        # A user's latest answers: without it, all of the user's answers are read, or the whole table.
        indexes: ClassVar = [models.Index(fields=["user", "-id"], name="useranswer_by_user")]

    def __str__(self) -> str:
        return f"Answer {self.pk}"


class GuessCount(models.Model):
    """The number of answers to a country's flag: in practice (no challenge), or in the challenge of one day.

    Counted up to GuessCounting's high-water mark; guesses.py maintains and reads both.
    """

    # Both referenced tables are small, and their rows are hardly ever deleted: no indexes.
    country = models.ForeignKey(Country, models.PROTECT, db_index=False, related_name="+")
    challenge = models.ForeignKey(DailyChallenge, models.CASCADE, null=True, db_index=False, related_name="+")
    guesses = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["country", "challenge"], nulls_distinct=False, name="guesscount_once"),
            models.CheckConstraint(condition=Q(guesses__gte=0), name="guesscount_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.guesses} guesses"


class GuessCounting(models.Model):
    """The high-water mark: the id of the last answer that is counted; one row."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    counted_to = models.BigIntegerField(default=0, help_text="Answers up to this id are in the sums, none after it is.")
    stop = models.BigIntegerField(default=0, help_text="The next high-water mark …")
    writers = ArrayField(
        models.TextField(), default=list, help_text="… as soon as none of these writing transactions is running."
    )

    class Meta:
        constraints: ClassVar = [models.CheckConstraint(condition=Q(id=1), name="guesscounting_one_row")]

    def __str__(self) -> str:
        return f"Counted up to answer {self.counted_to}"
