"""pgupgrade/upgrade.py: which data directory is touched, and what a run that was killed has left."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("PGDATA", "/var/lib/postgresql/17/data")
os.environ.setdefault("PG_MAJOR", "17")

from pgupgrade import upgrade
from user_errors import OperationError, UserError


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A volume with a data directory of version 15, and no server."""
    (tmp_path / "15/data").mkdir(parents=True)
    (tmp_path / "15/data/PG_VERSION").write_text("15\n")
    monkeypatch.setattr(upgrade, "VOLUME", tmp_path)
    monkeypatch.setattr(upgrade, "DATA", tmp_path / "17/data")
    monkeypatch.setattr(upgrade, "MAJOR", "17")
    monkeypatch.setattr("pgbackup.server.is_there", lambda: False)
    return tmp_path


def make_new(volume: Path) -> None:
    (volume / "17/data").mkdir(parents=True)
    (volume / "17/data/PG_VERSION").write_text("17\n")


def test_a_data_directory_of_the_new_version_is_never_replaced(volume: Path) -> None:
    """Also one that another run has made since this one began."""
    upgrade.refuse_another()
    make_new(volume)
    with pytest.raises(UserError, match="already"):
        upgrade.refuse_another()


def test_the_way_back_sets_the_new_directory_aside_once(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository follows each time: a run may have been killed between the two."""
    followed: list[Path] = []
    monkeypatch.setattr(upgrade, "return_repository", followed.append)
    make_new(volume)
    first = upgrade.back()
    assert (volume / "17" / first["retained"] / "PG_VERSION").exists()
    assert not (volume / "17/data").exists()
    assert upgrade.back() == {"old": "15", "retained": ""}
    assert followed == [volume / "15/data"] * 2


def test_a_running_server_keeps_its_data(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_new(volume)
    monkeypatch.setattr("pgbackup.server.is_there", lambda: True)
    with pytest.raises(OperationError, match="is running"):
        upgrade.back()
    assert (volume / "17/data/PG_VERSION").exists()
