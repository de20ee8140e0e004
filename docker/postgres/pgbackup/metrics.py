"""Metrics of backups and archiving for Prometheus: a file that node_exporter's textfile collector reads."""

from datetime import datetime
from pathlib import Path
from typing import Any

import backup_health

FOLDER = Path("/metrics")  # mounted with docker/compose/monitoring.yml
FILE = "flaglearning_backup.prom"


def text(found: dict[str, Any], server: dict[str, Any], now: datetime) -> str:
    """The metrics file of the facts of the repository and of the server (pgbackup.facts).

    A repository that can't be read, or is another cluster's, has no number of backups.
    """
    readable = found["state"] == "ok" and not backup_health.is_foreign(found)
    values: list[tuple[str, str, float | None]] = [
        ("backup_checked_timestamp_seconds", "When the service backup wrote this.", now.timestamp()),
        ("backup_repository_ok", "Whether the repository can be read, and is this cluster's.", int(readable)),
        ("archive_exposed_seconds", "Age of the oldest write that is not archived.", server["exposed_s"] or 0),
        ("archive_waiting_segments", "WAL segments that wait for the archive.", server["waiting"]),
    ]
    if readable:
        backups = found["backups"]
        damaged = sum(one["error"] for one in backups)
        values += [
            ("backup_count", "Backups in the repository.", len(backups)),
            ("backup_damaged_count", "Backups with pages whose checksum is wrong.", damaged),
        ]
        if backups:
            newest = backups[-1]
            system = f'{{system_identifier="{found["systems"][-1]}"}}'
            stop = newest["stop"].timestamp()
            values += [
                (f"backup_newest_timestamp_seconds{system}", "When the newest backup ended.", stop),
                ("backup_newest_bytes", "Its size in the repository.", newest["repository_bytes"]),
            ]
    lines = []
    for name, help, value in values:
        metric = f"flaglearning_{name.partition('{')[0]}"
        lines += [f"# HELP {metric} {help}", f"# TYPE {metric} gauge", f"flaglearning_{name} {value}"]
    return "\n".join(lines) + "\n"


def write(text: str, folder: Path = FOLDER) -> None:
    """Replace the file in one step, readable by node_exporter."""
    file = folder / FILE
    file.with_suffix(".new").write_text(text)
    file.with_suffix(".new").chmod(0o644)
    file.with_suffix(".new").rename(file)
