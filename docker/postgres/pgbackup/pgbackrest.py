"""pgBackRest: run it, read what it knows, and say what its errors mean. Its settings: pg/pgbackrest.conf."""

import json
import os
import re
import subprocess
from datetime import UTC, datetime
from typing import Any, NamedTuple

import backup_health
from pgbackup import server
from pgbackup.notes import note
from user_errors import OperationError

STANZA = "flaglearning"
# Which repository is meant: 1 is the one beside the server, 2 the one on the backup host.
REPOSITORY = os.environ.get("REPOSITORY") or "1"
OF_ALL = {"stanza-create", "stanza-upgrade"}  # commands that concern every repository

# Its message → what failed, and the next command. The first that fits.
MEANINGS = {
    "CryptoError": (
        "the repository can't be decrypted: its passphrase is another one",
        "put the right one into the secret backup_cipher (SECRETS_DIR), and try again",
    ),
    "FormatError": (
        "the repository can't be read: its passphrase is another one, or its files are damaged",
        "put the right one into the secret backup_cipher (SECRETS_DIR), and try again",
    ),
    "No space left on device": ("the disk is full", "./scripts/ops space; docker system df; df -h"),
    # a write that got only half of it in: pgBackRest gives no reason then
    "[064]": ("the disk is full, or fails", "./scripts/ops space; docker system df; df -h"),
    "HostConnectError": (
        "the other host does not answer, or refuses this host",
        "on the backup host: docker compose ps; its certificate and firewall: docs/production.md",
    ),
    "backup set": ("there is no such backup", "./scripts/ops backup list"),
    "unable to acquire lock": ("another backup or restore is under way", "wait for it: ./scripts/ops backup info"),
    "do not match": (  # [028] of stanza-create, [044] of archive-push, [051] of backup
        "the repository belongs to another cluster", "on the database host: ./scripts/ops backup info"
    ),
    "invalid checksum": ("the backup is damaged: a file in it has another checksum than at its creation",
                         "./scripts/ops backup verify; an older one: ./scripts/ops backup list"),
    "archive-get": ("the repository has a WAL gap", "./scripts/ops backup verify"),
    "unable to find WAL": ("the WAL does not arrive in the repository", "./scripts/ops doctor"),
    "FileMissingError": ("the repository lacks a file", "./scripts/ops backup verify"),
    "Permission denied": ("the repository can't be written or read", "give BACKUP_REPOSITORY_DIR to uid 5432"),
}  # fmt: skip


class NoRepository(OperationError):
    """There is none of that number."""


def run(
    *arguments: str, repository: str = REPOSITORY, check: bool = True, quiet: bool = False
) -> "subprocess.CompletedProcess[str]":
    """Run it for our stanza. Raises OperationError with what it said, in words."""
    which = [] if OF_ALL & set(arguments) else [f"--repo={repository}"]
    command = ["pgbackrest", f"--stanza={STANZA}", *which, *arguments]
    done = subprocess.run(command, text=True, errors="replace", capture_output=True, check=False, env=environment())
    if check and done.returncode:
        raise failed(arguments[-1], done.stdout + done.stderr)
    if not quiet and (said := complaints(done.stdout + done.stderr)):
        note(said)
    return done


def environment() -> dict[str, str]:
    """Ours, without what pgBackRest would take for settings and isn't; and without libpq's: it asks standbys, too."""
    ours = {name: value for name, value in os.environ.items() if value or not name.startswith("PGBACKREST_")}
    return {name: value for name, value in ours.items() if name not in ("PGHOST", "PGTARGETSESSIONATTRS")}


def failed(command: str, said: str) -> OperationError:
    """What went wrong, for a person."""
    why = complaints(said) or said.strip()[-600:]
    if "is not valid for 'repo' option" in said:
        return NoRepository("there is no repository of that number", "docs/production.md", why)
    unknown = (f"pgbackrest {command} failed", "./scripts/ops backup info; docker compose logs --tail 20 postgres")
    what, hint = next((meaning for words, meaning in MEANINGS.items() if words in said), unknown)
    return OperationError(what, hint, " ".join(why.split())[:900])


def complaints(said: str) -> str:
    """Its warnings and errors, without time and process."""
    lines = [line.partition("P0")[2][2:].strip() or line for line in said.splitlines()]
    return "\n".join(line for line in lines if line.startswith(("WARN", "ERROR", "HINT")))


SEGMENT = re.compile(r"/([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})-[0-9a-f]{40}")
SEGMENTS_PER_LOG = 256  # of 16 MB each


class Backup(NamedTuple):
    """One in the repository."""

    label: str
    type: str
    start: datetime
    stop: datetime
    timeline: int
    stop_lsn: int
    database_bytes: int
    repository_bytes: int
    error: bool


def info(repository: str = REPOSITORY) -> dict[str, Any]:
    """What the repository holds, whichever cluster's: `backups` (the oldest first), the newest WAL, what is wrong with
    it as a whole, the system identifiers of its `systems` (the newest last) and of this host's data directory."""
    done = run("--output=json", "info", repository=repository, check=False, quiet=True)
    if done.returncode:
        raise failed("info", done.stdout + done.stderr)
    return {**parse_info(done.stdout), "system": server.system()}


def own(repository: str = REPOSITORY) -> dict[str, Any]:
    """The same, of a repository that is this cluster's, or empty. Raises OperationError for another cluster's."""
    found = info(repository)
    facts = {**found, "backups": [one._asdict() for one in found["backups"]]}
    if problem := backup_health.another_cluster(facts, repository):
        raise problem
    return found


def parse_info(printed: str) -> dict[str, Any]:
    """The same, of what `pgbackrest info --output=json` printed. Raises OperationError if it could not read."""
    found = [stanza for stanza in json.loads(printed or "[]", strict=False) if stanza["name"] == STANZA]
    if not found:
        return {"backups": [], "systems": [], "archive": None, "state": "there is no stanza yet"}
    [stanza] = found
    if stanza["status"]["code"] == 99:  # "other": the repository's own message tells
        raise failed("info", "ERROR: " + " ".join(repository["status"]["message"] for repository in stanza["repo"]))
    archives = [archive for archive in stanza.get("archive", []) if archive.get("max")]
    code, message = stanza["status"]["code"], stanza["status"]["message"]
    return {
        # of the database that it belongs to now: after a restore onto a new host there may be those of another one
        "backups": [backup(one) for one in stanza.get("backup", []) if one["database"]["id"] == stanza["db"][-1]["id"]],
        "systems": [str(database["system-id"]) for database in stanza["db"]],
        "archive": {key: archives[-1][key] for key in ("id", "min", "max")} if archives else None,
        "state": "ok" if code in (0, 2) else message,  # 2: no backups yet
        "busy": stanza["status"].get("lock", {}).get("backup", {}).get("held", False),
    }


def backup(one: dict[str, Any]) -> Backup:
    """An entry of `info`."""
    return Backup(
        label=one["label"],
        type=one["type"],
        start=datetime.fromtimestamp(one["timestamp"]["start"], UTC),
        stop=datetime.fromtimestamp(one["timestamp"]["stop"], UTC),
        timeline=int(one["archive"]["start"][:8], 16) if one["archive"]["start"] else 0,
        stop_lsn=lsn(one["lsn"]["stop"]),
        database_bytes=one["info"]["size"],
        repository_bytes=one["info"]["repository"]["delta"],
        error=bool(one.get("error")),
    )


def lsn(text: str) -> int:
    """0/3000028 → a number that can be compared."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def bad_files(label: str) -> list[str]:
    """The files of a backup in which pages had a wrong checksum when it was made."""
    done = run("--output=json", f"--set={label}", "info", quiet=True)
    [stanza] = json.loads(done.stdout)
    return [str(error) for error in stanza["backup"][0].get("error-list") or []]


def wal_gaps(listing: str) -> list[str]:
    """Segments that a listing of the archive (`repo-ls --recurse`) lacks although later ones of their timeline are
    there: pgBackRest's verify passes over them, and a recovery would end there."""
    numbers: dict[str, set[int]] = {}
    for timeline, log, segment in SEGMENT.findall(listing):
        numbers.setdefault(timeline, set()).add(int(log, 16) * SEGMENTS_PER_LOG + int(segment, 16))
    return [
        f"the WAL {timeline}{number // SEGMENTS_PER_LOG:08X}{number % SEGMENTS_PER_LOG:08X} is missing"
        for timeline, there in sorted(numbers.items())
        for number in range(min(there), max(there))
        if number not in there
    ]


def verify() -> list[str]:
    """Read everything in the repository; what is wrong with it."""
    done = run("--output=text", "--verbose", "verify", check=False, quiet=True)
    problems = parse_verify(done.returncode, done.stdout, done.stderr)
    return problems + wal_gaps(run("repo-ls", "--recurse", f"archive/{STANZA}", quiet=True).stdout)


def parse_verify(status: int, stdout: str, stderr: str) -> list[str]:
    """The problems that `pgbackrest verify` found. Raises OperationError if it could not look."""
    said = stdout + stderr
    if status and "error" not in stdout.lower():
        raise failed("verify", said)
    problems = [line for line in complaints(said).splitlines() if line]
    stanza_status = next((line for line in stdout.splitlines() if line.startswith("status: ")), "status: ok")
    if stanza_status != "status: ok" or status or problems:
        summary = [line.strip() for line in stdout.splitlines() if line.strip()]
        problems += summary or [said.strip()[-500:]]
    return problems


def ensure_stanza() -> None:
    """Make the repositories' stanza; nothing happens when it is there. A second repository that is away, or another
    database's, is no reason to go without the first: `info` tells."""
    done = run("stanza-create", check=False)
    if done.returncode and not own()["systems"]:
        raise failed("stanza-create", done.stdout + done.stderr)
