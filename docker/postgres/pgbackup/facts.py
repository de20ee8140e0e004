"""What is known about backups and archiving, for `pgbackup info` and for the metrics of the service `backup`."""

from typing import Any

from pgbackup import pgbackrest, restore_points
from user_errors import Failure


def repository() -> dict[str, Any]:
    """The repository's side; `state` and `why` tell why it can't be read."""
    try:
        found = pgbackrest.info()
    except Failure as failure:
        return {"backups": [], "systems": [], "archive": None, "state": failure.what, "why": failure.reason}
    return {**found, "backups": [one._asdict() for one in found["backups"]]}


def archiver() -> dict[str, Any]:
    """The server's side of archiving, the newest drill, how much would be lost now."""
    with restore_points.superuser() as session:
        return session.row(
            f"""SELECT current_setting('archive_mode') AS archive_mode,
                   last_archived_wal, last_archived_time, failed_count,
                   coalesce(last_failed_time > last_archived_time, last_failed_time IS NOT NULL) AS failing,
                   extract(epoch FROM now() - last_archived_time)::float AS archived_s,
                   (SELECT count(*) FROM pg_catalog.pg_ls_archive_statusdir() WHERE name LIKE '%.ready') AS waiting,
                   (SELECT extract(epoch FROM now() - min(at))::float FROM operations.heartbeat
                    WHERE at > now() - interval '35 days'
                      AND {restore_points.SEGMENT} > {restore_points.ARCHIVED}) AS exposed_s,
                   (SELECT max(at) FROM operations.drill WHERE passed) AS drill_passed,
                   (SELECT max(at) FROM operations.drill) AS drill
                FROM pg_catalog.pg_stat_archiver"""  # noqa: S608
        )
