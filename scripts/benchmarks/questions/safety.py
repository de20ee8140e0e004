"""What it costs to be watched and safe: TPC-B with each of these things off, one at a time."""

import dataclasses

from benchmarks import servers, stacks
from benchmarks.results import Answer, Row, Table, figure
from benchmarks.run import Run
from benchmarks.servers import Stretch
from benchmarks.stacks import Stack

NAME = "safety"
TITLE = "What it costs to be watched and safe"

MEMORY, SCALE, QUICK_SCALE = "4g", 20, 5
SECONDS, QUICK_SECONDS = 40, 10
ROLE = "bench"
TLS = f"host=127.0.0.1 user={ROLE} dbname=postgres sslmode=verify-ca sslrootcert=/tls/ca.crt"
PLAIN = f"host=127.0.0.1 user={ROLE} dbname=postgres sslmode=disable"


@dataclasses.dataclass(frozen=True)
class Arm:
    """A server that lacks one thing, and how pgbench reaches it."""

    says: str
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    checksums: bool = True
    connect: str = TLS


# The commonest transaction of pgbench is short: what costs a fixed amount for each statement shows most.
ARMS = {
    "everything": Arm("everything on: as the stack runs"),
    "no-statements": Arm(
        "without pg_stat_statements", {"shared_preload_libraries": "auto_explain, pgaudit", "compute_query_id": "off"}
    ),
    "no-explain": Arm("without auto_explain", {"shared_preload_libraries": "pg_stat_statements, pgaudit"}),
    "no-audit": Arm("without pgaudit", {"shared_preload_libraries": "pg_stat_statements, auto_explain"}),
    "no-timing": Arm("without track_io_timing", {"track_io_timing": "off", "track_wal_io_timing": "off"}),
    "no-checksums": Arm("without data checksums", checksums=False),
    "no-tls": Arm("without TLS", connect=PLAIN),
    "nothing": Arm(
        "without any of these",
        {"shared_preload_libraries": "", "compute_query_id": "off", "track_io_timing": "off"},
        checksums=False,
        connect=PLAIN,
    ),
}
EVERYTHING = next(iter(ARMS))


def answer(run: Run) -> Answer:
    """A server an arm, filled alike, measured in turns."""
    config = servers.config(run, "fl-bench-safety", MEMORY)
    hba = run.work / "bench_hba.conf"
    hba.write_text(f"host all {ROLE} 127.0.0.1/32 trust\n", encoding="utf-8")
    hba.chmod(0o644)
    for name, arm in ARMS.items():
        service = servers.arm(run, config, name, arm.settings)
        service["volumes"].append(
            {"type": "bind", "source": str(hba), "target": "/etc/postgresql/hba.d/bench.conf", "read_only": True}
        )
    with stacks.removed_afterwards(stacks.write(run, config)) as stack:
        stack.build("postgres")
        return _answer(_measured(run, stack))


def _measured(run: Run, stack: Stack) -> dict[str, list[Stretch]]:
    scale, seconds = run.choose((SCALE, SECONDS), (QUICK_SCALE, QUICK_SECONDS))
    for name, arm in ARMS.items():
        run.say(f"safety: filling {name}")
        stack.up(name)
        servers.sql(stack, name, f"CREATE ROLE {ROLE} SUPERUSER LOGIN")
        servers.fill(stack, name, scale)
        stack.stop(name)
        if not arm.checksums:
            stack.compose("run", "--rm", "--no-deps", "--entrypoint", "pg_checksums", name, "--disable")
    stretches: dict[str, list[Stretch]] = {name: [] for name in ARMS}
    rounds = run.choose(3, 1)
    for number, name in run.rounds(rounds, tuple(ARMS)):
        stack.up(name)
        stretches[name].append(servers.stretch(stack, name, seconds, ARMS[name].connect))
        stack.stop(name)
        run.say(f"safety: round {number}/{rounds}  {name:<14} {stretches[name][-1].tps:6.0f} transactions/s")
    return stretches


def _answer(stretches: dict[str, list[Stretch]]) -> Answer:
    tps = {name: figure([one.tps for one in several], "transactions/s", 0) for name, several in stretches.items()}
    rows = tuple(
        Row(
            arm.says,
            (
                tps[name],
                tps[name].over(tps[EVERYTHING]),
                figure([one.latency_ms for one in stretches[name]], "ms"),
                figure([one.wal_bytes for one in stretches[name]], "bytes", 0),
            ),
        )
        for name, arm in ARMS.items()
    )
    columns = ("transactions/s", "× everything on", "latency", "WAL per transaction")
    return Answer(
        title=TITLE,
        how=(
            f"pgbench's TPC-B, {servers.CLIENTS} clients over TCP on the server's own loopback, prepared statements, "
            "fsync on, with a checkpoint in the middle of each window; one thing is missing in each arm."
        ),
        aims=(),
        tables=(Table("TPC-B, one thing left out at a time", columns, rows, plotted="transactions/s"),),
        notes=("What continuous archiving costs is in the question `physical`.",),
    )
