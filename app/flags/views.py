"""The game's pages. The rules are in services.py.

Every page works without JavaScript. With it, htmx sends the same requests with `HX-Request`, and gets only the part of
the page that changes.
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
    return request.headers.get("HX-Request") == "true"


def players_only(view: View) -> View:
    """Redirect guests to the login page.

    HX-Redirect makes htmx load a new page: it would follow a plain redirect and insert the login page into this one.
    """
    whole_page = login_required(view)

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if is_htmx(request) and not request.user.is_authenticated:
            return HttpResponse(status=204, headers={"HX-Redirect": redirect_to_login("/").headers["Location"]})
        return whole_page(request, *args, **kwargs)

    return wrapper


def player(request: HttpRequest) -> User:
    """Return the user, in a view with `players_only`."""
    return cast(User, request.user)


# --- The game -------------------------------------------------------------------------------------------------------


@require_safe
@never_cache
def home(request: HttpRequest) -> HttpResponse:
    """Show today's challenge, to guests as well; answering needs an account."""
    today = services.daily_question()
    services.read_answer_with_user(request.session, today)
    return _show(request, today)


@require_safe
@never_cache
@vary_on_headers("HX-Request")
@players_only
def practice(request: HttpRequest) -> HttpResponse:
    """Show the unanswered practice question, or the next one."""
    return _show(request, services.new_practice_question(player(request)))


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@vary_on_headers("HX-Request")
@players_only
def question(request: HttpRequest, question_id: int) -> HttpResponse:
    """Store an answer (POST), or show the user's practice question. Today's challenge is the home page."""
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
        pass  # a second click or tab: the first answer counts, and is shown next
    if is_htmx(request):
        return _show(request, Question.objects.select_related("country").get(id=question_id))
    return redirect("question", question_id)


def _show(request: HttpRequest, asked: Question) -> HttpResponse:
    """Show a question: unanswered, or with the user's result."""
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
                # Only with the result: names beside their flags would give the answer.
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


# --- Statistics -----------------------------------------------------------------------------------------------------


@require_safe
@never_cache
@players_only
def statistics(request: HttpRequest) -> HttpResponse:
    """Show the user's totals and latest answers."""
    recent = player(request).answers.select_related("question__country", "answered_country").order_by("-id")
    context = {
        "statistics": services.statistics(player(request)),
        "recent": [{"answer": answer, "flag": flag_url(answer.question.country)} for answer in recent[:RECENT_ANSWERS]],
    }
    return render(request, "flags/statistics.html", context)


@require_safe
def leaderboard(request: HttpRequest) -> HttpResponse:
    return render(request, "flags/leaderboard.html", services.leaderboard(LEADERBOARD_ROWS)._asdict())


@require_safe
def most_guessed(request: HttpRequest) -> HttpResponse:
    rows, as_of = services.most_guessed(MOST_GUESSED_ROWS)
    context = {
        "rows": [{"country": row, "flag": flag_url(row)} for row in rows],
        "most": max((row.guesses for row in rows), default=1),
        "as_of": as_of,
    }
    return render(request, "flags/most_guessed.html", context)


# --- Pictures -------------------------------------------------------------------------------------------------------


@require_safe
def flag_image(request: HttpRequest, token: str) -> HttpResponse:
    """Return a flag's picture. Its URL never changes, so that clients may cache it for ever."""
    picture = flag_svg(token)
    if picture is None:
        raise Http404
    return HttpResponse(
        picture,
        content_type="image/svg+xml",
        headers={
            "Cache-Control": "public, max-age=31536000, immutable",
            # An SVG that is opened directly is a document: it may load and run nothing.
            "Content-Security-Policy": "default-src 'none'",
            "X-Content-Type-Options": "nosniff",
        },
    )
