"""`manage.py` commands: what they change, what they print, how they fail, and that a second run changes nothing."""

import datetime
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from conftest import right
from flags import services
from flags.countries import DATA_FILE
from flags.models import Country, DailyChallenge, Question
from users.models import User, UserStats

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("name", ["load_countries", "create_challenges", "expire_streaks", "recount_statistics"])
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        run(name, "--help")
    said = " ".join(capsys.readouterr().out.split())
    assert "Running it again changes nothing" in said or "--check" in said


# --- load_countries -------------------------------------------------------------------------------------------------


@pytest.fixture
def data() -> Any:
    return json.loads(DATA_FILE.read_text(encoding="utf-8"))


def load(tmp_path: Path, data: object) -> str:
    (file := tmp_path / "countries.json").write_text(json.dumps(data), encoding="utf-8")
    return run("load_countries", "--file", str(file))


def test_it_loads_195_countries() -> None:
    assert run("load_countries") == "195 countries: 195 added, 0 changed.\n"
    assert Country.objects.get(code="FR").name == "France"


def test_loading_twice_changes_nothing() -> None:
    run("load_countries")
    before = list(Country.objects.values())
    assert run("load_countries") == "195 countries: 0 added, 0 changed.\n"
    assert list(Country.objects.values()) == before


def test_a_changed_name_is_updated_in_place(
    countries: dict[str, Country], tmp_path: Path, data: dict[str, Any]
) -> None:
    data["countries"][0]["name"] = "Elsewhere"
    assert "0 added, 1 changed" in load(tmp_path, data)
    assert Country.objects.get(name="Elsewhere").id == countries[data["countries"][0]["code"]].id


def test_two_countries_can_swap_names(countries: dict[str, Country], tmp_path: Path, data: dict[str, Any]) -> None:
    one, other = data["countries"][:2]
    one["name"], other["name"] = other["name"], one["name"]
    assert "0 added, 2 changed" in load(tmp_path, data)


def test_a_country_that_left_the_file_stays(
    countries: dict[str, Country], tmp_path: Path, data: dict[str, Any]
) -> None:
    gone = data["countries"].pop()
    for country in data["countries"]:
        country["lookalikes"] = []
    assert f"Not in the file, kept in the table: {gone['code']}." in load(tmp_path, data)
    assert Country.objects.filter(code=gone["code"]).exists()


def first(**values: object) -> object:
    """A change to the file's first country."""
    return lambda data: data["countries"][0].update(values)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda data: data.pop("countries"), "is not a JSON object with a list"),
        (lambda data: data.update(countries={"FR": "France"}), "fewer than 4 countries"),
        (lambda data: data.update(countries=data["countries"][:3]), "fewer than 4 countries"),
        (lambda data: data["countries"][0].pop("emoji"), "country 1 lacks 'emoji'"),
        (lambda data: data["countries"].__setitem__(4, "France"), "country 5 is not an object"),
        (first(code="FRA"), "country 1 is invalid: code:"),
        (first(name="x" * 61), "country 1 is invalid: name:"),
        (first(name=None), "country 1 is invalid: name:"),
        (first(lookalikes="MC"), "country 1 is not an object with a list of lookalikes"),
        (first(lookalikes=["MCO"]), "country 1 is invalid: lookalikes:"),
        (first(lookalikes=["XX"]), "looks like XX, which the file doesn't have"),
        (first(code="FR"), "the same code twice"),
        (first(name="France"), "the same name twice"),
    ],
)
def test_a_bad_file_changes_nothing_and_says_what_is_wrong(
    tmp_path: Path, data: dict[str, Any], spoil: object, complaint: str
) -> None:
    spoil(data)  # type: ignore[operator]
    with pytest.raises(CommandError, match="Nothing was changed") as failed:
        load(tmp_path, data)
    assert complaint in str(failed.value)
    assert not Country.objects.exists()


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="can't be read: No such file"):
        run("load_countries", "--file", str(tmp_path / "none"))


def test_a_file_that_is_not_json(tmp_path: Path) -> None:
    (file := tmp_path / "countries.json").write_text("{")
    with pytest.raises(CommandError, match="is not a JSON object"):
        run("load_countries", "--file", str(file))


# --- create_challenges ----------------------------------------------------------------------------------------------


def test_challenges_are_created_in_advance(countries: dict[str, Country]) -> None:
    assert len(run("create_challenges", "--days", "3").splitlines()) == 3
    assert DailyChallenge.objects.count() == 3
    assert DailyChallenge.objects.earliest("date").date == services.utc_date()


def test_creating_them_again_changes_nothing(countries: dict[str, Country]) -> None:
    assert run("create_challenges", "--days", "3") == run("create_challenges", "--days", "3")
    assert DailyChallenge.objects.count() == 3


@pytest.mark.parametrize("days", ["0", "367", "-1"])
def test_an_invalid_number_of_days(days: str) -> None:
    with pytest.raises(CommandError, match="must be between 1 and 366"):
        run("create_challenges", f"--days={days}")


def test_no_challenges_without_countries() -> None:
    with pytest.raises(CommandError, match="load_countries"):
        run("create_challenges")


# --- expire_streaks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days_ago", "streak"), [(0, 4), (1, 4), (2, 0)])
def test_a_streak_expires_after_a_missed_day(user: User, days_ago: int, streak: int) -> None:
    UserStats.objects.create(
        user=user,
        total_answers=4,
        total_correct=4,
        current_streak=4,
        longest_streak=4,
        last_guess_date=services.utc_date() - datetime.timedelta(days=days_ago),
    )
    run("expire_streaks")
    assert UserStats.objects.values_list("current_streak", "longest_streak").get() == (streak, 4)
    assert run("expire_streaks") == "0 streaks expired.\n"


# --- recount_statistics ---------------------------------------------------------------------------------------------


@pytest.fixture
def wrong_totals(practice: Question, user: User) -> UserStats:
    services.answer(user, practice.id, right(practice))
    UserStats.objects.update(total_answers=7)
    return UserStats.objects.get()


def test_check_finds_and_changes_nothing(wrong_totals: UserStats) -> None:
    with pytest.raises(CommandError, match="1 differ from the answers: `python manage") as failed:
        run("recount_statistics", "--check")
    assert failed.value.returncode == 1
    assert UserStats.objects.get().total_answers == 7


def test_recount_prints_what_it_repairs(wrong_totals: UserStats) -> None:
    said = run("recount_statistics")
    assert f"user {wrong_totals.user_id}: total_answers is 7, the answers say 1" in said
    assert UserStats.objects.get().total_answers == 1


def test_a_second_check_finds_no_difference(wrong_totals: UserStats) -> None:
    run("recount_statistics")
    assert run("recount_statistics", "--check") == "The statistics match the answers.\n"
