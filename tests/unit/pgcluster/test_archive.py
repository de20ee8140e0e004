"""pgcluster/archive.py: which segments need not be archived again."""

import json
from pathlib import Path

import pytest

from pgcluster import archive

SUM = "0" * 40
FIRST, SECOND, THIRD = (f"0000000100000000000000{n}" for n in ("FE", "FF", "FD"))
INFO = json.dumps([{"repo": [{"key": 1}, {"key": 2}], "archive": [{"id": "17-1"}]}])


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Three segments and a history file that wait."""
    status = tmp_path / "pg_wal/archive_status"
    status.mkdir(parents=True)
    for name in (FIRST, SECOND, THIRD, "00000002.history"):
        (status / f"{name}.ready").touch()
    monkeypatch.setenv("PGDATA", str(tmp_path))
    return status


def answers(monkeypatch: pytest.MonkeyPatch, first: list[str], second: list[str]) -> None:
    """What the two repositories list."""

    def asked(*words: str) -> str:
        if "info" in words:
            return INFO
        assert words[-1] == "archive/flaglearning/17-1/0000000100000000"
        return "".join(f"{name}-{SUM}.zst\n" for name in (first if "--repo=1" in words else second))

    monkeypatch.setattr(archive, "asked", asked)


def test_only_what_every_repository_has_is_marked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, [FIRST, SECOND], [SECOND, THIRD])
    assert archive.mark_archived() == {"waiting": 3, "marked": 1}
    assert sorted(file.name for file in folder.iterdir()) == sorted([
        "00000002.history.ready", f"{FIRST}.ready", f"{SECOND}.done", f"{THIRD}.ready"
    ])  # fmt: skip


def test_without_a_repository_everything_is_archived_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "asked", lambda *words: json.dumps([{"repo": [], "archive": [{"id": "17-1"}]}]))
    assert archive.mark_archived()["marked"] == 0


def test_a_segment_that_the_archiver_took_meanwhile_is_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, [FIRST], [FIRST])
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        self.unlink()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    assert archive.mark_archived()["marked"] == 1
