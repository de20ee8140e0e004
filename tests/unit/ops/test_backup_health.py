"""Whether backups and archiving are healthy: the verdict for each state, and which of two problems is named first."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import backup_health
from ops import backup_report

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


def backup(hours: float = 1, error: bool = False) -> dict[str, Any]:
    return {"label": "20261123-021500F", "stop": (NOW - timedelta(hours=hours)).isoformat(), "error": error}


SERVER = {"archive_mode": "on", "failing": False, "waiting": 0, "exposed_s": 12.0}
GOOD: dict[str, Any] = {"state": "ok", "backups": [backup()], "server": SERVER, "copy": None}
COPY = {"state": "ok", "backups": [backup()]}
# Repositories of another cluster: the newest system identifier counts.
FOREIGN = {"systems": ["7002", "7001"], "system": "7002"}


def verdict(**changes: Any) -> str:
    """The problem that is named; empty when all is well."""
    problem = backup_health.problem_of({**GOOD, **changes}, NOW)
    return problem.what if problem else ""


def test_a_recent_backup_and_a_working_archive_are_healthy() -> None:
    assert verdict() == ""
    assert verdict(copy=COPY) == ""


def test_a_stopped_server_alone_is_no_problem_of_the_backups() -> None:
    assert verdict(server=None) == ""


@pytest.mark.parametrize(("changes", "named"), [
    ({"server": {**SERVER, "archive_mode": "off"}}, "WAL archiving is off"),
    ({"state": "there is no stanza yet"}, "the backup repository can't be used"),
    (FOREIGN, "the backup repository belongs to another cluster"),
    ({**FOREIGN, "backups": []}, "the backup repository belongs to another cluster"),
    ({"copy": {**COPY, **FOREIGN}}, "repository 2 belongs to another cluster"),
    ({"server": {**SERVER, "failing": True}}, "WAL archiving fails"),
    ({"server": {**SERVER, "exposed_s": 181.0}}, "WAL archiving has stopped"),
    ({"backups": []}, "no backup exists"),
    ({"backups": [backup(error=True), backup()]}, "contain pages with a wrong checksum"),
    ({"backups": [backup(27)]}, "the newest backup is too old"),
    ({"copy": {**COPY, "state": "the other host does not answer"}}, "repository 2, off this host, can't be used"),
    ({"copy": {**COPY, "backups": []}}, "no backup exists in repository 2"),
    ({"copy": {**COPY, "backups": [backup(error=True)]}}, "backups in repository 2 contain pages"),
    ({"copy": {**COPY, "backups": [backup(27)]}}, "the newest backup in repository 2 is too old"),
])  # fmt: skip
def test_a_problem_is_named(changes: dict[str, Any], named: str) -> None:
    assert named in verdict(**changes)


@pytest.mark.parametrize("changes", [
    {"server": {**SERVER, "exposed_s": 180.0}},
    {"server": {**SERVER, "exposed_s": None}},
    {"backups": [backup(27), backup(26)]},
    {"systems": ["7001", "7002"], "system": "7002"},
    {"systems": ["7001"], "system": None},  # no data directory yet: nothing to compare with
])  # fmt: skip
def test_at_the_limit_it_is_still_healthy(changes: dict[str, Any]) -> None:
    assert verdict(**changes) == ""


def test_the_cause_is_named_before_its_consequences() -> None:
    """Without archiving no backup can be made, and an old one is a consequence."""
    failing = {**SERVER, "failing": True, "waiting": 7}
    problem = backup_health.problem_of({**GOOD, "server": failing, "backups": [backup(27)]}, NOW)
    assert problem
    assert problem.what.startswith("WAL archiving fails")
    assert "7 WAL segments wait" in problem.reason


def test_of_another_clusters_backups_nothing_is_promised() -> None:
    """They are recent and good, and no restore of them brings today's data back."""
    shown = backup_report.summary({**GOOD, **FOREIGN, "from": None, "copy": {**COPY, **FOREIGN}})
    assert shown["repository"] == shown["repository_2"] == "of another cluster"
    assert shown["backups"] == 0
    assert shown["would_be_lost_now"].startswith("everything")


@pytest.mark.parametrize(("text", "microsecond"), [
    ("2026-11-23T14:05:30Z", 0),
    ("2026-11-23T14:05:30.5+00:00", 500000),
    ("2026-11-23T14:05:30.123456789+00:00", 123456),
])  # fmt: skip
def test_a_time_is_read_whatever_its_fraction(text: str, microsecond: int) -> None:
    assert backup_health.time_of(text) == datetime(2026, 11, 23, 14, 5, 30, microsecond, tzinfo=UTC)
