"""The rules of the game. Pages, API and commands call these functions.

Days are UTC days for all players. Functions that depend on the time take it as `now` (or `today`), so that one time
applies to the whole request, and tests can choose it.
"""

import copy
import datetime
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from django.contrib.sessions.backends.base import SessionBase
from django.core.cache import cache
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from core import replica
from core.per_worker import PerWorker
from core.postgresql.prepared import Prepared, result_columns
from core.replica import Reading
from flags import guesses, selection
from flags.models import OPTIONS_PER_QUESTION, Country, DailyChallenge, Question, UserAnswer
from flags.totals import recount
from users.models import TOTALS, User, UserStats
from users.services import forget_read, lock_stats, row_read_with, stats_read_with
from users.sessions import OneMore, SessionStore

# A country is not asked again within so many practice questions.
PRACTICE_MEMORY = 20

# Per-worker cache TTL, in seconds, of data shared by all users.
SHARED_SECONDS = 1
DAILY_QUESTIONS = PerWorker[Question](SHARED_SECONDS)
COUNTRIES = PerWorker[Country](60)  # names and flags change with a new data file only

# Raw: the ORM takes as long to build such a statement as PostgreSQL takes to answer it.
ANSWER_TO = Prepared(
    f"SELECT {result_columns(UserAnswer)} FROM flags_useranswer "  # noqa: S608
    "WHERE user_id = %(user_id)s AND question_id = %(question_id)s"
)
QUESTION_FOR = Prepared(f"""
    SELECT {result_columns(Question)}, challenge.date::date AS challenge_date
    FROM flags_question
    LEFT JOIN flags_dailychallenge AS challenge ON challenge.id = challenge_id
    WHERE flags_question.id = %(question_id)s AND (user_id = %(user_id)s OR challenge.date <= %(today)s)""")  # noqa: S608
ANSWER_WITH_USER = OneMore(UserAnswer, by="question_id")
# Not prepared: what may wait for a lock has the request's id in the server's log (core.postgresql.base).
STORE_ANSWER = (Path(__file__).parent / "store_answer.sql").read_text(encoding="utf-8")


class NoCountries(Exception):
    """The table of countries is empty or too small to make a question from."""

    def __init__(self) -> None:
        super().__init__("There are no countries to ask for: run `python manage.py load_countries`.")


class AnswerError(Exception):
    """Why an answer was rejected; the text is for the player."""


class QuestionNotFound(AnswerError):
    def __init__(self) -> None:
        super().__init__("There is no such question.")


class AlreadyAnswered(AnswerError):
    def __init__(self) -> None:
        super().__init__("You have answered this question already.")


class NotAnOption(AnswerError):
    def __init__(self) -> None:
        super().__init__("This country is not one of the question's options.")


class ChallengeClosed(AnswerError):
    """A daily challenge can be answered until its UTC day ends."""

    def __init__(self) -> None:
        super().__init__("This challenge has ended: a new one began at midnight UTC.")


@dataclass(frozen=True, slots=True)
class Statistics:
    """A user's totals and streaks as of a day."""

    total_answers: int
    total_correct: int
    current_streak: int
    longest_streak: int
    last_guess_date: datetime.date | None

    @property
    def accuracy(self) -> float:
        """The percentage of right answers, with one decimal; 0 before the first answer."""
        return round(100 * self.total_correct / self.total_answers, 1) if self.total_answers else 0.0


@dataclass(frozen=True, slots=True)
class LeaderboardRow:
    """A row of the leaderboard. Equal results share a rank."""

    rank: int
    user_id: int
    name: str
    total_correct: int
    current_streak: int
    longest_streak: int


@dataclass(frozen=True, slots=True)
class GuessedCountry:
    """The number of right and wrong answers to a country's flag."""

    code: str
    name: str
    emoji: str
    guesses: int


def utc_date(now: datetime.datetime | None = None) -> datetime.date:
    """Return the game's date at `now`, by default today."""
    return (now or timezone.now()).astimezone(datetime.UTC).date()


# --- The daily challenge --------------------------------------------------------------------------------------------


def challenge_for(date: datetime.date) -> DailyChallenge:
    """Return the challenge of a day; the first call creates it.

    Of concurrent calls, the first insert wins and all of them read its row.
    """
    challenges = DailyChallenge.objects.select_related("country")
    if challenge := challenges.filter(date=date).first():
        return challenge
    country_ids = dict(Country.objects.values_list("code", "id"))
    if len(country_ids) < OPTIONS_PER_QUESTION:
        raise NoCountries
    DailyChallenge.objects.bulk_create(
        [
            DailyChallenge(
                date=date,
                country_id=country_ids[selection.country_code_for(date, list(country_ids))],
                selection_algorithm_version=selection.VERSION,
            )
        ],
        ignore_conflicts=True,
    )
    return challenges.get(date=date)


def daily_question(now: datetime.datetime | None = None) -> Question:
    """Return the question of today's challenge: one row for all players, cached for SHARED_SECONDS."""
    today = utc_date(now)
    return DAILY_QUESTIONS.get(today) or DAILY_QUESTIONS.keep(today, _question_of(today))


def _question_of(today: datetime.date) -> Question:
    questions = Question.objects.select_related("country", "challenge").filter(challenge__date=today)
    if question := questions.first():
        return question
    challenge = challenge_for(today)
    Question.objects.bulk_create(
        [
            Question(
                kind=Question.Kind.DAILY,
                challenge=challenge,
                country=challenge.country,
                options=_options_for(challenge.country),
            )
        ],
        ignore_conflicts=True,
    )
    return questions.get()


# --- Practice -------------------------------------------------------------------------------------------------------


def open_practice_question(user: User) -> Question | None:
    """Return the user's unanswered practice question, if there is one."""
    return Question.objects.select_related("country").filter(user=user, is_open=True).first()


def new_practice_question(user: User) -> Question:
    """Return the user's unanswered practice question, or create one."""
    if question := open_practice_question(user):
        return question
    country = _country_to_practise(user)
    Question.objects.bulk_create(
        [
            Question(
                kind=Question.Kind.PRACTICE, user=user, country=country, options=_options_for(country), is_open=True
            )
        ],
        ignore_conflicts=True,
    )
    return Question.objects.select_related("country").get(user=user, is_open=True)


def _country_to_practise(user: User) -> Country:
    """Return a random country, not one of the user's latest PRACTICE_MEMORY questions if possible."""
    recent = Question.objects.filter(user=user).order_by("-id").values_list("country_id", flat=True)[:PRACTICE_MEMORY]
    countries = Country.objects.order_by("?")
    country = countries.exclude(id__in=list(recent)).first() or countries.first()
    if country is None:
        raise NoCountries
    return country


# --- Options --------------------------------------------------------------------------------------------------------


def options_of(question: Question) -> list[Country]:
    """Return the countries to choose from, in display order."""
    countries = _countries(question.options)
    return [countries[id_] for id_ in question.options]


def _countries(ids: list[int]) -> dict[int, Country]:
    """Return countries by id."""
    known = {id_: country for id_ in ids if (country := COUNTRIES.get(id_))}
    if len(known) < len(ids):
        known |= {id_: COUNTRIES.keep(id_, country) for id_, country in Country.objects.in_bulk(ids).items()}
    return known


def _options_for(country: Country) -> list[int]:
    """Return the ids of the right country and of three plausible wrong ones, shuffled.

    Wrong ones are from the same region if it has enough; no two of the four flags look alike.
    """
    others = list(Country.objects.exclude(id=country.id))
    random.shuffle(others)
    others.sort(key=lambda other: other.region != country.region)
    options = [country]
    for other in others:
        if len(options) == OPTIONS_PER_QUESTION:
            break
        if not any(other.looks_like(option) for option in options):
            options.append(other)
    if len(options) < OPTIONS_PER_QUESTION:
        raise NoCountries
    random.shuffle(options)
    return [option.id for option in options]


# --- Answering ------------------------------------------------------------------------------------------------------


def answer(user: User, question_id: int, country_code: str, now: datetime.datetime | None = None) -> UserAnswer:
    """Store the user's answer to a question and update the totals; both or neither.

    Raises QuestionNotFound (also for another user's practice question), ChallengeClosed, NotAnOption, AlreadyAnswered.
    """
    now = now or timezone.now()
    question = _question_for(user, question_id, now)
    chosen = next((option for option in options_of(question) if option.code == country_code), None)
    if chosen is None:
        raise NotAnOption
    user_answer = UserAnswer(
        user=user,
        question=question,
        answered_country=chosen,
        is_correct=chosen.id == question.country_id,
        answered_at=now,
    )
    try:
        if not _store_at_once(user_answer):
            _store_under_lock(user_answer)
    except IntegrityError as error:
        if _violated_constraint(error) == "useranswer_once":
            raise AlreadyAnswered from None
        raise
    finally:
        forget_read(user)
    guesses.after_answer(user_answer)
    return user_answer


def _store_at_once(user_answer: UserAnswer) -> bool:
    """Store the answer with the totals that were read with the user, in one statement without a lock before it.

    Return False, with nothing stored, when there are no such totals, when another request has changed them since, and
    when they can't be computed from the totals before.
    """
    stats = stats_read_with(user_answer.user)
    if stats is None or _overtaken_on(stats, user_answer):
        return False
    new = copy.copy(stats)
    _count(new, user_answer)
    values = {
        **{name: getattr(new, name) for name in TOTALS},
        **{f"old_{name}": getattr(stats, name) for name in TOTALS},
        **{field.attname: getattr(user_answer, field.attname) for field in UserAnswer._meta.concrete_fields},
    }
    with connection.cursor() as cursor:
        cursor.execute(STORE_ANSWER, values)
        stored = cursor.fetchone()
    if stored:
        (user_answer.pk,) = stored
    return stored is not None


def _store_under_lock(user_answer: UserAnswer) -> None:
    """Store the answer and the totals in a transaction that locks the totals first.

    Concurrent answers of one user are then counted one after the other.
    """
    question = user_answer.question
    with transaction.atomic():
        stats = lock_stats(user_answer.user)
        user_answer.save(force_insert=True)
        if day := _overtaken_on(stats, user_answer):
            recount(stats, today=day)
        else:
            _count(stats, user_answer)
            stats.save()
        if question.kind == Question.Kind.PRACTICE:
            Question.objects.filter(id=question.id).update(is_open=False)


def read_answer_with_user(session: SessionBase, question: Question) -> None:
    """The statement that will read session and user also reads the user's answer to the question."""
    if isinstance(session, SessionStore):
        session.read_too(ANSWER_WITH_USER, question.pk)


def answer_to(user: User, question: Question) -> UserAnswer | None:
    """Return the user's answer to the question, if there is one."""
    stats = stats_read_with(user)
    if stats and question.challenge and (stats.last_guess_date or datetime.date.min) < question.challenge.date:
        return None  # the totals have no answer of that day: no query
    read, given = row_read_with(user, UserAnswer, question.pk)
    if not read:
        given = next(iter(UserAnswer.objects.raw(ANSWER_TO, {"user_id": user.pk, "question_id": question.pk})), None)
    if given:
        given.question = question
        given.answered_country = _countries([given.answered_country_id])[given.answered_country_id]
    return given


def _question_for(user: User, question_id: int, now: datetime.datetime) -> Question:
    """Return the question that the user wants to answer, with its country."""
    today = utc_date(now)
    if (daily := DAILY_QUESTIONS.get(today)) and daily.pk == question_id:
        return daily
    values = {"question_id": question_id, "user_id": user.pk, "today": today}
    question: Any = next(iter(Question.objects.raw(QUESTION_FOR, values)), None)
    if question is None:
        raise QuestionNotFound
    if question.challenge_id is None:
        question.country = _countries([question.country_id])[question.country_id]
        return cast(Question, question)
    if question.challenge_date != today:
        raise ChallengeClosed
    return daily_question(now)


def _overtaken_on(stats: UserStats, user_answer: UserAnswer) -> datetime.date | None:
    """Return the day of the last daily answer in the totals, if that is the challenge's day or later.

    Around midnight, today's answer can overtake yesterday's, which arrived in time but was handled later. Streaks can't
    be extended backwards, so this user's totals are recounted.
    """
    challenge = user_answer.question.challenge
    last = stats.last_guess_date
    return last if challenge and last and last >= challenge.date else None


def _count(stats: UserStats, user_answer: UserAnswer) -> None:
    """Update totals, unsaved, with an answer that was not overtaken."""
    challenge = user_answer.question.challenge
    stats.count(is_correct=user_answer.is_correct)
    if challenge:
        stats.extend_streak(challenge.date, is_correct=user_answer.is_correct)


def _violated_constraint(error: IntegrityError) -> str | None:
    return getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)


# --- Statistics -----------------------------------------------------------------------------------------------------


def statistics(user: User, now: datetime.datetime | None = None) -> Statistics:
    """Return the user's totals, with the streak as of today: 0 after a missed day."""
    stats = stats_read_with(user) or UserStats.objects.filter(user=user).first() or UserStats(user=user)
    return Statistics(
        total_answers=stats.total_answers,
        total_correct=stats.total_correct,
        current_streak=stats.streak_on(utc_date(now)),
        longest_streak=stats.longest_streak,
        last_guess_date=stats.last_guess_date,
    )


def leaderboard(limit: int = 10, now: datetime.datetime | None = None) -> Reading[list[LeaderboardRow]]:
    """Return the users with the most right answers; ties go to the longer streak. E-mail addresses are not shown."""
    today = utc_date(now)
    return replica.read(lambda using: _leaderboard(limit, today, using))


def _leaderboard(limit: int, today: datetime.date, using: str) -> list[LeaderboardRow]:
    best = (
        UserStats.objects.using(using)
        .select_related("user")
        .filter(total_correct__gt=0, user__is_active=True)
        .order_by("-total_correct", "-longest_streak", "user_id")[:limit]
    )
    results = [(stats.total_correct, stats.longest_streak) for stats in best]
    return [
        LeaderboardRow(
            rank=results.index(result) + 1,
            user_id=stats.user_id,
            name=stats.user.public_name,
            total_correct=stats.total_correct,
            current_streak=stats.streak_on(today),
            longest_streak=stats.longest_streak,
        )
        for stats, result in zip(best, results, strict=True)
    ]


def most_guessed(limit: int = 10, now: datetime.datetime | None = None) -> Reading[list[GuessedCountry]]:
    """Return the countries whose flags were answered most often, cached for SHARED_SECONDS (and by nginx for one more).

    Today's challenge is left out: its answers would reveal the country.
    """
    today = utc_date(now)
    key = f"most_guessed:{today}:{limit}"
    counted: Reading[list[GuessedCountry]] | None = cache.get(key)
    if counted is None:
        counted = replica.read(
            lambda using: [GuessedCountry(*row) for row in guesses.most_guessed(limit, before=today, using=using)]
        )
        cache.set(key, counted, SHARED_SECONDS)
    return counted
