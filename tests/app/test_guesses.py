"""Incremental guess counters: they equal the answers at any time, also during concurrent writes."""

import datetime
import importlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, models, transaction
from django.db.migrations.state import ProjectState

from conftest import right
from core.migrations import AddIndexOnline
from flags import guesses, personal_data, services, totals
from flags.models import Country, DailyChallenge, GuessCount, GuessCounting, Question, UserAnswer
from users.models import User
from users.personal_data import delete

pytestmark = pytest.mark.django_db(transaction=True)

FAR = datetime.date(9999, 1, 1)
backfill = importlib.import_module("flags.migrations.0003_count_guesses")


def counted() -> dict[str, int]:
    """The guesses by code, as the app reads them."""
    return {code: number for code, _, _, number in guesses.most_guessed(1000, FAR)}


def raw() -> dict[str, int]:
    """The guesses by code, counted from the answers."""
    return dict(Counter(UserAnswer.objects.values_list("question__country__code", flat=True)))


def mark() -> int:
    return GuessCounting.objects.values_list("counted_to", flat=True).first() or 0


def count_all() -> None:
    """The first call creates the row, the second chooses a stop, the third moves the mark there."""
    for _ in range(3):
        guesses.count_further()


@pytest.fixture
def answers(countries: dict[str, Country], make_user: Callable[..., User]) -> list[UserAnswer]:
    """Three users' answers to ten questions each."""
    return [give(make_user(), country) for country in list(countries.values())[:10] for _ in range(3)]


def give(user: User, country: Country) -> UserAnswer:
    """An answer as any version of the app stores it: one row."""
    question = Question.objects.create(kind="practice", user=user, country=country, options=[country.id, 1, 2, 3])
    return UserAnswer.objects.create(user=user, question=question, answered_country=country, is_correct=True)


@contextmanager
def elsewhere(act: Callable[[], object]) -> Iterator[None]:
    """Run in another transaction, which ends with the block."""
    done, go_on = threading.Event(), threading.Event()

    def run() -> None:
        try:
            with transaction.atomic():
                act()
                done.set()
                go_on.wait(20)
        finally:
            done.set()
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        done.wait(20)
        try:
            yield
        finally:
            go_on.set()
            running.result()


def test_answers_show_at_once_counted_or_not(answers: list[UserAnswer]) -> None:
    assert counted() == raw()
    count_all()
    assert mark() == answers[-1].id
    assert counted() == raw()
    give(answers[0].user, answers[0].question.country)
    assert counted() == raw()
    assert guesses.differences() == []


def test_the_mark_does_not_pass_an_uncommitted_answer(answers: list[UserAnswer], user: User) -> None:
    """Its id is lower than a committed answer's: the mark waits for it."""
    country = answers[0].question.country
    guesses.count_further()
    with elsewhere(lambda: give(user, country)):
        later = give(answers[0].user, country)
        for _ in range(5):
            guesses.count_further()
        assert mark() < later.id - 1
        assert counted() == raw()
    count_all()
    assert mark() == later.id
    assert counted() == raw()
    assert guesses.differences() == []


def test_a_second_count_does_not_wait(answers: list[UserAnswer]) -> None:
    guesses.count_further()
    with elsewhere(lambda: GuessCounting.objects.select_for_update().get()):
        guesses.count_further()
        assert mark() == 0


def test_a_backlog_is_counted_in_batches(answers: list[UserAnswer]) -> None:
    GuessCounting.objects.create(counted_to=answers[0].id - 1)
    seen = []
    with patch.object(guesses, "AT_MOST", 7):
        for _ in range(8):
            guesses.count_further()
            seen.append(mark() - answers[0].id + 1)
            assert counted() == raw()
    assert seen == [0, 7, 14, 21, 28, 30, 30, 30]


def test_deleting_a_user_subtracts_their_answers(answers: list[UserAnswer]) -> None:
    count_all()
    after = give(answers[0].user, answers[0].question.country)
    for user in (answers[0].user, answers[1].user):
        user.delete()
        assert counted() == raw()
    assert after.id > mark()
    assert guesses.differences() == []


@pytest.mark.parametrize("uncounted", [0, 1])
def test_deleting_an_account_in_batches_keeps_all_counters_right(
    answers: list[UserAnswer], user: User, monkeypatch: pytest.MonkeyPatch, uncounted: int
) -> None:
    given = [give(user, answer.question.country) for answer in answers[:10]]
    count_all()
    given += [give(user, given[0].question.country) for _ in range(uncounted)]
    totals.repair(User.objects.values_list("id", flat=True), FAR)
    monkeypatch.setattr(personal_data, "DELETE_BATCH", 4)
    left = []
    for _ in delete(user):
        left.append(UserAnswer.objects.filter(user=user).count())
        assert counted() == raw()
        assert (guesses.differences(), totals.differences(FAR)) == ([], [])
    assert left == ([7, 3, 0] if uncounted else [6, 2, 0])
    assert User.objects.count() == len(answers)
    assert UserAnswer.objects.count() == len(answers)
    assert counted() == raw()
    assert (guesses.differences(), totals.differences(FAR)) == ([], [])


def test_concurrent_answers_deletions_and_counts(countries: dict[str, Country], make_user: Callable[..., User]) -> None:
    """Results equal the answers at any time; in the end the sums do too."""
    some = list(countries.values())[:8]
    people = [make_user() for _ in range(12)]
    wrong: list[object] = []
    over = threading.Event()

    def play(user: User) -> None:
        for country in some:
            give(user, country)
        if user.id % 3 == 0:
            user.delete()
        elif user.id % 3 == 1:
            list(delete(user))

    def watch() -> None:
        while not over.is_set():
            guesses.count_further()
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                if (seen := counted()) != (there := raw()):
                    wrong.append((seen, there))

    def alone(act: Callable[[], None]) -> None:
        try:
            act()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(people) + 2) as pool:
        watchers = [pool.submit(alone, watch) for _ in range(2)]
        players = [pool.submit(alone, lambda user=user: play(user)) for user in people]  # type: ignore[misc]
        try:
            for player in players:
                player.result(60)
        finally:
            over.set()
        for watcher in watchers:
            watcher.result(60)
    assert wrong == []
    count_all()
    assert mark() > 0
    assert counted() == raw() != {}
    assert guesses.differences() == []


def test_todays_challenge_is_counted_separately(
    countries: dict[str, Country], user: User, noon: datetime.datetime
) -> None:
    question = services.daily_question(noon)
    services.answer(user, question.id, right(question), noon)
    tomorrow = noon + datetime.timedelta(days=1)
    for _ in range(2):
        assert services.most_guessed(now=noon).rows == []
        assert [row.guesses for row in services.most_guessed(now=tomorrow).rows] == [1]
        count_all()
    assert GuessCount.objects.values_list("challenge__date", "guesses").get() == (noon.date(), 1)
    DailyChallenge.objects.all().delete()
    assert (counted(), guesses.differences()) == ({}, [])


@pytest.mark.usefixtures("countries")
class TestAnswering:
    @pytest.fixture(autouse=True)
    def _at_each(self) -> Iterator[None]:
        with patch.object(guesses, "COUNT_EVERY", 1):
            yield

    def practise(self, user: User) -> UserAnswer:
        question = services.new_practice_question(user)
        return services.answer(user, question.id, right(question))

    def test_it_moves_the_mark(self, user: User) -> None:
        answers = [self.practise(user) for _ in range(4)]
        assert mark() >= answers[0].id

    def test_it_does_not_depend_on_counting(self, user: User) -> None:
        with patch.object(guesses, "count_further", side_effect=DatabaseError("no")):
            self.practise(user)
        assert counted() == raw() != {}


# --- Where the sums come from ---------------------------------------------------------------------------------------


def test_the_migration_counts_existing_answers(answers: list[UserAnswer]) -> None:
    with patch.object(backfill, "BATCH", 4), connection.schema_editor(atomic=False) as editor:
        backfill.count(apps, editor)
        assert mark() == answers[-1].id
        assert (counted(), guesses.differences()) == (raw(), [])
        backfill.count(apps, editor)  # interrupted and run again
    assert (counted(), guesses.differences()) == (raw(), [])


def test_the_migration_waits_for_writing_transactions(answers: list[UserAnswer], user: User) -> None:
    country = answers[0].question.country
    with patch.object(backfill, "WRITERS_TIMEOUT", 0.5), elsewhere(lambda: give(user, country)):
        give(answers[0].user, country)
        with (
            connection.schema_editor(atomic=False) as editor,
            pytest.raises(RuntimeError, match="transactions write answers"),
        ):
            backfill.count(apps, editor)
    assert mark() == 0


def test_wrong_sums_are_found_and_repaired(answers: list[UserAnswer]) -> None:
    count_all()
    GuessCount.objects.filter(country=answers[0].question.country).update(guesses=99)
    GuessCount.objects.filter(country=answers[-1].question.country).delete()
    found = [str(miscount) for miscount in guesses.differences()]
    assert len(found) == 2
    assert f"{answers[0].question.country.name} in practice: 99 guesses are stored, the answers say 3" in found
    guesses.repair()
    assert (counted(), guesses.differences()) == (raw(), [])


# --- Indexes that are built while people play -----------------------------------------------------------------------


def test_an_invalid_index_is_built_again(answers: list[UserAnswer]) -> None:
    index = models.Index(fields=["is_correct"], name="useranswer_half")
    with connection.cursor() as cursor:
        failing = "CREATE UNIQUE INDEX CONCURRENTLY useranswer_half ON flags_useranswer (is_correct)"
        with pytest.raises(DatabaseError):  # and it leaves an invalid index
            cursor.execute(failing)
        before = ProjectState.from_apps(apps)
        operation = AddIndexOnline("useranswer", index)
        after = before.clone()
        operation.state_forwards("flags", after)
        with connection.own_session(), connection.schema_editor(atomic=False) as editor:  # type: ignore[attr-defined]
            operation.database_forwards("flags", editor, before, after)
        cursor.execute("SELECT indisvalid, indisunique FROM pg_index WHERE indexrelid = 'useranswer_half'::regclass")
        assert cursor.fetchone() == (True, False)
        cursor.execute("DROP INDEX useranswer_half")
