"""What pgBackRest prints, read."""

import json
import re
from typing import Any

import pytest

from pgbackup import pgbackrest
from pgbackup.pgbackrest import NoRepository, complaints, failed, parse_info, parse_verify, wal_gaps
from user_errors import OperationError

SHA = "a" * 40


def entry(label: str, database: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "label": label, "type": "full", "error": False, "database": {"id": database},
        "timestamp": {"start": 1764212400, "stop": 1764212475}, "lsn": {"start": "0/3000028", "stop": "1/0"},
        "archive": {"start": "000000020000000000000003", "stop": "000000020000000000000004"},
        "info": {"size": 100, "repository": {"delta": 10}}, **more,
    }  # fmt: skip


def stanza(code: int = 0, message: str = "ok", **more: Any) -> str:
    found = {
        "name": "flaglearning", "status": {"code": code, "message": message, "lock": {"backup": {"held": False}}},
        "db": [{"id": 1, "system-id": 7001}], "backup": [], "archive": [],
        "repo": [{"status": {"message": "unable to open"}}], **more,
    }  # fmt: skip
    return json.dumps([{"name": "another"}, found])


def test_without_a_stanza_there_is_nothing() -> None:
    for printed in ("", "[]", json.dumps([{"name": "another"}])):
        assert parse_info(printed)["backups"] == []


def test_a_backup_is_read() -> None:
    [one] = parse_info(stanza(backup=[entry("20251127-030000F")]))["backups"]
    assert (one.label, one.timeline, one.stop_lsn, one.repository_bytes) == ("20251127-030000F", 2, 1 << 32, 10)
    assert f"{one.stop:%H:%M:%S %Z}" == "03:01:15 UTC"


def test_backups_of_another_database_are_left_out() -> None:
    """After a restore onto a new host the repository has those of the empty database that was created there."""
    databases = [{"id": 1, "system-id": 7001}, {"id": 2, "system-id": 7002}]
    found = parse_info(stanza(db=databases, backup=[entry("old", 1), entry("new", 2)]))
    assert [one.label for one in found["backups"]] == ["new"]
    assert found["systems"] == ["7001", "7002"]


def test_the_newest_archive_counts_and_an_empty_one_does_not() -> None:
    archives = [{"id": "17-1", "min": "A", "max": "B"}, {"id": "17-2", "min": None, "max": None}]
    assert parse_info(stanza(archive=archives))["archive"] == {"id": "17-1", "min": "A", "max": "B"}
    assert parse_info(stanza())["archive"] is None


def test_no_backup_yet_is_no_fault_and_another_state_is_named() -> None:
    assert parse_info(stanza(2, "no valid backups"))["state"] == "ok"
    assert parse_info(stanza(1, "missing stanza path"))["state"] == "missing stanza path"


def test_a_repository_that_can_not_be_read_is_an_error() -> None:
    with pytest.raises(OperationError) as error:
        parse_info(stanza(99, "other"))
    assert "unable to open" in error.value.reason


def test_a_segment_in_the_middle_is_missed() -> None:
    listing = "".join(
        f"archive/flaglearning/17-1/{name[:16]}/{name}-{SHA}.zst\n"
        for name in ("0000000100000000000000FE", "000000010000000100000000", "000000010000000100000001")
    )
    assert wal_gaps(listing) == ["the WAL 0000000100000000000000FF is missing"]


def test_another_timeline_begins_where_it_begins() -> None:
    names = ("000000010000000000000001", "000000010000000000000002", "000000020000000000000009")
    assert wal_gaps("".join(f"x/{name}-{SHA}.zst\n" for name in names)) == []
    assert wal_gaps("") == []


def test_a_whole_repository_has_no_problems() -> None:
    assert parse_verify(0, "stanza: flaglearning\nstatus: ok\n", "") == []


def test_a_damaged_file_is_named() -> None:
    printed = "stanza: flaglearning\nstatus: error\n  archiveId: 17-1, total WAL checked: 5, checksum invalid: 1\n"
    found = parse_verify(0, printed, "")
    assert "archiveId: 17-1, total WAL checked: 5, checksum invalid: 1" in found


def test_a_warning_alone_is_a_problem() -> None:
    assert parse_verify(0, "status: ok\n", "P00   WARN: no archives or backups exist in the repo\n")


def test_a_verify_that_could_not_look_is_an_error() -> None:
    with pytest.raises(OperationError, match="can't be decrypted"):
        parse_verify(31, "", "P00  CryptoError: unable to flush\n")


@pytest.mark.parametrize(("said", "what"), [
    ("ERROR: [082]: unable to find WAL segment", "WAL|write-ahead"),
    ("ERROR: [039]: No space left on device", "disk is full"),
    ("ERROR: [028]: backup and archive info files exist but do not match the database", "another cluster"),
    ("ERROR: [050]: unable to acquire lock on file", "another backup or restore"),
    ("ERROR: [041]: something new", "pgbackrest backup failed"),
])  # fmt: skip
def test_its_errors_are_explained_and_quoted(said: str, what: str) -> None:
    error = failed("backup", f"2026-11-27 03:01:15.000 P00  {said}\n")
    assert re.search(what, error.what)
    assert said.partition("]: ")[2] in error.reason


def test_a_repository_that_is_not_configured_is_its_own_error() -> None:
    assert isinstance(failed("info", "option 'repo' … '3' is not valid for 'repo' option"), NoRepository)


def test_only_warnings_errors_and_hints_are_kept() -> None:
    said = "2026-11-27 03:01:15.000 P00   INFO: backup start\n2026-11-27 03:01:15.000 P00   WARN: slow\n"
    assert complaints(said) == "WARN: slow"


def test_empty_variables_are_not_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGBACKREST_REPO1_PATH", "")
    monkeypatch.setenv("PGBACKREST_REPO1_RETENTION_FULL", "2")
    environment = pgbackrest.environment()
    assert "PGBACKREST_REPO1_PATH" not in environment
    assert environment["PGBACKREST_REPO1_RETENTION_FULL"] == "2"
