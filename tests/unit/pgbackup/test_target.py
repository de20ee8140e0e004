"""From which backup a restore begins, and with which options."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest

from pgbackup import pgbackrest, target
from pgbackup.pgbackrest import Backup
from user_errors import OperationError, UserError

Make = Callable[..., Backup]
DAY = datetime(2026, 11, 20, 2, 15, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def plan(type: str, to: str = "") -> target.Plan:
    return target.Plan("20261120-021500F", "2026-11-20T02:15:00+00:00", type, to, 3, "somewhere")


@pytest.mark.parametrize(("type", "to", "options"), [
    ("time", "2026-11-20 03:00:00.000000+00",
     ["--type=time", "--target=2026-11-20 03:00:00.000000+00", "--target-action=promote", "--target-timeline=3"]),
    ("default", "", ["--type=default", "--target-timeline=3"]),
    ("immediate", "", ["--type=immediate", "--target-action=promote"]),
    ("name", "restore-point-1", ["--type=name", "--target=restore-point-1", "--target-action=promote",
                                 "--target-timeline=3"]),
])  # fmt: skip
def test_the_options_of_pgbackrest(type: str, to: str, options: list[str]) -> None:
    assert plan(type, to).options == ["--set=20261120-021500F", *options]


def test_a_plan_survives_json() -> None:
    assert target.read(asdict(plan("time", "x"))) == plan("time", "x")


def test_it_begins_with_the_newest_backup_that_had_ended(backup: Make) -> None:
    first, second = backup(DAY), backup(DAY + timedelta(days=1), "incr")
    assert target.newest_before([first, second], DAY + timedelta(days=1, seconds=1)) == second
    assert target.newest_before([first, second], DAY + timedelta(days=1)) == first, "it ended within that second"


def test_a_backup_with_damaged_pages_is_passed_over(backup: Make) -> None:
    good, bad = backup(DAY), backup(DAY + timedelta(days=1), error=True)
    assert target.newest_before([good, bad], DAY + timedelta(days=2)) == good


def test_only_damaged_ones_are_an_error_that_names_the_pages(backup: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgbackrest, "bad_files", lambda label: ["base/5/1259"])
    with pytest.raises(OperationError, match="wrong checksum") as failed:
        target.newest_before([backup(DAY, error=True)], DAY + timedelta(days=2))
    assert "base/5/1259" in failed.value.reason


@pytest.mark.parametrize("at", [DAY, DAY - timedelta(days=1), DAY + timedelta(hours=2)])
def test_outside_the_recovery_window_is_refused_with_the_window(backup: Make, at: datetime) -> None:
    with pytest.raises(UserError, match="outside the recovery window") as refused:
        target.check_range([backup(DAY)], at, DAY + timedelta(hours=1))
    assert "(2026-11-20 02:15:00 to 2026-11-20 03:15:00 UTC)" in refused.value.what


def test_inside_the_recovery_window_is_not(backup: Make) -> None:
    for at in (DAY + SECOND, DAY + timedelta(hours=1)):
        target.check_range([backup(DAY)], at, DAY + timedelta(hours=1))


def test_a_stopped_server_leaves_the_end_open(backup: Make) -> None:
    target.check_range([backup(DAY)], DAY + timedelta(hours=5), None)
    with pytest.raises(UserError, match="to the end of the archive"):
        target.check_range([backup(DAY)], datetime.now(UTC) + timedelta(hours=1), None)


def test_a_label_is_that_backups_end(backup: Make) -> None:
    one = backup(DAY, timeline=2)
    made = target.at_backup([one], one.label)
    assert (made.type, made.timeline, made.label) == ("immediate", 2, one.label)
    with pytest.raises(UserError, match="there is no backup 'x'"):
        target.at_backup([one], "x")
