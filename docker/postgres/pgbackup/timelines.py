"""A restore to a point in time begins a new timeline; later writes belong to an abandoned one.
Which backups belong to the history of the database that there is now?

Without this, the newest backup by the clock may be one of the abandoned future, and recovery from it fails at the end
("requested timeline 2 is not a child of this server's history").
"""

import re
from pathlib import Path

from pgbackup import pgbackrest, server
from pgbackup.pgbackrest import Backup

HISTORY = re.compile(r"^\s*(\d+)\s+([0-9A-F]+/[0-9A-F]+)", re.MULTILINE)


def current(pgdata: Path, systems: list[str]) -> int | None:
    """The timeline of the cluster in a data directory, running or not. None if there is none, or it is another one than
    the repository's: a server that was just made on a new machine."""
    said = server.control(pgdata)
    if said.get("Database system identifier") not in systems[-1:]:
        return None
    # a server that was promoted and has made no checkpoint yet: its history file is ahead of its control file
    written = [int(file.stem, 16) for file in (pgdata / "pg_wal").glob("????????.history")]
    return max([int(said["Latest checkpoint's TimeLineID"]), *written])


def newest(archive_max: str | None) -> int:
    """The highest timeline that the archive knows."""
    timeline = int(archive_max[:8], 16) if archive_max else 1
    while history(timeline + 1):
        timeline += 1
    return timeline


def history(timeline: int) -> dict[int, int]:
    """Parent → the position at which it was left; empty for the first, and for one that the archive doesn't have."""
    if timeline == 1:
        return {}
    # not archive-get: that refuses where the server of now is another one, on a new host
    archive = pgbackrest.info()["archive"]
    if not archive:
        return {}
    file = f"archive/{pgbackrest.STANZA}/{archive['id']}/{timeline:08X}.history"
    done = pgbackrest.run("repo-get", file, check=False, quiet=True)
    return {} if done.returncode else parse_history(done.stdout)


def parse_history(text: str) -> dict[int, int]:
    """Parent → the position at which it was left, of a history file."""
    return {int(parent): pgbackrest.lsn(left) for parent, left in HISTORY.findall(text)}


def usable(backups: list[Backup], timeline: int) -> list[Backup]:
    """Those from which a recovery can reach that timeline."""
    return on_the_way(backups, timeline, history(timeline))


def on_the_way(backups: list[Backup], timeline: int, left: dict[int, int]) -> list[Backup]:
    """The backups of a timeline, and those of its ancestors that ended before it left them."""
    return [
        one
        for one in backups
        if one.timeline == timeline or (one.timeline in left and one.stop_lsn <= left[one.timeline])
    ]
