"""In the app's container: what each page asks the database, how long that takes, with which plans. JSON to its output.

python growth_pages.py pages PEOPLE CALLS      each page CALLS times, for people chosen at random
python growth_pages.py answers PEOPLE COUNT    COUNT practice questions, asked and answered
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


def statistics(user: User) -> None:
    """What views.statistics shows: totals, accuracy among them, and the last answers."""
    services.statistics(user)
    list(user.answers.select_related("question__country", "answered_country").order_by("-id")[: views.RECENT_ANSWERS])


def home(user: User) -> None:
    question = services.daily_question()
    services.answer_to(user, question)
    services.options_of(question)
    services.statistics(user)


def most_guessed(user: User) -> None:
    cache.clear()
    services.most_guessed(views.MOST_GUESSED_ROWS)


PAGES: dict[str, Callable[[User], object]] = {
    "leaderboard": lambda _: services.leaderboard(views.LEADERBOARD_ROWS),
    "most guessed": most_guessed,
    "own statistics, accuracy, last answers": statistics,
    "today's challenge": home,
}


class Stopwatch:
    """Adds up what statements take, as the app sees it: through the pooler, over TLS."""

    def __init__(self) -> None:
        self.milliseconds = 0.0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self.milliseconds += 1000 * (time.perf_counter() - began)


def timed(act: Callable[[], object]) -> float:
    with connection.execute_wrapper(stopwatch := Stopwatch()):
        act()
    return stopwatch.milliseconds


def plans(act: Callable[[], object]) -> list[dict[str, Any]]:
    """EXPLAIN (ANALYZE) of each SELECT that it runs."""
    connection.queries_log.clear()
    connection.force_debug_cursor = True
    act()
    asked = [query["sql"] for query in connection.queries if query["sql"].lstrip().startswith(("SELECT", "--", "WITH"))]
    connection.force_debug_cursor = False
    with connection.cursor() as cursor:
        found = []
        for sql in asked:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql.partition('--')[0] or chr(10) + sql}")
            found.append(cursor.fetchone()[0][0])
    return found


def person(people: int) -> User:
    return User.objects.get(id=random.randint(1, people))  # noqa: S311 - no secret


def pages(people: int, calls: int) -> dict[str, Any]:
    result = {}
    for name, page in PAGES.items():
        users = [person(people) for _ in range(calls)]
        page(users[0])
        times = [timed(lambda user=user, page=page: page(user)) for user in users]
        result[name] = {"ms": times, "plans": plans(lambda page=page, user=users[0]: page(user))}
    return result


def answers(people: int, count: int) -> list[float]:
    """Milliseconds of SQL for each answer."""
    asked = []
    for _ in range(count):
        question = services.new_practice_question(user := person(people))
        asked.append((user, question.id, question.country.code))
        Question.objects.filter(id=question.id).update(is_open=False)
    return [timed(lambda given=given: services.answer(*given)) for given in asked]


if __name__ == "__main__":
    what, people, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if "--without-counting" in sys.argv:
        guesses.COUNT_EVERY = 1 << 62
    json.dump({"pages": pages, "answers": answers}[what](people, count), sys.stdout)
