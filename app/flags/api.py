"""The game over HTTP: /api/challenge, /api/practice, /api/answers, /api/me, /api/leaderboard, /api/countries."""

import datetime
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Field, Query, Router, Schema
from ninja.responses import Status
from ninja.security import SessionAuth
from ninja.throttling import UserRateThrottle

from core.api import api
from core.errors import error_response
from core.replica import Reading
from core.schemas import DatabaseId, errors
from flags import services
from flags.flag_images import flag_url
from flags.models import Country, Question, UserAnswer
from users.models import User

router = Router(tags=["game"])


class PlayersRequest(HttpRequest):
    """An authenticated request."""

    user: User


# CSRF is checked by Django's middleware for every operation (core.api).
logged_in = SessionAuth(csrf=False)

# By account, for questions and answers together: a quick player needs two or three seconds a question.
playing = UserRateThrottle("60/m")

# For responses that are the same for all users: nginx may cache them for a second. Never for a user's own data.
SHARED = "public, max-age=1"

ANSWER_ERRORS: dict[type[services.AnswerError], tuple[int, str]] = {
    services.QuestionNotFound: (404, "question_not_found"),
    services.AlreadyAnswered: (409, "already_answered"),
    services.NotAnOption: (409, "not_an_option"),
    services.ChallengeClosed: (409, "challenge_closed"),
}


@api.exception_handler(services.AnswerError)
def _answer_error(request: HttpRequest, error: services.AnswerError) -> HttpResponse:
    status, code = ANSWER_ERRORS[type(error)]
    return error_response(status, code, str(error))


@api.exception_handler(services.NoCountries)
def _no_countries(request: HttpRequest, error: services.NoCountries) -> HttpResponse:
    return error_response(503, "no_countries", str(error))


def with_age(reading: Reading[Any], response: HttpResponse) -> Any:
    """Return the rows. When they may be from a replica, the response says as of when (ISO 8601)."""
    if reading.as_of:
        response["X-Data-As-Of"] = reading.as_of.isoformat(timespec="seconds")
    return reading.rows


Limit = Annotated[int, Query(ge=1, le=100, description="Maximum number of rows.")]


class OptionOut(Schema):
    """A country to choose, without its emoji: that is the flag."""

    code: Annotated[str, Field(examples=["FR"])]
    name: Annotated[str, Field(examples=["France"])]


class CountryOut(OptionOut):
    """A country whose flag may be shown."""

    emoji: Annotated[str, Field(validation_alias="flag_emoji")]


class QuestionOut(Schema):
    """A flag and the countries to choose from."""

    id: int
    kind: Literal["daily", "practice"]
    image_url: str
    options: list[OptionOut]

    @staticmethod
    def resolve_image_url(question: Question) -> str:
        return flag_url(question.country)

    @staticmethod
    def resolve_options(question: Question) -> list[Country]:
        return services.options_of(question)


class AnswerOut(Schema):
    """A given answer and the right one."""

    question_id: int
    is_correct: bool
    answered: CountryOut
    correct: CountryOut
    answered_at: datetime.datetime

    @staticmethod
    def resolve_answered(answer: UserAnswer) -> Country:
        return answer.answered_country

    @staticmethod
    def resolve_correct(answer: UserAnswer) -> Country:
        return answer.question.country


class ChallengeOut(Schema):
    """Today's challenge; `answer` is the user's answer, or null."""

    date: datetime.date
    question: QuestionOut
    answer: AnswerOut | None


class AnswerIn(Schema):
    """An answer: one of the question's options."""

    question_id: DatabaseId
    country_code: Annotated[str, Field(pattern="^[A-Z]{2}$", examples=["FR"])]


class StatisticsOut(Schema):
    """The user's totals and streaks."""

    total_answers: int
    total_correct: int
    accuracy: Annotated[float, Field(description="Percentage of right answers.")]
    current_streak: Annotated[int, Field(description="Consecutive days with the daily challenge answered correctly.")]
    longest_streak: int
    last_guess_date: datetime.date | None


class LeaderboardRowOut(Schema):
    """A row of the leaderboard."""

    rank: int
    name: str
    total_correct: int
    current_streak: int
    longest_streak: int


class GuessedCountryOut(OptionOut):
    """The number of answers to a country's flag."""

    emoji: str
    guesses: int


@router.get("challenge/today", response={200: ChallengeOut, **errors()}, operation_id="todays_challenge")
def todays_challenge(request: HttpRequest, response: HttpResponse) -> ChallengeOut:
    """Return today's challenge, the same for all players until midnight UTC."""
    now = timezone.now()
    question, answer = services.daily_question(now), None
    services.read_answer_with_user(request.session, question)
    if request.user.is_authenticated:
        answer = services.answer_to(request.user, question)
    else:
        response["Cache-Control"] = SHARED  # request.user sets Vary: Cookie: players don't get it
    # Each part is validated; the whole would be once more, part by part.
    return ChallengeOut.model_construct(
        date=services.utc_date(now),
        question=_daily_question_out(question),
        answer=answer and AnswerOut.model_validate(answer),
    )


def _daily_question_out(question: Question) -> QuestionOut:
    """Made once for each copy of the question, which the worker keeps for SHARED_SECONDS."""
    out: QuestionOut | None = getattr(question, "out", None)
    if out is None:
        question.out = out = QuestionOut.model_validate(question)  # type: ignore[attr-defined]
    return out


@router.get("practice", auth=logged_in, response={200: QuestionOut, **errors(401, 404)}, operation_id="open_practice")
def open_practice(request: PlayersRequest) -> Any:
    """Return the user's unanswered practice question."""
    return services.open_practice_question(request.user) or error_response(
        404, "no_practice_question", "You have no unanswered practice question: create one with POST /api/practice."
    )


@router.post(
    "practice",
    auth=logged_in,
    throttle=playing,
    response={200: QuestionOut, **errors(401, 403, 429)},
    operation_id="practise",
)
def practise(request: PlayersRequest) -> Question:
    """Return the user's unanswered practice question, or create one."""
    return services.new_practice_question(request.user)


@router.post(
    "answers",
    auth=logged_in,
    throttle=playing,
    response={201: AnswerOut, **errors(400, 401, 403, 404, 409, 422, 429)},
    operation_id="answer",
)
def answer(request: PlayersRequest, body: AnswerIn) -> Status[UserAnswer]:
    """Answer a question; each question takes one answer."""
    return Status(201, services.answer(request.user, body.question_id, body.country_code))


@router.get("me/statistics", auth=logged_in, response={200: StatisticsOut, **errors(401)}, operation_id="my_statistics")
def my_statistics(request: PlayersRequest) -> services.Statistics:
    """Return the user's totals and streaks."""
    return services.statistics(request.user)


@router.get("leaderboard", response={200: list[LeaderboardRowOut], **errors(422)}, operation_id="leaderboard")
def leaderboard(request: HttpRequest, response: HttpResponse, limit: Limit = 10) -> Any:
    """Return the users with the most right answers."""
    response["Cache-Control"] = SHARED
    return with_age(services.leaderboard(limit), response)


@router.get(
    "countries/most-guessed", response={200: list[GuessedCountryOut], **errors(422)}, operation_id="most_guessed"
)
def most_guessed(request: HttpRequest, response: HttpResponse, limit: Limit = 10) -> Any:
    """Return the countries whose flags were answered most often."""
    response["Cache-Control"] = SHARED
    return with_age(services.most_guessed(limit), response)
