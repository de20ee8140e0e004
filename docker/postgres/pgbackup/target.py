"""Where a restore goes: `--to TIME`, `--latest`, `--backup LABEL`, or a recorded restore point; from which backup, on
which timeline. A target outside the recovery window is refused here, before anything is changed.
"""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import backup_health
from pgbackup import pgbackrest, repository2, restore_points, server, target_time, timelines
from pgbackup.notes import note
from pgbackup.pgbackrest import Backup
from user_errors import OperationError, UserError

LIST = "./scripts/ops backup list"


@dataclasses.dataclass
class Plan:
    """A restore that can be done."""

    label: str  # of the backup that it begins with
    backup_stop: str
    type: str  # pgBackRest's: time, default (the end of the archive), immediate (the end of the backup), name
    target: str
    timeline: int
    says: str

    @property
    def options(self) -> list[str]:
        """For pgbackrest restore."""
        given = [f"--set={self.label}", f"--type={self.type}"]
        if self.target:
            given.append(f"--target={self.target}")
        if self.type != "default":
            given.append("--target-action=promote")
        if self.type != "immediate":
            given.append(f"--target-timeline={self.timeline}")
        return given


def plan(pgdata: Path, to: str = "", backup: str = "", point: str = "", timeline: int | None = None) -> Plan:
    """Raises OperationError unless there is something to restore from."""
    found = pgbackrest.info()
    backups: list[Backup] = found["backups"]
    if not backups:
        raise OperationError(
            f"no backup exists in repository {pgbackrest.REPOSITORY}",
            f"./scripts/ops backup create{'' if pgbackrest.REPOSITORY != '1' else hint_of_repository_2()}",
            found["state"],
        )
    if backup_health.is_foreign(found):
        note(f"the backups are of another cluster (system identifier {found['systems'][-1]})")
    ours = timelines.current(pgdata, found["systems"])
    if timeline is None:
        timeline = ours or timelines.newest(found["archive"] and found["archive"]["max"])
    # Then it can be asked, and what it has not archived yet is waited for.
    running = ours is not None and server.is_there()
    usable = timelines.usable(backups, timeline)
    if backup:
        return at_backup(backups, backup)
    if not usable:
        raise OperationError(
            f"no backup belongs to timeline {timeline}, which the database is on",
            "./scripts/ops backup create",
        )
    if point:
        before = [one for one in usable if one.stop_lsn <= restore_points.lsn_of(point)]
        chosen = newest(before, usable, restore_points.find(point)["at"])
        return Plan(chosen.label, text(chosen.stop), "name", point, timeline, f"restore point {point}")
    if to:
        wanted = target_time.parse(to)
        at = wanted.at
        if running:
            restore_points.flush(at)
        check_range(usable, at, restore_points.archived_until() if running else None)
        chosen = newest_before(usable, at)
        return Plan(
            chosen.label,
            text(chosen.stop),
            "time",
            wanted.pgbackrest,
            timeline,
            wanted.says,
        )
    now = datetime.now(UTC)
    if running:
        restore_points.flush(now)
    chosen = newest_before(usable, now)
    return Plan(chosen.label, text(chosen.stop), "default", "", timeline, "the end of the archive")


def hint_of_repository_2() -> str:
    """The rest of the hint where repository 2 has backups; else ''."""
    there = repository2.facts()
    return "; repository 2 has backups: put REPOSITORY=2 before the same command" if there and there["backups"] else ""


def at_backup(backups: list[Backup], label: str) -> Plan:
    """The state at the end of one backup."""
    chosen = next((one for one in backups if one.label == label), None)
    if chosen is None:
        raise UserError(f"there is no backup '{label}'", LIST)
    if chosen.error:
        raise damaged(chosen)
    return Plan(chosen.label, text(chosen.stop), "immediate", "", chosen.timeline, f"the end of backup {label}")


def newest_before(backups: list[Backup], at: datetime) -> Backup:
    """The newest good one that had ended by then. One with bad pages is passed over."""
    # pgBackRest's times are whole seconds
    return newest([one for one in backups if one.stop + timedelta(seconds=1) <= at], backups, at)


def newest(candidates: list[Backup], backups: list[Backup], at: datetime) -> Backup:
    """The newest good one of the candidates."""
    good = [one for one in candidates if not one.error]
    if not good:
        raise damaged(candidates[-1]) if candidates else out_of_range(backups, at)
    return good[-1]


def check_range(backups: list[Backup], at: datetime, until: datetime | None) -> None:
    """Raises OperationError for a time before the oldest backup, or later than what was archived (None: not known)."""
    if at < backups[0].stop + timedelta(seconds=1) or at > (until or datetime.now(UTC)):
        raise out_of_range(backups, at, until)


def out_of_range(backups: list[Backup], at: datetime, until: datetime | None = None) -> UserError:
    """With the recovery window."""
    end = f"to {until:%Y-%m-%d %H:%M:%S} UTC" if until else "to the end of the archive (--latest)"
    return UserError(
        f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC is outside the recovery window "
        f"({backups[0].stop.astimezone(UTC):%Y-%m-%d %H:%M:%S} {end})",
        f"choose a time inside it; {LIST}",
    )


def damaged(one: Backup) -> OperationError:
    """It was made from pages with a wrong checksum."""
    return OperationError(
        f"backup {one.label} has pages with a wrong checksum, and no older backup reaches that time",
        f"an older time (--to), or another backup (--backup): {LIST}",
        ", ".join(pgbackrest.bad_files(one.label))[:500],
    )


def text(at: datetime) -> str:
    """For JSON."""
    return at.astimezone(UTC).isoformat(timespec="seconds")


def read(given: dict[str, Any]) -> Plan:
    """From JSON."""
    return Plan(**{field.name: given[field.name] for field in dataclasses.fields(Plan)})
