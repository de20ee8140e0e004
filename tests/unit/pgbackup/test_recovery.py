"""Where a recovery ended, and why it failed."""

import pytest

from pgbackup import recovery
from pgbackup.pgbackrest import lsn
from pgbackup.target import Plan

HISTORY = "1\t0/5000A28\tno recovery target specified\n\n2\t0/7000060\tno recovery target specified\n"
PLAN = Plan("20261120-021500F", "2026-11-20T02:15:00+00:00", "time", "x", 1, "2026-11-20 03:00:00 UTC")


def test_the_newest_line_of_a_history_file_is_the_end() -> None:
    assert recovery.ended_at(HISTORY) == lsn("0/7000060")


@pytest.mark.parametrize(("ended", "timeline", "newest", "behind"), [
    ("0/7000060", 1, "000000010000000000000007", 0),
    ("0/7000060", 1, "000000010000000000000006", 0),
    ("0/7000060", 1, "000000010000000000000009", 2),
    ("0/FF000000", 1, "000000010000000100000000", 1),  # across a log of 4 GB
    ("0/7000060", 1, "000000020000000000000009", 0),   # another timeline's
])  # fmt: skip
def test_segments_behind_a_gap_are_counted(ended: str, timeline: int, newest: str, behind: int) -> None:
    assert recovery.segments_behind(lsn(ended), timeline, newest) == behind


def test_an_archive_that_ends_early_is_said_with_the_window() -> None:
    log = (
        "LOG:  last completed transaction was at log time 2026-11-20 02:58:30.123456+00\n"
        "FATAL:  recovery ended before configured recovery target was reached\n"
    )
    error = recovery.why_it_ended(log, PLAN)
    assert "ends before 2026-11-20 03:00:00 UTC: its last commit is of 2026-11-20 02:58:30 UTC" in error.what
    assert "2026-11-20 02:15:00 to 2026-11-20 02:58:30 UTC" in error.hint


@pytest.mark.parametrize("log", [
    "FATAL:  could not extend file: No space left on device",
    "ERROR: [041]: unable to write '/x/pg_wal/RECOVERYXLOG': [28] No space left on device\n"
    "FATAL:  recovery ended before configured recovery target was reached",
])  # fmt: skip
def test_a_full_disk_is_said(log: str) -> None:
    """Also when the server takes the WAL that could not be written for the end of the archive."""
    error = recovery.why_it_ended(log, PLAN)
    assert error.what == "the disk is full"
    assert "No space left on device" in error.reason


def test_any_other_end_quotes_the_last_messages() -> None:
    error = recovery.why_it_ended("LOG:  starting\nFATAL:  requested timeline 2 is not a child\nLOG:  bye\n", PLAN)
    assert error.reason == "FATAL: requested timeline 2 is not a child"
