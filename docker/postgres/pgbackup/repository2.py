"""Repository 2, on the backup host: backups of its own, made there (pgBackRest makes them where the repository is), and
the WAL. The database host only archives into it; what is too old is removed on the backup host, by its own settings.
"""

import contextlib
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from typing import Any

from pgbackup import pgbackrest, schedule, server
from pgbackup.notes import note
from user_errors import Failure

NUMBER = "2"


def facts() -> dict[str, Any] | None:
    """What is in it, seen from wherever this runs; None if there is no repository 2."""
    try:
        found = pgbackrest.info(NUMBER)
    except pgbackrest.NoRepository:
        return None
    except Failure as failure:
        return {"state": failure.what, "why": failure.reason, "backups": []}
    backups = [one._asdict() for one in found["backups"]]
    kept = ("state", "archive", "systems", "system")
    return {"backups": backups, **{name: found[name] for name in kept}}


def serve() -> None:
    """The service `backup` of the backup host: a backup when one is due. Until SIGTERM."""
    at, full_days = schedule.settings()
    note(f"backup: one a day at {at} UTC, a full one every {full_days} days" if at else "backup: no schedule")
    schedule.end_on_sigterm()
    while True:
        schedule.ALIVE.touch()
        try:
            found = pgbackrest.info()
            if not found["systems"]:
                pgbackrest.ensure_stanza()
            kind = schedule.due(found["backups"], datetime.now(UTC), at, full_days, timeline(found)) if at else None
            if kind:
                note(f"backup: a {kind} one is due")
                create(kind)
        except Failure as failure:  # the database host is away, or not yet there: it is tried again
            failure.show()
        time.sleep(schedule.LOOK)


def timeline(found: dict[str, Any]) -> int:
    """The timeline on which a backup has to be: of a cluster the archive's newest, begun by a failover; else any."""
    return int(found["archive"]["max"][:8], 16) if server.is_cluster() and found["archive"] else 0


def create(kind: str) -> None:
    """Create a backup; the service is alive meanwhile, however long it takes."""
    command = ["pgbackrest", f"--stanza={pgbackrest.STANZA}", f"--repo={NUMBER}", f"--type={kind}", "backup"]
    with tempfile.TemporaryFile("w+") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log)
        while running.poll() is None:
            schedule.ALIVE.touch()
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(schedule.BEAT)
        log.seek(0)
        if running.returncode:
            raise pgbackrest.failed("backup", log.read())
    made = pgbackrest.info()["backups"][-1]
    note(f"backup: created {made.label}" + (", with damaged pages in it" if made.error else ""))
