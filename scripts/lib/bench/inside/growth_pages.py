"""In the app's container: the SQL of each page, its time and plans; JSON on standard output.

python - pages PEOPLE CALLS      each page CALLS times, for random players
python - answers PEOPLE COUNT    COUNT practice questions, asked and answered; with a fourth word without counting
"""

import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import django

django.setup()

from django.core.cache import cache  # noqa: E402
from django.db import connection  # noqa: E402

from flags import guesses, services, views  # noqa: E402
from flags.models import Question  # noqa: E402
from users.models import User  # noqa: E402

Statement = tuple[str, Any, float]  # SQL, parameters, milliseconds as the app sees them: through the pooler, over TLS


def home(user: User) -> None:
    question = services.daily_question()
    services.answer_to(user, question)
    services.options_of(question)
    services.statistics(user)


def statistics(user: User) -> None:
    services.statistics(user)
    list(user.answers.select_related("question__country", "answered_country").order_by("-id")[: views.RECENT_ANSWERS])


PAGES: dict[str, Callable[[User], object]] = {
    "leaderboard": lambda _: services.leaderboard(views.LEADERBOARD_ROWS),
    "most guessed": lambda _: (cache.clear(), services.most_guessed(views.MOST_GUESSED_ROWS)),
    "own statistics, accuracy, last answers": statistics,
    "today's challenge": home,
}


def statements(act: Callable[..., object], *arguments: object) -> list[Statement]:
    seen: list[Statement] = []

    def record(execute: Any, sql: str, params: Any, *more: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(sql, params, *more)
        finally:
            seen.append((sql, params, 1000 * (time.perf_counter() - began)))

    with connection.execute_wrapper(record):
        act(*arguments)
    return seen


def plan(sql: str, params: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)\n{sql}", params)
        return cursor.fetchone()[0][0]["Plan"]


def person(people: int) -> User:
    return User.objects.get(id=random.randint(1, people))  # noqa: S311 - no secret


def pages(people: int, calls: int) -> dict[str, Any]:
    result = {}
    for name, page in PAGES.items():
        seen = [statements(page, person(people)) for _ in range(calls + 1)][1:]  # the first warms the caches
        plans = [plan(sql, params) for sql, params, _ in seen[-1]]
        result[name] = {"ms": [sum(ms for *_, ms in one) for one in seen], "plans": plans}
    return result


def answers(people: int, count: int) -> list[float]:
    asked = []
    for _ in range(count):
        question = services.new_practice_question(user := person(people))
        asked.append((user, question.id, question.country.code))
        Question.objects.filter(id=question.id).update(is_open=False)
    return [sum(ms for *_, ms in statements(services.answer, *one)) for one in asked]


what, people, count, *without = sys.argv[1:]
if without:
    guesses.COUNT_EVERY = 1 << 62
json.dump({"pages": pages, "answers": answers}[what](int(people), int(count)), sys.stdout)
