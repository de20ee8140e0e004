"""Snapshots of the backup host's repository that the database host can't change.

    ./scripts/snapshots take            link the repository's files into a new snapshot, delete old snapshots
    ./scripts/snapshots list            list the snapshots, the oldest first
    ./scripts/snapshots restore NAME    put a snapshot in the repository's place; the containers are stopped before

The database host writes into repository 2 as the user of pgBackRest's server, through its protocol. So a snapshot is
root's: a folder outside what the containers mount, with a hard link to each file, and the file itself is given to root
(its group reads it). pgBackRest never writes into a completed file. It can still remove its own link: the snapshot
keeps the file. A snapshot needs no space of its own until the repository drops its files.

Each snapshot is compared with the one before. A file of a backup with another content, or a missing newest backup, is
no work of pgBackRest's: `take` fails until the file ALARM is gone, and meanwhile deletes no snapshot.

Settings, from .env: BACKUP_REPOSITORY_DIR, SNAPSHOTS_DIR (on the same file system), SNAPSHOT_DAYS.
Exit status: 0 done; 1 it failed, or the repository was tampered with; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from user_errors import Failure, OperationError, Status, UserError

NAME = re.compile(r"\d{8}T\d{6}Z")
NAME_FORMAT = "%Y%m%dT%H%M%SZ"
PARTIAL = ".partial"
ALARM = "ALARM"
UNFINISHED = ".pgbackrest.tmp"
# A backup's files, and WAL segments: pgBackRest adds and removes them, and never replaces one.
BACKUP = r"(?:.*/)?backup/[^/]+/(\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?)/"
MANIFEST = re.compile(BACKUP + r"backup\.manifest")
SEGMENT = re.compile(r"(?:.*/)?archive/[^/]+/([^/]+)/[0-9A-F]{16}/([0-9A-F]{24})-[0-9a-f]{40}[^/]*")
FINAL = re.compile(rf"{BACKUP}(?!backup\.manifest\.copy$).*|{SEGMENT.pattern}")
TRIES = 5
FIRST_BACKUP = 900  # seconds that the first snapshot waits for the first backup: a new host makes both at once


class Settings(NamedTuple):
    """Where the repository and its snapshots are, and how many days a snapshot is kept."""

    repository: Path
    snapshots: Path
    days: int


Inodes = dict[str, int]  # path in the repository → inode, of each completed file


def main(arguments: list[str], env_file: Path) -> int:
    """Run one command; the exit status."""
    parser = argparse.ArgumentParser(
        prog="./scripts/snapshots", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("take", help="link the repository's files into a new snapshot, delete old snapshots")
    commands.add_parser("list", help="list the snapshots, the oldest first")
    commands.add_parser("restore", help="put a snapshot in the repository's place").add_argument("name", metavar="NAME")
    asked = parser.parse_args(arguments)
    try:
        settings = read_settings(env_file)
        now = datetime.now(timezone.utc)
        if asked.command == "take":
            take(settings, now)
        elif asked.command == "list":
            print(*names(settings.snapshots), sep="\n")
        else:
            restore(settings, asked.name, now)
    except Failure as failure:
        failure.show()
        return int(failure.status)
    except OSError as error:
        OperationError(f"{asked.command} failed", "run it as root; df -h; df -i", str(error)).show()
        return int(Status.PROBLEM)
    return int(Status.OK)


def read_settings(env_file: Path) -> Settings:
    """Of the file .env, or of the environment, which wins. Raises UserError."""
    lines = env_file.read_text(encoding="utf-8").splitlines() if env_file.exists() else []
    values = {**dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line)), **os.environ}
    needed = ("BACKUP_REPOSITORY_DIR", "SNAPSHOTS_DIR", "SNAPSHOT_DAYS")
    if missing := [name for name in needed if not values.get(name)]:
        raise UserError(f"{', '.join(missing)}: not set", f"run it on a backup host; {env_file} has the settings there")
    repository, snapshots, days = (values[name] for name in needed)
    return Settings(Path(repository), Path(snapshots), int(days))


def names(folder: Path) -> list[str]:
    """The snapshots in it, the oldest first."""
    return sorted(path.name for path in folder.glob("*") if NAME.fullmatch(path.name))


def take(settings: Settings, now: datetime) -> None:
    """Make a snapshot, compare it with the newest before it, delete those that are too old. Raises OperationError."""
    check_folders(settings)
    before = names(settings.snapshots)
    if not before:
        wait_for_a_backup(settings.repository)
    link(settings, now, compare_with=before[-1] if before else None)
    alarm = settings.snapshots / ALARM
    if alarm.exists():
        lines = alarm.read_text(encoding="utf-8").splitlines()
        raise OperationError(
            "the repository was changed as pgBackRest never does; no snapshot is deleted until this is resolved",
            f"docs/runbooks/restore.md, 'Repository 2, from a snapshot'; if it was you: rm {alarm}",
            "; ".join(lines[:5]) + (f"; and {len(lines) - 5} more" if len(lines) > 5 else ""),
        )
    for old in too_old(before, now, settings.days):
        shutil.rmtree(settings.snapshots / old)
        print(f"{old}: deleted")


def wait_for_a_backup(repository: Path) -> None:
    """For so long; a snapshot of a repository without a backup is one, too."""
    deadline = time.monotonic() + FIRST_BACKUP
    while time.monotonic() < deadline and not any(repository.glob("**/backup.manifest")):
        time.sleep(5)


def link(settings: Settings, now: datetime, compare_with: str | None) -> None:
    """Make a snapshot. What must not differ from another one is written to the file ALARM. Raises OperationError."""
    name = now.strftime(NAME_FORMAT)
    for left in settings.snapshots.glob(f"*{PARTIAL}"):  # of a run that was killed
        shutil.rmtree(left)
    partial = settings.snapshots / f"{name}{PARTIAL}"
    for _ in range(TRIES):
        facts = state_of(settings.repository)
        link_files(settings.repository, partial)
        if facts == state_of(settings.repository):
            break
        shutil.rmtree(partial)  # a backup was completed, or expired, meanwhile
        time.sleep(1)
    else:
        raise OperationError(
            "the repository changes all the time: no snapshot was taken", "./scripts/snapshots take, later"
        )
    found = files_of(partial)
    changes = tampered(files_of(settings.snapshots / compare_with), found) if compare_with else []
    if changes:
        with (settings.snapshots / ALARM).open("a", encoding="utf-8") as file:
            file.writelines(f"{name}, compared with {compare_with}: {change}\n" for change in changes)
    partial.rename(settings.snapshots / name)  # last: of a run that was killed nothing is compared with
    print(f"{name}: {len(found)} files")


def check_folders(settings: Settings) -> None:
    """Root's folder, on the repository's file system, outside the repository. Raises OperationError."""
    if not settings.repository.is_dir():
        raise OperationError(f"{settings.repository} is no folder", "set BACKUP_REPOSITORY_DIR")
    snapshots = settings.snapshots.resolve()
    if settings.repository.resolve() in (snapshots, *snapshots.parents):
        raise OperationError(f"{snapshots} is in the repository", "set SNAPSHOTS_DIR to a folder beside it")
    snapshots.mkdir(mode=0o700, parents=True, exist_ok=True)
    snapshots.chmod(0o700)
    if settings.repository.stat().st_dev != snapshots.stat().st_dev:
        raise OperationError(
            f"{snapshots} is on another file system than {settings.repository}", "mount the disk at a folder above both"
        )


def too_old(existing: list[str], now: datetime, days: int) -> list[str]:
    """The snapshots whose time is more than so many days ago."""
    limit = (now - timedelta(days=days)).strftime(NAME_FORMAT)
    return [name for name in existing if name < limit]


def tampered(before: Inodes, now: Inodes) -> list[str]:
    """What pgBackRest does not do, between two snapshots: replace a final file, remove the newest backup or WAL."""
    found = [
        f"{path} was replaced"
        for path, inode in sorted(before.items())
        if now.get(path, inode) != inode and FINAL.fullmatch(path)
    ]
    for pattern in (MANIFEST, SEGMENT):
        matches = {path: match.groups() for path in before if (match := pattern.fullmatch(path))}
        newest = max(matches, key=lambda path: matches[path], default=None)
        if newest and newest not in now:
            found.append(f"{newest} is gone, the newest of its kind")
    return found


# ------------------------------------------------------------ files
# The repository's owner may change each name at any time, into a link to elsewhere, too: folders are opened without
# following links, and files are looked at where only root is.


def link_files(repository: Path, snapshot: Path) -> None:
    """Give each file of the repository to root, and link it into the snapshot. Links and special files are left out."""
    snapshot.mkdir(mode=0o700)
    source, target = os.open(repository, os.O_RDONLY | os.O_DIRECTORY), os.open(snapshot, os.O_RDONLY | os.O_DIRECTORY)
    try:
        link_folder(source, target)
    finally:
        os.close(source)
        os.close(target)


def link_folder(source: int, target: int) -> None:
    """One open folder of the repository, and those in it."""
    for name in os.listdir(source):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # it was removed, or replaced, meanwhile
            mode = os.stat(name, dir_fd=source, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                with opened(name, source) as inner:
                    os.mkdir(name, 0o700, dir_fd=target)
                    with opened(name, target) as copy:
                        link_folder(inner, copy)
            elif stat.S_ISREG(mode) and not name.endswith(UNFINISHED):
                os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
                give_to_root(name, target)


@contextlib.contextmanager
def opened(name: str, folder: int) -> Iterator[int]:
    """A folder in an open folder. Raises NotADirectoryError if it is a link."""
    number = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        yield number
    finally:
        os.close(number)


def give_to_root(name: str, folder: int) -> None:
    """A file of the snapshot: no other user writes it, its group reads it."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        os.unlink(name, dir_fd=folder)
    elif (found.st_uid, stat.S_IMODE(found.st_mode)) != (os.geteuid(), 0o440):
        os.chown(name, os.geteuid(), -1, dir_fd=folder, follow_symlinks=False)
        os.chmod(name, 0o440, dir_fd=folder)


def state_of(repository: Path) -> list[tuple[str, int, int]]:
    """What changes when a backup is completed or expires: pgBackRest's lists of them."""
    return sorted(
        (str(path), found.st_ino, found.st_mtime_ns) for path in repository.glob("**/*.info") if (found := path.lstat())
    )


def files_of(snapshot: Path) -> Inodes:
    """Its files."""
    return {
        os.path.relpath(entry.path, snapshot): entry.inode()
        for folder, _, _ in os.walk(snapshot)
        for entry in os.scandir(folder)
        if entry.is_file(follow_symlinks=False)
    }


def restore(settings: Settings, name: str, now: datetime) -> None:
    """Put a snapshot in the repository's place, which is retained. Raises Failure."""
    snapshot = settings.snapshots / name
    if name not in names(settings.snapshots):
        raise UserError(f"there is no snapshot '{name}'", "./scripts/snapshots list")
    owner = settings.repository.stat()
    new, retained = (
        settings.repository.with_name(f"{settings.repository.name}.{suffix}")
        for suffix in ("new", f"before-{now:{NAME_FORMAT}}")
    )
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(snapshot, new, copy_function=os.link)
    for folder in (new, *(path for path in new.rglob("*") if path.is_dir())):
        folder.chmod(0o750 if folder != new else stat.S_IMODE(owner.st_mode))
        os.chown(folder, owner.st_uid, owner.st_gid)
    settings.repository.rename(retained)
    new.rename(settings.repository)
    (settings.snapshots / ALARM).unlink(missing_ok=True)
    link(settings, now, compare_with=None)  # the next one is compared with it
    print(f"{settings.repository} is the snapshot {name}; what was there is {retained}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(".env")))
