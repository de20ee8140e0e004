"""Snapshots of repository 2: what is linked, what an owner of the repository can't change, what raises the alarm."""

import os
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import snapshots
from user_errors import OperationError, UserError

NOW = datetime(2026, 11, 30, 4, 15, tzinfo=UTC)
LABEL = "20261129-031500F"
MANIFEST = f"offhost/backup/flaglearning/{LABEL}/backup.manifest"
DATA = f"offhost/backup/flaglearning/{LABEL}/bundle/1"
INFO = "offhost/backup/flaglearning/backup.info"
WAL = [f"offhost/archive/flaglearning/17-1/0000000100000000/{n:024X}-{'a' * 40}.zst" for n in (1, 2)]


@pytest.fixture
def settings(tmp_path: Path) -> snapshots.Settings:
    """A repository like pgBackRest's."""
    repository = tmp_path / "repository-2"
    for name in (MANIFEST, DATA, INFO, *WAL, f"{WAL[1]}.pgbackrest.tmp"):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(name)
    return snapshots.Settings(repository, tmp_path / "snapshots", 14)


def take(settings: snapshots.Settings, days: float = 0) -> Path:
    at = NOW + timedelta(days=days)
    snapshots.take(settings, at)
    return settings.snapshots / at.strftime(snapshots.NAME_FORMAT)


def replace(path: Path) -> None:
    """As pgBackRest's protocol writes: another file is renamed to the name."""
    path.with_name("new").write_text("damaged")
    path.with_name("new").rename(path)


def test_a_snapshot_has_each_completed_file_and_no_other_user_writes_it(settings: snapshots.Settings) -> None:
    found = take(settings)
    assert set(snapshots.files_of(found)) == {MANIFEST, DATA, INFO, *WAL}
    assert stat.S_IMODE(settings.snapshots.stat().st_mode) == 0o700
    for name in (MANIFEST, DATA, INFO, *WAL):
        assert (found / name).samefile(settings.repository / name), "no space of its own"
        assert stat.S_IMODE((settings.repository / name).stat().st_mode) == 0o440


def test_links_are_not_followed(settings: snapshots.Settings, tmp_path: Path) -> None:
    """The repository's owner could otherwise have root give away, or keep, any file of the machine."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "passwd").write_text("root")
    (elsewhere / "passwd").chmod(0o644)
    (settings.repository / "folder").symlink_to(elsewhere)
    (settings.repository / "file").symlink_to(elsewhere / "passwd")
    os.mkfifo(settings.repository / "fifo")
    found = take(settings)
    assert {path.name for path in found.iterdir()} == {"offhost"}
    assert stat.S_IMODE((elsewhere / "passwd").stat().st_mode) == 0o644


def test_a_folder_that_becomes_a_link_is_not_entered(settings: snapshots.Settings, tmp_path: Path) -> None:
    """Between the look at a name and its opening."""
    (settings.repository / "folder").symlink_to(tmp_path)
    parent = os.open(settings.repository, os.O_RDONLY)
    with pytest.raises(NotADirectoryError), snapshots.opened("folder", parent):
        pass
    os.close(parent)


def test_what_the_repository_loses_the_snapshot_keeps(settings: snapshots.Settings) -> None:
    found = take(settings)
    replace(settings.repository / MANIFEST)
    (settings.repository / DATA).unlink()
    assert (found / MANIFEST).read_text() == MANIFEST
    assert (found / DATA).read_text() == DATA


@pytest.mark.parametrize("name", [MANIFEST, DATA, WAL[0]])
def test_a_replaced_file_raises_the_alarm(settings: snapshots.Settings, name: str) -> None:
    take(settings)
    replace(settings.repository / name)
    with pytest.raises(OperationError, match="never does") as raised:
        take(settings, 1)
    assert f"{name} was replaced" in raised.value.reason


@pytest.mark.parametrize("name", [MANIFEST, WAL[1]])
def test_a_missing_newest_backup_or_segment_raises_the_alarm(settings: snapshots.Settings, name: str) -> None:
    take(settings)
    (settings.repository / name).unlink()
    with pytest.raises(OperationError, match="never does") as raised:
        take(settings, 1)
    assert f"{name} is gone" in raised.value.reason


def test_what_pgbackrest_does_raises_no_alarm(settings: snapshots.Settings) -> None:
    """A new backup; the old one and its WAL expire; the list of backups is written anew."""
    take(settings)
    newer = settings.repository / MANIFEST.replace(LABEL, "20261130-031500F")
    newer.parent.mkdir()
    newer.write_text("newer")
    take(settings, 1)
    replace(settings.repository / INFO)
    for name in (MANIFEST, DATA, WAL[0]):
        (settings.repository / name).unlink()
    take(settings, 2)


def test_the_alarm_lasts_and_keeps_old_snapshots(settings: snapshots.Settings) -> None:
    first = take(settings)
    replace(settings.repository / DATA)
    for days in (15, 16):
        with pytest.raises(OperationError, match="never does"):
            take(settings, days)
    assert first.exists()
    (settings.snapshots / snapshots.ALARM).unlink()
    take(settings, 17)
    assert not first.exists()


def test_too_old_snapshots_are_deleted() -> None:
    existing = ["20261115T041500Z", "20261116T041459Z", "20261116T041500Z", "20261129T041500Z"]
    assert snapshots.too_old(existing, NOW, 14) == existing[:2]


def test_a_list_of_backups_that_changes_meanwhile_is_read_again(
    settings: snapshots.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    link_files, changes = snapshots.link_files, [1]

    def while_a_backup_completes(repository: Path, snapshot: Path) -> None:
        link_files(repository, snapshot)
        if changes:
            changes.pop()
            replace(repository / INFO)

    monkeypatch.setattr(snapshots, "link_files", while_a_backup_completes)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert (take(settings) / INFO).read_text() == "damaged", "the list as it is after the change"


def test_the_first_snapshot_waits_for_the_first_backup(
    settings: snapshots.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = settings.repository / MANIFEST
    manifest.unlink()
    monkeypatch.setattr(time, "sleep", lambda _: manifest.write_text("there"))
    assert (take(settings) / MANIFEST).read_text() == "there"


def test_a_restore_brings_the_snapshot_back_and_retains_the_repository(settings: snapshots.Settings) -> None:
    settings.repository.chmod(0o700)
    found = take(settings)
    replace(settings.repository / DATA)
    with pytest.raises(OperationError):
        take(settings, 1)
    snapshots.restore(settings, found.name, NOW + timedelta(days=2))
    assert (settings.repository / DATA).read_text() == DATA
    [retained] = settings.repository.parent.glob("repository-2.before-*")
    assert (retained / DATA).read_text() == "damaged"
    assert not (settings.snapshots / snapshots.ALARM).exists()
    assert stat.S_IMODE(settings.repository.stat().st_mode) == 0o700, "as it was: site.yml changes nothing"
    assert stat.S_IMODE((settings.repository / "offhost").stat().st_mode) == 0o750
    take(settings, 3)  # compared with what was restored
    (settings.repository / DATA).unlink()  # as pgBackRest would
    assert (found / DATA).exists()


def test_a_snapshot_that_does_not_exist_is_refused(settings: snapshots.Settings) -> None:
    take(settings)
    with pytest.raises(UserError, match="no snapshot 'x'"):
        snapshots.restore(settings, "x", NOW)


def test_a_folder_in_the_repository_is_refused(settings: snapshots.Settings) -> None:
    with pytest.raises(OperationError, match="is in the repository"):
        take(settings._replace(snapshots=settings.repository / "snapshots"))


def test_settings_come_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BACKUP_REPOSITORY_DIR", "SNAPSHOTS_DIR", "SNAPSHOT_DAYS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="SNAPSHOTS_DIR"):
        snapshots.read_settings(tmp_path / ".env")
    (tmp_path / ".env").write_text("# managed\nBACKUP_REPOSITORY_DIR=/r\nSNAPSHOTS_DIR=/s\nSNAPSHOT_DAYS=14\n")
    assert snapshots.read_settings(tmp_path / ".env") == (Path("/r"), Path("/s"), 14)
