"""Whether backups and archiving are healthy: the one definition, for pgbackup, `ops doctor`, `ops backup info` and the
checklist.

Pure functions over the facts of `pgbackup info`. Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

from user_errors import OperationError

BACKUP_AGE = timedelta(hours=26)  # one backup a day, and time to make it
EXPOSED = 180.0  # seconds of writes that are not archived yet: archive_timeout is 45, and an upload may be under way
DRILL_AGE = timedelta(days=8)  # one drill a week, and a day

Facts = dict[str, Any]


def problem_of(found: Facts, now: datetime | None = None) -> OperationError | None:
    """What is wrong, the worst first; None when all is well. Takes the facts of `pgbackup info`."""
    now = now or datetime.now(timezone.utc)
    server = found.get("server") or {}
    if server.get("archive_mode") == "off":
        return OperationError(
            "WAL archiving is off: no backup can be made or restored",
            "put COMPOSE_PROFILES=backup into .env, then ./scripts/up (docs/production.md)",
        )
    if found["state"] != "ok":
        return OperationError(
            "the backup repository can't be used",
            "docker compose logs --tail 20 postgres backup; df -h; ls -ld the folder of BACKUP_REPOSITORY_DIR",
            " ".join(part for part in (found["state"], found.get("why", "")) if part),
        )
    another = another_cluster(found)
    if another:
        return another
    copy = found.get("copy")
    if copy and copy["state"] != "ok":
        waiting = server.get("waiting", 0)
        return OperationError(
            "repository 2, off this host, can't be used",
            "start the backup host's service, or see to the bucket, then ./scripts/ops backup info here: archiving "
            "catches up by itself",
            f"{copy['state']} {copy.get('why', '')}; {waiting} WAL segments wait here".replace(" ;", ";"),
        )
    another = another_cluster(copy, "2") if copy else None
    if another:
        return another
    if server.get("failing"):
        return OperationError(
            "WAL archiving fails, and WAL fills the database's disk",
            "docker compose logs --tail 20 postgres; free space in the repository, or bring it back",
            f"{server['waiting']} WAL segments wait",
        )
    if (server.get("exposed_s") or 0) > EXPOSED:
        return OperationError(
            "WAL archiving has stopped",
            "docker compose logs --tail 20 postgres; docker compose ps backup",
            f"{server['exposed_s']:.0f} s of writes would be lost with this host",
        )
    return problem_of_backups(found["backups"], now, "", "./scripts/ops backup create") or (
        problem_of_backups(
            copy["backups"],
            now,
            " in repository 2",
            "docker compose logs backup on the backup host; backup-repository-2 with a bucket",
        )
        if copy
        else None
    )


def is_foreign(found: Facts) -> bool:
    """Whether a repository is another cluster's: its newest system identifier is not the one of the data directory."""
    return bool(found.get("systems") and found.get("system") and found["systems"][-1] != found["system"])


def another_cluster(found: Facts, repository: str = "1") -> OperationError | None:
    """The error for a repository that is another cluster's; None for this one's and for an empty one."""
    if not is_foreign(found):
        return None
    theirs, ours, backups = found["systems"][-1], found["system"], found["backups"]
    newest = f", the newest {backups[-1]['label']}" if backups else ""
    off_site = repository == "2"
    return OperationError(
        f"{'repository 2' if off_site else 'the backup repository'} belongs to another cluster",
        f"for that cluster's data: {'REPOSITORY=2 ' if off_site else ''}./scripts/ops restore backup --latest; "
        f"to keep this one's: give it an empty repository{' on the backup host' if off_site else ''} "
        "(docs/production.md#a-repository-of-another-cluster)",
        f"its system identifier is {theirs}, and this server's is {ours}; it holds {len(backups)} backups{newest}",
    )


def problem_of_backups(backups: list[Facts], now: datetime, where: str, hint: str) -> OperationError | None:
    """One repository's backups: at least one, none with damaged pages, the newest not too old."""
    if not backups:
        return OperationError(f"no backup exists{where}", hint)
    damaged = [one["label"] for one in backups if one["error"]]
    if damaged:
        return OperationError(
            f"backups{where} contain pages with a wrong checksum: the data directory is or was damaged",
            f"{'REPOSITORY=2 ' if where else ''}./scripts/ops backup verify names the files; docs/runbooks/restore.md",
            ", ".join(damaged),
        )
    age = now - time_of(backups[-1]["stop"])
    if age > BACKUP_AGE:
        return OperationError(
            f"the newest backup{where} is too old", hint, f"{age.total_seconds() / 3600:.0f} hours; the limit is "
            f"{BACKUP_AGE.total_seconds() / 3600:.0f}",
        )  # fmt: skip
    return None


def time_of(text: str) -> datetime:
    """An ISO 8601 time with its zone. (Python 3.9 reads neither Z nor fractions of another length than 3 or 6.)"""
    whole = re.sub(r"\.(\d+)", lambda found: f".{found[1][:6]:0<6}", text.replace("Z", "+00:00"))
    return datetime.fromisoformat(whole)
