"""Where a restore goes to: `--to TIME`, `--latest`, `--backup LABEL`, or a moment of ours; from which backup, along
which timeline. A target that doesn't exist is refused here, before anything is touched, with the range that there is.
"""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from physical import copies, moments, pgbackrest, server, timelines
from physical.errors import Refused
from physical.pgbackrest import Backup

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


def plan(pgdata: Path, to: str = "", backup: str = "", moment: str = "", timeline: int | None = None) -> Plan:
    """Raises Refused unless there is something to restore from."""
    found = pgbackrest.info()
    backups: list[Backup] = found["backups"]
    if not backups:
        raise Refused(
            f"there is no physical backup yet in repository {pgbackrest.REPOSITORY}.",
            f"./scripts/ops backup physical{'' if pgbackrest.REPOSITORY != '1' else elsewhere()}",
            found["state"],
        )
    ours = timelines.current(pgdata, found["systems"])
    if timeline is None:
        timeline = ours or timelines.newest(found["archive"] and found["archive"]["max"])
    # Then it can be asked, and what it has not archived yet is waited for.
    running = ours is not None and server.is_there()
    usable = timelines.usable(backups, timeline)
    if backup:
        return at_backup(backups, backup)
    if not usable:
        raise Refused(
            f"no backup belongs to timeline {timeline}, the one that the database is on.",
            "./scripts/ops backup physical",
        )
    if moment:
        chosen = newest(
            [one for one in usable if one.stop_lsn <= moments.lsn_of(moment)], usable, moments.find(moment)["at"]
        )
        return Plan(chosen.label, text(chosen.stop), "name", moment, timeline, f"the moment {moment}")
    if to:
        at = moment_of(to)
        if running:
            moments.flush(at)
        check_range(usable, at, moments.archived_until() if running else None)
        chosen = newest_before(usable, at)
        return Plan(
            chosen.label,
            text(chosen.stop),
            "time",
            f"{at:%Y-%m-%d %H:%M:%S.%f+00}",
            timeline,
            f"{at:%Y-%m-%d %H:%M:%S} UTC",
        )
    now = datetime.now(UTC)
    if running:
        moments.flush(now)
    chosen = newest_before(usable, now)
    return Plan(chosen.label, text(chosen.stop), "default", "", timeline, "the newest that the archive has")


def elsewhere() -> str:
    """The backup host, if there is one that has a backup."""
    there = copies.facts()
    return "; the backup host has some: REPOSITORY=2 before the same command" if there and there["backups"] else ""


def at_backup(backups: list[Backup], label: str) -> Plan:
    """The state at the end of one backup."""
    chosen = next((one for one in backups if one.label == label), None)
    if chosen is None:
        raise Refused(f"there is no backup '{label}'.", LIST)
    if chosen.error:
        raise damaged(chosen)
    return Plan(chosen.label, text(chosen.stop), "immediate", "", chosen.timeline, f"the end of the backup {label}")


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


def moment_of(typed: str) -> datetime:
    """What a person typed, as a time. Without a zone it is UTC, as everywhere here."""
    try:
        at = datetime.fromisoformat(typed.strip())
    except ValueError:
        raise Refused(
            f"'{typed}' is no time.", "write it like 2026-11-23 14:05:30, or with a zone: 2026-11-23T15:05:30+01:00"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def check_range(backups: list[Backup], at: datetime, until: datetime | None) -> None:
    """Raises Refused for a time before the oldest backup, or later than what was archived (None: not known)."""
    if at < backups[0].stop + timedelta(seconds=1) or at > (until or datetime.now(UTC)):
        raise out_of_range(backups, at, until)


def out_of_range(backups: list[Backup], at: datetime, until: datetime | None = None) -> Refused:
    """With the range that there is."""
    end = f"to {until:%Y-%m-%d %H:%M:%S} UTC" if until else "to the end of the archive (--latest)"
    return Refused(
        f"there is no way to {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: it is outside of what the repository holds.",
        f"the range is {backups[0].stop:%Y-%m-%d %H:%M:%S} {end}; {LIST}",
    )


def damaged(one: Backup) -> Refused:
    """It was made from pages with a wrong checksum."""
    return Refused(
        f"the backup {one.label} has pages whose checksum is wrong, and there is no older one for that time.",
        f"an older time (--to), or another backup (--backup): {LIST}",
        ", ".join(pgbackrest.bad_files(one.label))[:500],
    )


def text(at: datetime) -> str:
    """For JSON."""
    return at.astimezone(UTC).isoformat(timespec="seconds")


def read(given: dict[str, Any]) -> Plan:
    """From JSON."""
    return Plan(**{field.name: given[field.name] for field in dataclasses.fields(Plan)})
