"""pgupgrade/rehearsal.py: which backup, which plan."""

import json
import os
from typing import Any

import pytest

os.environ.setdefault("PGDATA", "/var/lib/postgresql/17/data")
os.environ.setdefault("PG_MAJOR", "17")

from pgupgrade import rehearsal
from user_errors import OperationError


def info(*backups: dict[str, Any]) -> str:
    """What pgBackRest prints of a repository whose database was upgraded once."""
    stanza = {"name": "flaglearning", "db": [{"id": 1, "version": "15"}, {"id": 2, "version": "17"}]}
    return json.dumps([{**stanza, "backup": list(backups)}])


def backup(label: str, database: int, error: bool = False) -> dict[str, Any]:
    return {"label": label, "database": {"id": database}, "info": {"size": 7}, "error": error}


def test_the_newest_sound_backup_tells_the_version() -> None:
    printed = info(backup("a", 1), backup("b", 1), backup("c", 2, error=True))
    assert rehearsal.newest_of(printed) == {"major": "15", "label": "b", "bytes": 7}
    assert rehearsal.newest_of(info(backup("a", 1), backup("b", 2)))["major"] == "17"


@pytest.mark.parametrize("printed", ["", "[]", info(), info(backup("a", 2, error=True))])
def test_without_one_there_is_no_rehearsal(printed: str) -> None:
    with pytest.raises(OperationError, match="no backup"):
        rehearsal.newest_of(printed)


def test_two_plans_are_the_same_when_their_nodes_are() -> None:
    scan = {"Node Type": "Index Scan", "Index Name": "pkey", "Relation Name": "flags"}
    plan = {"Node Type": "Limit", "Plans": [{"Node Type": "Nested Loop", "Plans": [scan, {"Node Type": "Result"}]}]}
    nodes = rehearsal.nodes(plan)
    assert nodes == ["Limit", "Nested Loop", "Index Scan using pkey on flags", "Result"]
    before = {"cost": 1.0, "nodes": nodes}
    assert rehearsal.compared("SELECT", before, {"cost": 2.0, "nodes": nodes})["plan"] == "same"
    assert rehearsal.compared("SELECT", before, {"cost": 1.0, "nodes": nodes[:1]})["plan"] == "another"
    assert rehearsal.compared("SELECT", before, {"reason": "ERROR: gone"})["plan"] == "ERROR: gone"


def test_the_applications_role_alone_is_admitted_by_its_password() -> None:
    """The superuser by its user id, which is another one in the application's container; all others are refused."""
    lines = [line.split() for line in rehearsal.admitting("flaglearning_dev", "flaglearning_user").splitlines()]
    assert lines == [
        ["local", "all", "postgres", "peer"],
        ["local", "flaglearning_dev", "flaglearning_user", "scram-sha-256"],
        ["local", "all", "all", "reject"],
    ]
