"""What ./scripts/ops asks a member to do."""

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from pgadmin.session import connect
from pgcluster import rest
from user_errors import OperationError, UserError

START = "postmaster_start_time"  # in the answer of GET /patroni
CONFIG = Path("/etc/patroni/patroni.yml")
# Whatever a client is doing with an open transaction: PgBouncer's PAUSE waits for it.
OLDEST_TRANSACTION = """
    SELECT coalesce(max(extract(epoch FROM pg_catalog.now() - xact_start)), 0)::float AS seconds
    FROM pg_catalog.pg_stat_activity
    WHERE backend_type = 'client backend' AND xact_start IS NOT NULL AND pid <> pg_catalog.pg_backend_pid()"""
WAITING_SEGMENTS = """
    SELECT count(*) AS segments FROM pg_catalog.pg_ls_archive_statusdir()
    WHERE name LIKE '%.ready' AND pg_catalog.current_setting('archive_mode') <> 'off'"""
STANDBYS = """
    SELECT application_name AS name, sync_state,
           pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), replay_lsn)::bigint AS lag
    FROM pg_catalog.pg_stat_replication WHERE state = 'streaming'"""


def status() -> dict[str, Any]:
    """The cluster as this member's Patroni sees it, and each etcd."""
    cluster = rest.own("GET", "/cluster")
    return {
        "asked": rest.NAME,
        "primary": rest.primary(cluster),
        "paused": bool(cluster.get("pause")),
        "members": cluster["members"],
        "etcd": rest.etcd(),
    }


def server() -> dict[str, Any]:
    """The primary's side, through its socket: standbys, the oldest transaction (seconds), segments not yet archived."""
    with connect(name="pgcluster") as session:
        return {
            "standbys": session.rows(STANDBYS),
            "oldest_transaction_s": session.row(OLDEST_TRANSACTION)["seconds"],
            "waiting_segments": session.row(WAITING_SEGMENTS)["segments"],
            "strict": rest.own("GET", "/config").get("synchronous_mode_strict", False),
        }


def configure() -> dict[str, Any]:
    """Bring the settings in etcd to patroni.yml's and the environment's: {"changed": those that differed}."""
    present = rest.own("GET", "/config")
    wanted = settings(yaml.safe_load(CONFIG.read_text())["bootstrap"]["dcs"], os.environ)
    changed = difference(wanted, present)
    if changed:
        rest.own("PATCH", "/config", changed)
    return {"changed": changed}


def settings(written: dict[str, Any], environment: Any) -> dict[str, Any]:
    """patroni.yml's, with what CLUSTER_STRICT and CLUSTER_SYNC_STANDBYS change. Raises UserError. A pure function."""
    strict = environment.get("CLUSTER_STRICT") or "false"
    count = environment.get("CLUSTER_SYNC_STANDBYS") or "1"
    if strict not in ("true", "false"):
        raise UserError(f"CLUSTER_STRICT is '{strict}'", "set it to true or false (.env.example)")
    if count not in ("1", "2"):
        raise UserError(f"CLUSTER_SYNC_STANDBYS is '{count}'", "set it to 1 or 2 (.env.example)")
    return {**written, "synchronous_mode_strict": strict == "true", "synchronous_node_count": int(count)}


def difference(wanted: dict[str, Any], present: dict[str, Any]) -> dict[str, Any]:
    """The part of `wanted` that `present` lacks or has otherwise, as PATCH /config takes it. A pure function."""
    changed: dict[str, Any] = {}
    for key, value in wanted.items():
        if isinstance(value, dict):
            below = difference(value, present.get(key) or {})
            if below:
                changed[key] = below
        elif present.get(key) != value:
            changed[key] = value
    return changed


def switchover(candidate: str = "") -> dict[str, Any] | None:
    """On the primary: CHECKPOINT, print `ready`, wait for a line on standard input, then hand over. Without a line (the
    other side has given up) nothing happens.

    Without a candidate the standbys race, and the loser follows at once; with one, the other standby waits two seconds
    before it follows, and commits wait for it.
    """
    with connect(name="pgcluster") as session:
        session.rows("CHECKPOINT")  # what the shutdown has to write then is little
    with contextlib.suppress(OSError):  # it is tried again below, and then fails
        (connection := rest.connection_to(f"{rest.NAME}:8008", timeout=30)).connect()
    print("ready", flush=True)
    if not sys.stdin.readline():
        return None
    wanted = {"leader": rest.NAME, **({"candidate": candidate} if candidate else {})}
    answer = rest.own("POST", "/switchover", wanted, connection=connection)
    return {"answer": answer}


def restart() -> dict[str, Any]:
    """Restart this member's server: a changed setting takes effect. The container and Patroni stay."""
    return {"answer": rest.own("POST", "/restart", {}, timeout=120)}


def reload() -> dict[str, Any]:
    """Patroni and the server read their files again: settings, and certificates that were renewed."""
    return {"answer": rest.own("POST", "/reload", {})}


def reinit(within: float = 24 * 3600) -> dict[str, Any]:
    """On a standby: delete its data directory, and copy the primary's. Ends when it streams. `within` is in seconds."""
    before = rest.own("GET", "/patroni")
    if before.get("role") in ("primary", "master"):
        raise UserError(
            f"{rest.NAME} is the primary: its data directory is not copied from another",
            "name a standby: ./scripts/ops cluster status lists them",
        )
    rest.own("POST", "/reinitialize", {"force": True}, timeout=30)
    started = time.monotonic()
    while True:
        now = rest.own("GET", "/patroni")
        if now.get("replication_state") == "streaming" and now.get(START) != before.get(START):
            return {"seconds": round(time.monotonic() - started, 1)}
        if time.monotonic() > started + within:
            raise OperationError(
                f"{rest.NAME} does not stream", f"docker compose logs --tail 30 {rest.NAME}", str(now.get("state"))
            )
        time.sleep(0.5)


def kill(process: str = "postmaster") -> dict[str, Any]:
    """Kill -9 the server's first process, as a crash would: for the demonstration, and on a development server only."""
    data = Path(os.environ["PGDATA"])
    if process != "postmaster":
        raise UserError(f"there is no process '{process}' to kill", "only `postmaster` can be killed")
    try:
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, 9)
    except (OSError, ValueError) as error:
        raise OperationError(
            f"the server of {rest.NAME} can't be killed", "./scripts/ops cluster status", str(error)
        ) from None
    return {"killed": rest.NAME, "pid": pid}
