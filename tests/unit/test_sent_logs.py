"""Logs that are sent to the monitoring host: what waits on the sender, and what the receiver deletes."""

import os
import time
from pathlib import Path

import pytest

import received_logs
import unsent_logs
from received_logs import File

NOW = 1_796_050_000.0
CURSOR = "s=c2b8;i=c350;b=0123;m=10058f;t=66182877adf2d;x=be23"


def test_the_look_begins_after_the_last_line_that_was_accepted() -> None:
    note = f"# This is private data. Do not parse.\nLAST_CURSOR={CURSOR}\n"
    assert unsent_logs.next_line(note)[-1] == f"--after-cursor={CURSOR}"


def test_without_a_note_every_line_waits() -> None:
    assert not [word for word in unsent_logs.next_line("") if "cursor" in word]


def test_the_metric_is_when_the_oldest_waiting_line_was_written() -> None:
    name = "flaglearning_logs_unsent_since_timestamp_seconds"
    assert f"\n{name} 1796050000\n" in unsent_logs.metrics('{"__REALTIME_TIMESTAMP":"1796050000400000"}')
    assert f"\n{name} " not in unsent_logs.metrics("")


@pytest.mark.parametrize(("text", "size"), [("512", 512), ("500M", 500 << 20), ("4G", 4 << 30), ("1.5K", 1536)])
def test_a_size_is_as_journald_writes_it(text: str, size: int) -> None:
    assert received_logs.size(text) == size


@pytest.mark.parametrize("text", ["", "G", "4GB", "much"])
def test_no_size(text: str) -> None:
    with pytest.raises(ValueError, match=r"could not|invalid"):
        received_logs.size(text)


def files(*sizes_and_days: tuple[int, float]) -> list[File]:
    """Files with these sizes and ages, named by their age."""
    return [File(Path(f"{days}"), size, NOW - days * received_logs.DAY) for size, days in sizes_and_days]


@pytest.mark.parametrize(
    ("found", "deleted"),
    [
        (files((1, 0), (1, 89.9), (1, 90.1)), ["90.1"]),
        (files((5, 0), (5, 1), (5, 2)), ["2"]),  # the oldest first
        (files((50, 0), (5, 1)), ["1"]),  # the newest file stays, whatever its size
        (files((50, 0)), []),
        (files((1, 100)), ["100"]),  # of a host that has left
        ([], []),
    ],
)
def test_age_deletes_every_file_and_size_all_but_the_newest(found: list[File], deleted: list[str]) -> None:
    assert [str(path) for path in received_logs.unwanted(found, 90, 10, NOW)] == deleted


def test_each_host_has_its_own_limits_and_an_empty_folder_goes(tmp_path: Path) -> None:
    for host, days in {"db1": 0, "gone1": 100}.items():
        (tmp_path / host).mkdir()
        for name in ("2026-08-01.journal", "2026-08-02@0.journal"):
            (tmp_path / host / name).write_bytes(b"x" * 9000)
            os.utime(tmp_path / host / name, times=(0, time.time() - days * received_logs.DAY))
    assert received_logs.main(["--days", "90", "--max", "1M", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["2026-08-01.journal", "2026-08-02@0.journal", "db1"]
