"""A data directory from the repository, recovered to its target by a server that no client can reach; then the
new one takes the place of the old in one step. Until then the old one is as it was, whatever ends this program.
"""

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import backup_health
from pgbackup import pgbackrest, server, timelines
from pgbackup.notes import note
from pgbackup.target import Plan
from user_errors import Failure, OperationError, UserError

DATA = Path(os.environ["PGDATA"])
NEW = DATA.with_name(f"{DATA.name}.restoring")
BEFORE = f"{DATA.name}.before-"
PRIVATE = Path("/tmp/recovery")  # noqa: S108 - this container's own tmpfs; the socket of a server in this container only
LOG = Path("/tmp/recovery.log")  # noqa: S108
READY = Path("/tmp/ready.json")  # noqa: S108
HOLD = Path("/tmp/hold")  # noqa: S108 - the drill reads the files of the stopped sandbox instance: its container stays
# What pgBackRest writes for a recovery: afterwards a standby or the next restore must not find it.
RECOVERY_SETTINGS = (
    "restore_command", "recovery_target", "recovery_target_time", "recovery_target_name", "recovery_target_action",
    "recovery_target_timeline", "recovery_target_inclusive",
)  # fmt: skip
ENDED_EARLY = "recovery ended before configured recovery target was reached"
SEGMENT_BYTES = 16 << 20


def into_the_stack(plan: Plan) -> dict[str, Any]:
    """Restore beside the old data directory, prove it, exchange the two. What was there stays, under another name."""
    began = time.monotonic()
    if server.is_there():
        raise OperationError("PostgreSQL is running: its data directory is not changed", "docker compose stop postgres")
    remove(NEW)
    try:
        # No client is served meanwhile.
        fetch(plan, NEW, f"--process-max={len(os.sched_getaffinity(0))}")
        child = start(NEW, "-c", "listen_addresses=", "-c", f"unix_socket_directories={PRIVATE}")
        try:
            wait_until_promoted(child, plan, str(PRIVATE), NEW)
            look_at(str(PRIVATE))
        finally:
            stop(child)
    except BaseException:
        remove(NEW)
        raise
    retained = exchange()
    upgrade_stanza()
    return {
        "retained": retained,
        "seconds": round(time.monotonic() - began, 1),
        "target": plan.says,
        "backup": plan.label,
    }


def sandbox(plan: Plan) -> None:
    """Restore into this container's own volume, and be a server there until the container ends. It archives nothing."""
    began = time.monotonic()
    if (DATA / "PG_VERSION").exists():
        raise OperationError("a sandbox instance exists already", "./scripts/ops sandbox drop")
    fetch(plan, DATA)
    restored = time.monotonic()
    child = start(DATA, "-c", "archive_mode=off")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: child.send_signal(signal.SIGINT))
    wait_until_promoted(child, plan, server.SOCKET, DATA)
    seconds = {"restore": round(restored - began, 1), "first_query": round(time.monotonic() - began, 1)}
    # today's passwords and privileges, not that day's
    if subprocess.run(["pgadmin", "apply"], check=False, stdout=sys.stderr).returncode:
        note("the roles of that time stay as they were")
    READY.write_text(json.dumps({"seconds": seconds, "target": plan.says, "backup": plan.label}))
    note(f"the sandbox instance is ready after {seconds['first_query']} s")
    child.wait()
    while HOLD.exists():
        time.sleep(1)


def wait_for_sandbox(within: float = 24 * 3600) -> dict[str, Any]:
    """What it took, once the sandbox instance is ready. (Its end ends this program too: they share a container.)"""
    deadline = time.monotonic() + within
    while not READY.exists():
        if time.monotonic() > deadline:
            raise OperationError("the sandbox instance is not ready", "docker logs of its container")
        time.sleep(0.2)
    found: dict[str, Any] = json.loads(READY.read_text())
    return found


def fetch(plan: Plan, directory: Path, *options: str) -> None:
    """The files of the backup, each with its checksum compared, and what recovery has to know."""
    note(f"restoring {plan.label} for {plan.says}")
    directory.mkdir(mode=0o700, exist_ok=True, parents=True)
    pgbackrest.run("--no-delta", f"--pg1-path={directory}", *plan.options, *options, "restore")


def start(directory: Path, *settings: str) -> "subprocess.Popen[bytes]":
    """The server, as the entrypoint starts it, on that directory. It admits no client until it is recovered."""
    PRIVATE.mkdir(mode=0o700, exist_ok=True)
    # pgBackRest compares: the WAL that it archives has to come from the directory that it knows
    environment = {**os.environ, "PGDATA": str(directory), "PGBACKREST_PG1_PATH": str(directory)}
    with LOG.open("wb") as log:
        command = ["docker-entrypoint.sh", "postgres", "-c", "hot_standby=off", *settings]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


def wait_until_promoted(child: "subprocess.Popen[bytes]", plan: Plan, socket: str, directory: Path) -> None:
    """Until it takes writes. Raises OperationError with what its log says, if it ends instead."""
    note("recovering")
    while child.poll() is None:
        if server.is_there(socket):
            try:
                with server.connect(host=socket) as session:
                    for setting in RECOVERY_SETTINGS:
                        session.rows(f"ALTER SYSTEM RESET {setting}")
                break
            except Failure:
                pass  # it starts, or recovers
        time.sleep(0.2)
    else:
        raise why_it_ended(LOG.read_text(errors="replace"), plan)
    if plan.type == "default":
        check_no_gap(plan, directory)


def check_no_gap(plan: Plan, directory: Path) -> None:
    """`--latest` ends where the next piece of WAL is missing. If there is more behind the gap, it isn't the latest."""
    archive = pgbackrest.info()["archive"]
    if not archive:
        return
    newest = max(directory.glob("pg_wal/????????.history"), key=lambda file: file.stem).read_text()
    ended = ended_at(newest)
    missing = segments_behind(ended, plan.timeline, archive["max"])
    if missing:
        raise OperationError(
            f"the archive has a WAL gap: a segment is missing, {missing} segments before its end",
            "./scripts/ops backup verify names it; --to a time before it works",
            f"recovery ended in {ended >> 32:X}/{ended & 0xFFFFFFFF:08X}",
        )


def ended_at(history: str) -> int:
    """The position at which the timeline of this history file began: the end of the recovery."""
    return max(timelines.parse_history(history).values())


def segments_behind(ended: int, timeline: int, newest: str) -> int:
    """How many segments after the end of a recovery the archive's `newest` one is; 0 on another timeline."""
    if int(newest[:8], 16) != timeline:
        return 0
    last = int(newest[8:16], 16) * (1 << 32) // SEGMENT_BYTES + int(newest[16:24], 16)
    return max(0, last - ended // SEGMENT_BYTES)


def why_it_ended(log: str, plan: Plan) -> OperationError:
    """A recovery that failed, in words."""
    times = re.findall(r"last completed transaction was at log time (\S+ \S+)", log)
    since = plan.backup_stop[:19].replace("T", " ")
    # First: for the server, WAL that could not be written is WAL that is not there.
    if "No space left on device" in log:
        return OperationError("the disk is full", "./scripts/ops space; df -h", tail(log))
    if ENDED_EARLY in log:
        last = times[-1][:19] if times else since
        return OperationError(
            f"the WAL in the repository ends before {plan.says}: its last commit is of {last} UTC",
            f"the recovery window is {since} to {last} UTC (--to); ./scripts/ops backup verify finds a WAL gap",
        )
    return OperationError(
        "recovery failed", "./scripts/ops backup verify; an older backup: ./scripts/ops backup list", tail(log)
    )


def tail(log: str) -> str:
    """The lines that say why."""
    lines = [line for line in log.splitlines() if re.search(r"FATAL|PANIC|ERROR|WARN|HINT", line)]
    return " ".join(" ".join((lines or log.splitlines())[-4:]).split())[-900:]


def look_at(socket: str) -> None:
    """Is it what this stack runs? Raises OperationError."""
    database = os.environ.get("APP_DATABASE", "")
    with server.connect(host=socket) as session:
        if not session.rows("SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", database):
            raise OperationError(
                f"the restored server has no database {database}",
                "look at it first: ./scripts/ops restore backup --sandbox …",
            )
    with server.connect(database, host=socket) as session:
        session.rows("SELECT count(*) FROM pg_catalog.pg_class")


def stop(child: "subprocess.Popen[bytes]") -> None:
    """A fast shutdown; what it wrote is on the disk then."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(120)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def exchange() -> str:
    """The new directory and the old one swap names in one system call: there is never none. The old one's new name."""
    retained = DATA.with_name(f"{BEFORE}{datetime.now(UTC):%Y%m%dt%H%M%S}")
    if not DATA.exists():
        NEW.rename(DATA)
        return ""
    at_working_directory, exchange_flag = -100, 2  # AT_FDCWD, RENAME_EXCHANGE: renameat2(2)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(at_working_directory, bytes(NEW), at_working_directory, bytes(DATA), exchange_flag):
        raise OperationError(
            "the data directories could not be exchanged", "./scripts/ops doctor", os.strerror(ctypes.get_errno())
        )
    NEW.rename(retained)
    folder = os.open(DATA.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    return retained.name


def upgrade_stanza() -> None:
    """A new host's own repository is of the empty database that was made there: from now on it is of this one. A member
    of a cluster has none."""
    if server.is_cluster():
        return
    if backup_health.is_foreign(pgbackrest.info("1")):
        pgbackrest.run("--no-online", "stanza-upgrade", check=False)
        if backup_health.is_foreign(pgbackrest.info("1")):
            note("the repository on this host is still of another database: ./scripts/ops doctor")


# ------------------------------------------------------------ what was there before


def retained() -> list[dict[str, Any]]:
    """The data directories that a restore or an upgrade replaced."""
    return [
        {"name": name, "size_bytes": sum(f.lstat().st_size for f in path.rglob("*") if f.is_file())}
        for name, path in replaced().items()
    ]


def replaced() -> dict[str, Path]:
    """Name → directory. Those of older major versions are named after them: 15/data."""
    restored = {path.name: path for path in sorted(DATA.parent.glob(f"{BEFORE}*"))}
    older = [file.parent for file in sorted(DATA.parents[1].glob("*/data/PG_VERSION")) if file.parent != DATA]
    return {**restored, **({f"{path.parent.name}/data": path for path in older} if DATA.exists() else {})}


def drop(name: str) -> None:
    """Remove one of them, for good."""
    if name not in replaced():
        raise UserError(f"there is no retained data directory '{name}'", "./scripts/ops retained list")
    remove(replaced()[name])


def remove(directory: Path) -> None:
    """First out of sight: half a directory never has a name that a server would start on."""
    if directory.exists():
        hidden = directory.with_name(f".{directory.name}.removing")
        shutil.rmtree(hidden, ignore_errors=True)
        directory.rename(hidden)
        shutil.rmtree(hidden)
