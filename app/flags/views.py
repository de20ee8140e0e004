"""The pages of the game. The rules are in services.py; here they get an address and a face.

Every page is plain HTML that works by itself. With JavaScript, htmx sends the same forms and asks for the same
addresses, and gets only the part of the page that changes (`HX-Request`).
"""

import datetime
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from flags import services
from flags.flag_images import flag_svg, flag_url
from flags.models import Question
from users.models import User

LEADERBOARD_ROWS = 50
MOST_GUESSED_ROWS = 25
RECENT_ANSWERS = 10

View = Callable[..., HttpResponse]


def is_htmx(request: HttpRequest) -> bool:
    """Whether only a part of the page is asked for."""
    return request.headers.get("HX-Request") == "true"


def players_only(view: View) -> View:
    """Sends guests to log in.

    htmx is told to leave the page: it would follow a plain redirect, and put the log-in page into this one.
    """
    whole_page = login_required(view)

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if is_htmx(request) and not request.user.is_authenticated:
            return HttpResponse(status=204, headers={"HX-Redirect": redirect_to_login("/").headers["Location"]})
        return whole_page(request, *args, **kwargs)

    return wrapper


def player(request: HttpRequest) -> User:
    """Who is playing, in a view for players only."""
    return cast(User, request.user)


# --- The game -------------------------------------------------------------------------------------------------------


@require_safe
@never_cache
def home(request: HttpRequest) -> HttpResponse:
    """Today's challenge. Guests see it too; to answer they need an account."""
    return _show(request, services.daily_question())


@require_safe
@never_cache
@vary_on_headers("HX-Request")
@players_only
def practice(request: HttpRequest) -> HttpResponse:
    """The practice question that waits for an answer, or the next one."""
    return _show(request, services.new_practice_question(player(request)))


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@vary_on_headers("HX-Request")
@players_only
def question(request: HttpRequest, question_id: int) -> HttpResponse:
    """Takes an answer (POST), or shows how one's own practice question went. Today's challenge lives at home."""
    if request.method == "POST":
        return _answer(request, question_id)
    asked = get_object_or_404(Question.objects.select_related("country"), id=question_id)
    if asked.kind == Question.Kind.DAILY:
        return redirect("home")
    if asked.user_id != player(request).pk:
        raise Http404
    return _show(request, asked)


def _answer(request: HttpRequest, question_id: int) -> HttpResponse:
    try:
        services.answer(player(request), question_id, request.POST.get("country", ""))
    except services.QuestionNotFound as error:
        raise Http404 from error
    except services.NotAnOption as error:
        raise BadRequest(str(error)) from error
    except services.ChallengeClosed as error:
        messages.info(request, str(error))
        return HttpResponse(status=204, headers={"HX-Redirect": "/"}) if is_htmx(request) else redirect("home")
    except services.AlreadyAnswered:
        pass  # a second click, or a second tab: what counts is the first answer, and that is what is shown next
    if is_htmx(request):
        return _show(request, Question.objects.select_related("country").get(id=question_id))
    return redirect("question", question_id)


def _show(request: HttpRequest, asked: Question) -> HttpResponse:
    """A question as it stands for this person: to be answered, or with its result."""
    now = timezone.now()
    known = request.user.is_authenticated
    given = services.answer_to(player(request), asked) if known else None
    midnight = datetime.datetime.combine(
        services.utc_date(now) + datetime.timedelta(days=1), datetime.time(), datetime.UTC
    )
    context = {
        "question": asked,
        "daily": asked.kind == Question.Kind.DAILY,
        "flag": flag_url(asked.country),
        "options": [
            {
                "country": option,
                # Only with the result: names beside their flags are what the question is about.
                "flag": flag_url(option) if given else None,
                "is_right": bool(given) and option.id == asked.country_id,
                "is_chosen": given is not None and option.id == given.answered_country_id,
            }
            for option in services.options_of(asked)
        ],
        "answer": given,
        "streak": services.statistics(player(request), now).current_streak if known else None,
        "today": services.utc_date(now),
        "next_challenge": midnight,
        "time_left": _in_words(midnight - now),
        "partial": is_htmx(request),
    }
    return render(request, "flags/_game.html" if is_htmx(request) else "flags/game.html", context)


def _in_words(left: datetime.timedelta) -> str:
    hours, minutes = divmod(max(1, int(left.total_seconds() // 60)), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


# --- Figures --------------------------------------------------------------------------------------------------------


@require_safe
@never_cache
@players_only
def statistics(request: HttpRequest) -> HttpResponse:
    """One's own totals and last answers."""
    recent = player(request).answers.select_related("question__country", "answered_country").order_by("-id")
    context = {
        "statistics": services.statistics(player(request)),
        "recent": [{"answer": answer, "flag": flag_url(answer.question.country)} for answer in recent[:RECENT_ANSWERS]],
    }
    return render(request, "flags/statistics.html", context)


@require_safe
def leaderboard(request: HttpRequest) -> HttpResponse:
    """The people with the most right answers, by the name they chose."""
    return render(request, "flags/leaderboard.html", {"rows": services.leaderboard(LEADERBOARD_ROWS)})


@require_safe
def most_guessed(request: HttpRequest) -> HttpResponse:
    """The countries whose flags were answered most often."""
    rows = services.most_guessed(MOST_GUESSED_ROWS)
    context = {
        "rows": [{"country": row, "flag": flag_url(row)} for row in rows],
        "most": max((row.guesses for row in rows), default=1),
    }
    return render(request, "flags/most_guessed.html", context)


# --- Pictures -------------------------------------------------------------------------------------------------------


@require_safe
def flag_image(request: HttpRequest, token: str) -> HttpResponse:
    """A flag's picture. Its address says nothing and never changes, so whoever has it never asks again."""
    picture = flag_svg(token)
    if picture is None:
        raise Http404
    return HttpResponse(
        picture,
        content_type="image/svg+xml",
        headers={
            "Cache-Control": "public, max-age=31536000, immutable",
            # Opened by itself, an SVG is a document: it may draw, and nothing else.
            "Content-Security-Policy": "default-src 'none'",
            "X-Content-Type-Options": "nosniff",
        },
    )
