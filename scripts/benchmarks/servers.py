"""PostgreSQL servers that differ in their settings, one running at a time, and pgbench's TPC-B on each."""

import dataclasses
import re
import threading
from collections.abc import Mapping

from benchmarks import stacks
from benchmarks.run import Run
from benchmarks.stacks import Config, Services, Stack, with_copy

# Through the socket, as the superuser: what differs is the server, not the way to it.
SOCKET = "host=/run/postgresql user=postgres dbname=postgres"
CLIENTS = 16


@dataclasses.dataclass(frozen=True)
class Stretch:
    """pgbench's TPC-B for some seconds: transactions a second, its latency, and the WAL that a transaction wrote."""

    tps: float
    latency_ms: float
    wal_bytes: float
    checkpoints: int

    def __str__(self) -> str:
        return (
            f"{self.tps:6.0f} transactions/s  {self.wal_bytes:6.0f} bytes of WAL each  {self.checkpoints} checkpoints"
        )


def config(run: Run, project: str, memory: str) -> Config:
    """The production stack as data, reduced to what a server needs: its certificates. arm() adds the servers.

    None archives unless its arm says so: then it has a repository of its own, and archive() makes it usable.
    """
    reduced = stacks.measured_production(run, project)
    server = reduced["services"]["postgres"]
    server["mem_limit"] = memory
    server["environment"]["ARCHIVING"] = "off"
    del server["depends_on"]["repository"]
    for name in set(reduced["services"]) - {"certificates", "postgres"}:
        del reduced["services"][name]
    return reduced


def arm(run: Run, config_: Config, name: str, settings: Mapping[str, str]) -> Services:
    """Adds a server of its own data directory, with these settings above all others (local.d)."""
    file = run.work / f"{name}.conf"
    file.write_text("".join(f"{setting} = '{value}'\n" for setting, value in settings.items()), encoding="utf-8")
    file.chmod(0o644)
    service = with_copy(config_, "postgres", name)
    for mount in service["volumes"]:
        if mount["type"] == "volume":
            mount["source"] = f"{mount['source']}-{name}"
            config_["volumes"][mount["source"]] = (
                {"driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": "uid=5432,gid=5432,mode=0700"}}
                if mount["target"] == "/run/postgresql"
                else {}
            )
    service["volumes"].append(
        {"type": "bind", "source": str(file), "target": "/etc/postgresql/local.d/bench.conf", "read_only": True}
    )
    return service


def archive(stack: Stack, server: str) -> None:
    """What makes a repository of a volume; until then the server keeps its WAL and tries again."""
    stack.exec(server, "pgbackrest", "--stanza=flaglearning", "stanza-create")


def sql(stack: Stack, server: str, query: str) -> str:
    """What the query answers, unaligned, without headers."""
    return stack.exec(server, "psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "/run/postgresql", "-c", query)


def fill(stack: Stack, server: str, scale: int) -> None:
    """pgbench's tables on a server that runs; a scale is 100,000 accounts, about 15 MB."""
    stack.exec(server, "pgbench", "--initialize", "--quiet", "--scale", str(scale), SOCKET)


PREWARM = """
    CREATE EXTENSION IF NOT EXISTS pg_prewarm;
    SELECT pg_prewarm(oid) FROM pg_catalog.pg_class WHERE relname ~ '^pgbench_' ORDER BY pg_relation_size(oid)
"""


def stretch(stack: Stack, server: str, seconds: int, connect: str = SOCKET) -> Stretch:
    """TPC-B for that long, on a server whose cache is full as after hours: a larger one takes longer to fill.

    A checkpoint is the starting line, and one in the middle is paid for by every arm: after it, WAL has whole pages
    again.
    """
    sql(stack, server, PREWARM)
    sql(stack, server, "CHECKPOINT")
    wal, checkpoints = _counters(stack, server)
    in_the_middle = threading.Timer(seconds / 2, sql, (stack, server, "CHECKPOINT"))
    in_the_middle.start()
    output = _pgbench(stack, server, seconds, connect)
    in_the_middle.join()
    wal_after, checkpoints_after = _counters(stack, server)
    return parse(output, wal_after - wal, int(checkpoints_after - checkpoints))


def parse(output: str, wal_bytes: float, checkpoints: int) -> Stretch:
    """What pgbench printed, with what the server counted meanwhile."""
    return Stretch(
        tps=found(output, r"tps = ([\d.]+)"),
        latency_ms=found(output, r"latency average = ([\d.]+)"),
        wal_bytes=wal_bytes / max(found(output, r"actually processed: (\d+)"), 1),
        checkpoints=checkpoints,
    )


def found(output: str, pattern: str) -> float:
    """The number that pgbench printed. Raises AssertionError with all that it printed."""
    match = re.search(pattern, output)
    if not match:
        raise AssertionError(f"pgbench did not say {pattern!r}: {output[-2000:]}")
    return float(match[1])


def _pgbench(stack: Stack, server: str, seconds: int, connect: str) -> str:
    # --no-vacuum: autovacuum is one of the settings that differ. prepared: the server's work, not the parser's.
    options = ("--no-vacuum", "--protocol", "prepared", "--client", str(CLIENTS), "--jobs", "2", "--time", str(seconds))
    return stack.exec(server, "pgbench", *options, connect)


def _counters(stack: Stack, server: str) -> tuple[float, float]:
    """Bytes of WAL and checkpoints so far."""
    wal = "(SELECT wal_bytes FROM pg_catalog.pg_stat_wal)"
    checkpoints = "(SELECT num_timed + num_requested FROM pg_catalog.pg_stat_checkpointer)"
    bytes_, count = sql(stack, server, f"SELECT {wal}, {checkpoints}").split("|")
    return float(bytes_), float(count)
