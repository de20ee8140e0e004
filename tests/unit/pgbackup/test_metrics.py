"""The metrics of backups and archiving."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pgbackup import metrics

NOW = datetime(2026, 11, 30, tzinfo=UTC)
SERVER = {"exposed_s": 12.5, "waiting": 3}


def values(text: str) -> dict[str, float]:
    """The samples of a metrics file; each has its HELP and TYPE."""
    found = {name: float(value) for name, value in re.findall(r"^(\w+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)}
    assert set(re.findall(r"^# TYPE (\w+) gauge$", text, re.MULTILINE)) == {name.partition("{")[0] for name in found}
    return found


def backup(**changes: Any) -> dict[str, Any]:
    return {"stop": datetime(2026, 11, 29, tzinfo=UTC), "error": False, "repository_bytes": 1000, **changes}


def test_the_newest_backup_has_the_identifier_of_its_server() -> None:
    found = {"state": "ok", "systems": ["1", "2"], "backups": [backup(error=True), backup()]}
    assert values(metrics.text(found, SERVER, NOW)) == {
        "flaglearning_backup_checked_timestamp_seconds": NOW.timestamp(),
        "flaglearning_backup_repository_ok": 1,
        "flaglearning_archive_exposed_seconds": 12.5,
        "flaglearning_archive_waiting_segments": 3,
        "flaglearning_backup_count": 2,
        "flaglearning_backup_damaged_count": 1,
        'flaglearning_backup_newest_timestamp_seconds{system_identifier="2"}': NOW.timestamp() - 86400,
        "flaglearning_backup_newest_bytes": 1000,
    }


@pytest.mark.parametrize(
    "repository",
    [
        {"state": "permission denied", "systems": [], "backups": []},
        {"state": "ok", "systems": ["1"], "system": "2", "backups": [backup()]},
    ],
    ids=["unreadable", "another cluster's"],
)
def test_of_a_repository_that_can_not_be_used_nothing_is_claimed(repository: dict[str, Any]) -> None:
    found = values(metrics.text(repository, SERVER, NOW))
    assert found["flaglearning_backup_repository_ok"] == 0
    assert "flaglearning_backup_count" not in found


def test_without_a_backup_there_is_no_newest_one() -> None:
    found = values(metrics.text({"state": "ok", "systems": ["1"], "backups": []}, {**SERVER, "exposed_s": None}, NOW))
    assert found["flaglearning_backup_count"] == 0
    assert found["flaglearning_archive_exposed_seconds"] == 0
    assert not any("newest" in name for name in found)


def test_the_file_is_replaced_and_readable(tmp_path: Path) -> None:
    metrics.write("one 1\n", tmp_path)
    metrics.write("two 2\n", tmp_path)
    [file] = tmp_path.iterdir()
    assert file.read_text() == "two 2\n"
    assert file.stat().st_mode & 0o777 == 0o644
