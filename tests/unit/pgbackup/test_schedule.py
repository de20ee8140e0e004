"""When a backup is due, and of which type."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

import backup_health
from pgbackup import schedule
from pgbackup.pgbackrest import Backup
from testing.shell import ROOT
from user_errors import UserError

Make = Callable[..., Backup]


def at(day: int, hour: int = 2, minute: int = 20) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def test_an_empty_repository_gets_a_full_one_at_once() -> None:
    assert schedule.due([], at(20, 13, 0), "02:15", 7) == "full"


def test_none_before_the_hour_and_one_after_it(backup: Make) -> None:
    made = [backup(at(19))]
    assert schedule.due(made, at(20, 2, 14), "02:15", 7) is None
    assert schedule.due(made, at(20, 2, 15), "02:15", 7) == "incr"


def test_one_a_day(backup: Make) -> None:
    made = [backup(at(19)), backup(at(20, 2, 16), "incr")]
    assert schedule.due(made, at(20, 2, 30), "02:15", 7) is None
    assert schedule.due(made, at(21, 2, 14), "02:15", 7) is None


def test_a_machine_that_was_off_catches_up_once(backup: Make) -> None:
    made = [backup(at(15)), backup(at(16), "incr")]
    assert schedule.due(made, at(20, 11, 0), "02:15", 7) == "incr"
    assert schedule.due([*made, backup(at(20, 11, 1), "incr")], at(20, 11, 5), "02:15", 7) is None


def test_every_seventh_day_is_a_full_one(backup: Make) -> None:
    made = [backup(at(14)), *(backup(at(day), "incr") for day in range(15, 21))]
    assert schedule.due(made[:-1], at(20), "02:15", 7) == "incr"
    assert schedule.due(made, at(21), "02:15", 7) == "full"


def test_full_ones_only(backup: Make) -> None:
    assert schedule.due([backup(at(19))], at(20), "02:15", 1) == "full"


def test_a_backup_by_hand_before_the_hour_does_not_replace_the_days(backup: Make) -> None:
    made = [backup(at(19)), backup(at(20, 1, 0), "incr")]
    assert schedule.due(made, at(20), "02:15", 7) == "incr"


@pytest.mark.parametrize(("name", "value"), [
    ("BACKUP_AT", "2:15"), ("BACKUP_AT", "24:00"), ("BACKUP_AT", "02:60"), ("BACKUP_AT", "on"),
    ("BACKUP_FULL_DAYS", "0"), ("BACKUP_FULL_DAYS", "-1"), ("BACKUP_FULL_DAYS", "week"),
])  # fmt: skip
def test_a_wrong_setting_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"{name} is '{value}'"):
        schedule.settings()


def test_off_is_no_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKUP_AT", "off")
    assert schedule.settings() == ("", 7)


def test_at_most_a_minute_of_writes_is_not_archived() -> None:
    """A segment ends after archive_timeout, and has some seconds for its upload; a heartbeat falls in each."""
    settings = (ROOT / "pg/archiving.conf").read_text()
    found = re.search(r"^archive_timeout = (\d+)s$", settings, re.MULTILINE)
    assert found
    timeout = int(found[1])
    assert schedule.BEAT < timeout <= 60 - 10
    assert timeout + schedule.BEAT < backup_health.EXPOSED, "a healthy archive is never reported as stopped"
