"""pg_upgrade in the server's volume.

PostgreSQL documentation, pg_upgrade. Files are copied, never linked: the old data directory is not changed, so that it
is the way back.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pgbackup import pgbackrest, recovery, server
from pgbackup.notes import note
from user_errors import Failure, OperationError, UserError

DATA = Path(os.environ["PGDATA"])
VOLUME = DATA.parents[1]
NEW = DATA.with_name(f"{DATA.name}.upgrading")
MAJOR = os.environ["PG_MAJOR"]
WORK = Path("/tmp/upgrade")  # noqa: S108 - this container's own tmpfs; the servers' sockets, which need a short path
# Extensions whose functions can't be created without their library.
LIBRARIES = "pg_stat_statements,pgaudit"
RESERVE = 512 << 20  # bytes of disk beside the copy: WAL and what pg_upgrade writes


def directories() -> dict[str, Path]:
    """Major version → data directory, of those in the volume that are not this image's."""
    found = {file.parent.parent.name: file.parent for file in sorted(VOLUME.glob("*/data/PG_VERSION"))}
    return {major: path for major, path in found.items() if major != MAJOR}


def facts() -> dict[str, Any]:
    """What there is to upgrade: {"old", "new", "bytes", "free_bytes", "has_new"}; `old` is None without one."""
    old = old_directory()
    return {
        "old": old.parent.name if old else None,
        "new": MAJOR,
        "bytes": size(old) if old else 0,
        "free_bytes": shutil.disk_usage(VOLUME).free,
        "has_new": (DATA / "PG_VERSION").exists(),
    }


def old_directory() -> Path | None:
    """The newest of the older ones."""
    found = directories()
    older = sorted((int(major) for major in found if major.isdigit() and int(major) < int(MAJOR)), reverse=True)
    return found[str(older[0])] if older else None


def size(directory: Path) -> int:
    """Bytes of the files."""
    return sum(file.lstat().st_size for file in directory.rglob("*") if file.is_file())


def run(check_only: bool = False) -> dict[str, Any]:
    """The upgrade, or pg_upgrade's checks alone: {"old", "new", "seconds"}. Raises UserError and OperationError; then
    neither the old data directory nor the place of the new one has changed."""
    done = in_volume(check_only)
    if not check_only:
        recovery.upgrade_stanza()
    return done


def in_volume(check_only: bool = False) -> dict[str, Any]:
    """The same, without the repository."""
    began = time.monotonic()
    old = old_directory()
    if old is None:
        raise UserError(f"there is no data directory of a version before {MAJOR}", "./scripts/ops server")
    refuse_another()
    refuse(old)
    recovery.remove(NEW)
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(mode=0o700)
    try:
        create(old)
        pg_upgrade(old, "--check")
        if not check_only:
            pg_upgrade(old)
            if checksums(old) == "0":
                execute("pg_checksums", "--enable", "--progress", "-D", str(NEW))
            refuse_another()  # made meanwhile by a run whose orchestrator was killed
            recovery.remove(DATA)
            NEW.rename(DATA)
    finally:
        recovery.remove(NEW)
    return {"old": old.parent.name, "new": MAJOR, "seconds": round(time.monotonic() - began, 1)}


def refuse_another() -> None:
    """Raises UserError when there is a data directory of this version: it may have been written to."""
    if (DATA / "PG_VERSION").exists():
        raise UserError(
            f"there is a data directory of PostgreSQL {MAJOR} already", "./scripts/ops upgrade --back sets it aside"
        )


def refuse(old: Path) -> None:
    """Raises OperationError for what can't work."""
    major = old.parent.name
    if not Path(f"/usr/lib/postgresql/{major}/bin/postgres").exists():
        raise OperationError(
            f"this image has no server of PostgreSQL {major}",
            "./scripts/ops upgrade --suite NAME",
        )
    state = control(old).get("Database cluster state", "unknown")
    if state != "shut down":
        raise OperationError(
            f"the data directory of PostgreSQL {major} was not shut down cleanly",
            f"start PostgreSQL {major} on it and stop it; then the same command again", f"its state is '{state}'",
        )  # fmt: skip
    needed, free = size(old) + RESERVE, shutil.disk_usage(VOLUME).free
    if free < needed:
        raise OperationError(
            f"the disk has {free >> 20} MB left, and a copy of the data directory needs {needed >> 20} MB",
            "./scripts/ops space",
        )


def checksums(directory: Path) -> str:
    """The data checksum version of a data directory; "0" without checksums."""
    return control(directory).get("Data page checksum version", "0")


def control(old: Path) -> dict[str, str]:
    """What an older data directory says of itself: its file may have another format than this version's."""
    return server.control(old, f"/usr/lib/postgresql/{old.parent.name}/bin/pg_controldata")


def create(old: Path) -> None:
    """An empty cluster, as the entrypoint makes one; pg_upgrade gives it the old one's locale."""
    without = checksums(old) == "0"
    options = ["--username=postgres", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    options += ["--locale=C.UTF-8", "--auth-local=peer", "--auth-host=reject", "--allow-group-access"]
    if int(MAJOR) >= 18 and without:
        options.append("--no-data-checksums")
    elif not without:
        options.append("--data-checksums")
    execute("initdb", f"--pgdata={NEW}", "--no-instructions", *options)


def pg_upgrade(old: Path, *options: str) -> None:
    """Run it. Raises OperationError with the files that its checks wrote."""
    major = old.parent.name
    words = [f"--old-datadir={old}", f"--new-datadir={NEW}", f"--old-bindir=/usr/lib/postgresql/{major}/bin"]
    words += [f"--new-bindir=/usr/lib/postgresql/{MAJOR}/bin", "--username=postgres", "--copy", f"--socketdir={WORK}"]
    words += [f"--jobs={len(os.sched_getaffinity(0))}"]
    words += [f"--{which}-options=-c shared_preload_libraries={LIBRARIES}" for which in ("old", "new")]
    note(f"pg_upgrade from {major} to {MAJOR} {' '.join(options)}")
    execute("pg_upgrade", *words, *options)


def execute(program: str, *arguments: str) -> None:
    """Run a program of this version. Raises OperationError with the end of what it printed."""
    argv = [f"/usr/lib/postgresql/{MAJOR}/bin/{program}", *arguments]
    done = subprocess.run(argv, cwd=WORK, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        output = NEW / "pg_upgrade_output.d"
        reports = [file for file in output.glob("**/*.txt") if file.stat().st_size]
        found = "".join(f"\n{file.name}: {file.read_text()[:600]}" for file in reports)
        # It names these logs, which go with the new directory.
        named = [file for file in output.glob("**/*.log") if str(file) in done.stdout]
        found += "".join(f"\n{file.name}: … {file.read_text(errors='replace')[-800:]}" for file in named)
        print(done.stdout[-3000:] + found, file=sys.stderr)
        raise OperationError(
            f"{program} failed; the old data directory has not changed", "correct what its output above says"
        )


def back() -> dict[str, Any]:
    """The data directory of this version is set aside: {"old", "retained"}. The old one is as it was before."""
    old = old_directory()
    if old is None:
        raise UserError("there is no older data directory to return to", "./scripts/ops restore backup --help")
    if server.is_there():
        raise OperationError("PostgreSQL is running: its data directory is not changed", "docker compose stop postgres")
    retained = ""
    if DATA.exists():
        target = DATA.with_name(f"{recovery.BEFORE}{datetime.now(UTC):%Y%m%dt%H%M%S}")
        DATA.rename(target)
        retained = target.name
    return_repository(old)  # also when a run that was killed has set the directory aside
    return {"old": old.parent.name, "retained": retained}


def return_repository(old: Path) -> None:
    """It is of the new one since the upgrade. (One on another host: ansible/playbooks/upgrade-back.yml.)"""
    with contextlib.suppress(Failure):  # there is none
        if pgbackrest.info("1")["systems"]:
            pgbackrest.run("--no-online", f"--pg1-path={old}", "stanza-upgrade", check=False)
