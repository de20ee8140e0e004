"""When a backup is due, by the age of what the repository holds: a machine that was off catches up. And the service
`backup` of a machine without systemd: heartbeats every few seconds, and a backup when one is due.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from pgbackup import facts, metrics, pgbackrest, restore_points, server, timelines
from pgbackup.notes import note
from pgbackup.pgbackrest import Backup
from user_errors import Failure, UserError

BEAT = 20  # seconds
LOOK = 60  # seconds between two looks at the repository
ALIVE = Path("/tmp/alive")  # noqa: S108 - this container's own tmpfs; the health check looks at its age


def serve() -> None:
    """Until SIGTERM. Raises OperationError at the start if the server doesn't archive. Beside a standby it waits until
    that is the primary."""
    at, full_days = settings()
    end_on_sigterm()
    wait_while_standby()
    server.require_archiving()
    if pgbackrest.REPOSITORY == "1":  # the other one's is the backup host's to make
        pgbackrest.ensure_stanza()
    note(
        f"backup: a heartbeat every {BEAT} s; "
        + (f"a backup a day at {at} UTC, a full one every {full_days} days" if at else "no schedule (BACKUP_AT=off)")
    )
    running: subprocess.Popen[bytes] | None = None
    looked = 0.0
    known: datetime | None = None
    while True:
        wait_while_standby()
        try:
            restore_points.write_heartbeat()
            known = restore_points.keep_to_archive_timeout(known)
            ALIVE.touch()
            if metrics.FOLDER.is_dir():
                metrics.write(metrics.text(facts.repository(), facts.archiver(), datetime.now(UTC)))
            if at and (running is None or running.poll() is not None) and time.monotonic() - looked > LOOK:
                looked = time.monotonic()
                found = pgbackrest.own()
                kind = due(found["backups"], datetime.now(UTC), at, full_days, timeline(found))
                if kind:
                    note(f"backup: a {kind} one is due")
                    running = subprocess.Popen(["pgbackup", "create", json.dumps({"type": kind})])
                    restore_points.prune()
        except Failure as failure:  # the server restarts, the repository is away: it is tried again
            failure.show()
        except psycopg.Error as error:  # it went away in the middle, or is one that was just made
            note(f"backup: {' '.join(str(error).split())}")
        time.sleep(BEAT)


def wait_while_standby() -> None:
    """On a host of a cluster: as long as this host's server is a standby."""
    while server.is_standby():
        ALIVE.touch()
        time.sleep(BEAT)


def end_on_sigterm() -> None:
    """At once: a backup that is under way is made anew later."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def settings() -> tuple[str, int]:
    """BACKUP_AT and BACKUP_FULL_DAYS. Raises OperationError."""
    at, days = os.environ.get("BACKUP_AT", "02:15"), os.environ.get("BACKUP_FULL_DAYS", "7")
    if at == "off":
        at = ""
    elif not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", at):
        raise UserError(f"BACKUP_AT is '{at}'", "write it like 02:15 (UTC), or off")
    if not days.isdigit() or not int(days):
        raise UserError(f"BACKUP_FULL_DAYS is '{days}'", "write a number of days, like 7")
    return at, int(days)


def timeline(found: dict[str, Any]) -> int:
    """The timeline on which a backup has to be: in a cluster the present one, begun by a failover; else any (0)."""
    return (timelines.current(server.data_directory(), found["systems"]) or 0) if server.is_cluster() else 0


def due(backups: list[Backup], now: datetime, at: str, full_days: int, timeline: int = 0) -> str | None:
    """full, incr or None. Every full_days-th day's backup is a full one; the day's is the one after `at`. One is due at
    once when the newest is on an older timeline than `timeline`: a restore would have to cross over."""
    hour, minute = map(int, at.split(":"))
    last_time = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if last_time > now:
        last_time -= timedelta(days=1)
    fulls = [one for one in backups if one.type == "full"]
    if not fulls or fulls[-1].start < last_time - timedelta(days=full_days - 1):
        return "full"
    return "incr" if backups[-1].start < last_time or backups[-1].timeline < timeline else None
