"""After a promotion: which of the segments that wait for the archive are there already."""

import contextlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from user_errors import OperationError

STANZA = "flaglearning"
SEGMENT = re.compile(r"[0-9A-F]{24}")
ARCHIVED = re.compile(r"([0-9A-F]{24})-[0-9a-f]{40}")  # in a repository: with its checksum, and what compressed it
LIMIT = 60  # seconds for one question to a repository


def mark_archived() -> dict[str, Any]:
    """Mark waiting segments as archived that every repository has. {"waiting": before, "marked": of these}.

    The hook pre_promote (close-archive-gap) has marked the newest to be archived again, because the lost primary may
    not have archived them. As a rule it has, and the archiver would take seconds for each to find that out; meanwhile
    no switchover is possible. Raises OperationError when a repository can't be asked; then all are archived again.
    """
    folder = Path(os.environ["PGDATA"]) / "pg_wal/archive_status"
    waiting = {file.stem for file in folder.glob("*.ready") if SEGMENT.fullmatch(file.stem)}
    if not waiting:
        return {"waiting": 0, "marked": 0}
    known = json.loads(asked("--output=json", "info"))[0]
    there = [in_repository(int(repo["key"]), known["archive"][-1]["id"], waiting) for repo in known["repo"]]
    marked = waiting.intersection(*there) if there else set()
    for name in marked:
        with contextlib.suppress(FileNotFoundError):  # the archiver was faster
            (folder / f"{name}.ready").rename(folder / f"{name}.done")
    return {"waiting": len(waiting), "marked": len(marked)}


def in_repository(repository: int, archive: str, wanted: set[str]) -> set[str]:
    """The wanted segments that a repository has. It has a folder for each 256."""
    found: set[str] = set()
    for folder in sorted({name[:16] for name in wanted}):
        listed = asked(f"--repo={repository}", "repo-ls", f"archive/{STANZA}/{archive}/{folder}")
        found |= {match[1] for line in listed.splitlines() if (match := ARCHIVED.match(line))}
    return found & wanted


def asked(*words: str) -> str:
    """What pgBackRest prints. Raises OperationError."""
    command = ["pgbackrest", f"--stanza={STANZA}", "--log-level-console=error", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise OperationError("pgBackRest does not answer", "./scripts/ops backup info", " ".join(words)) from None
    if done.returncode:
        raise OperationError("pgBackRest can't be asked", "./scripts/ops backup info", done.stdout + done.stderr)
    return done.stdout
