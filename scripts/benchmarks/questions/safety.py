"""What it costs to be watched and safe: TPC-B with each of these things off, one at a time."""

import dataclasses
from collections.abc import Sequence

from benchmarks import servers, stacks
from benchmarks.results import Aim, Answer, Row, Table, figure
from benchmarks.run import Run
from benchmarks.servers import Stretch
from benchmarks.stacks import Stack

NAME = "safety"
TITLE = "What it costs to be watched and safe"

TAKES = "6 minutes; 20 s"
ARCHIVING_AIM = 5  # percent of TPC-B

MEMORY, SCALE, QUICK_SCALE = "4g", 20, 2
SECONDS, QUICK_SECONDS = 12, 2
ROLE = "bench"
TLS = f"host=127.0.0.1 user={ROLE} dbname=postgres sslmode=verify-ca sslrootcert=/tls/ca.crt"
PLAIN = f"host=127.0.0.1 user={ROLE} dbname=postgres sslmode=disable"


@dataclasses.dataclass(frozen=True)
class Arm:
    """A server that lacks one thing, and how pgbench reaches it."""

    says: str
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    checksums: bool = True
    archiving: bool = True
    connect: str = TLS


# The commonest transaction of pgbench is short: what costs a fixed amount for each statement shows most.
ARMS = {
    "everything": Arm("everything on: as the stack runs"),
    "no-statements": Arm(
        "without pg_stat_statements", {"shared_preload_libraries": "auto_explain, pgaudit", "compute_query_id": "off"}
    ),
    "no-audit": Arm("without pgaudit", {"shared_preload_libraries": "pg_stat_statements, auto_explain"}),
    "no-archive": Arm("without archiving (pgBackRest: asynchronous, zst, encrypted)", archiving=False),
    "no-checksums": Arm("without data checksums", checksums=False),
    "no-tls": Arm("without TLS", connect=PLAIN),
    "nothing": Arm(
        "without any of these",
        {"shared_preload_libraries": "auto_explain", "compute_query_id": "off"},
        checksums=False,
        archiving=False,
        connect=PLAIN,
    ),
}
EVERYTHING, ARCHIVELESS = "everything", "no-archive"
QUICK = (EVERYTHING, ARCHIVELESS)


def answer(run: Run) -> Answer:
    """A server an arm, filled alike, measured in turns."""
    config = servers.config(run, "fl-bench-safety", MEMORY)
    hba = run.work / "bench_hba.conf"
    hba.write_text(f"host all {ROLE} 127.0.0.1/32 trust\n", encoding="utf-8")
    hba.chmod(0o644)
    names = run.choose(tuple(ARMS), QUICK)
    for name in names:
        service = servers.arm(run, config, name, ARMS[name].settings)
        service["environment"]["ARCHIVING"] = "on" if ARMS[name].archiving else "off"
        service["volumes"].append(
            {"type": "bind", "source": str(hba), "target": "/etc/postgresql/hba.d/bench.conf", "read_only": True}
        )
    with stacks.removed_afterwards(stacks.write(run, config)) as stack:
        stack.build("postgres")
        return _answer(_measured(run, stack, names))


def _measured(run: Run, stack: Stack, names: Sequence[str]) -> dict[str, list[Stretch]]:
    scale, seconds = run.choose((SCALE, SECONDS), (QUICK_SCALE, QUICK_SECONDS))
    for name in names:
        arm = ARMS[name]
        run.say(f"safety: filling {name}")
        stack.up(name)
        if arm.archiving:
            servers.archive(stack, name)
        servers.sql(stack, name, f"CREATE ROLE {ROLE} SUPERUSER LOGIN")
        servers.fill(stack, name, scale)
        if not run.quick:
            servers.stretch(stack, name, 5)  # new tables are written to differently from used ones
        stack.stop(name)
        if not arm.checksums:
            stack.compose("run", "--rm", "--no-deps", "--entrypoint", "pg_checksums", name, "--disable")
    stretches: dict[str, list[Stretch]] = {name: [] for name in names}
    rounds = run.choose(3, 1)
    for number, name in run.rounds(rounds, names):
        stack.up(name)
        stretches[name].append(servers.stretch(stack, name, seconds, ARMS[name].connect))
        stack.stop(name)
        run.say(f"safety: round {number}/{rounds}  {name:<14} {stretches[name][-1]}")
    return stretches


def _answer(stretches: dict[str, list[Stretch]]) -> Answer:
    tps = {name: figure([one.tps for one in several], "transactions/s", 0) for name, several in stretches.items()}
    cost = 100 * (1 - tps[EVERYTHING].over(tps[ARCHIVELESS]).median)
    rows = tuple(
        Row(
            ARMS[name].says,
            (
                tps[name],
                tps[name].over(tps[EVERYTHING]),
                figure([one.latency_ms for one in stretches[name]], "ms"),
                figure([one.wal_bytes for one in stretches[name]], "bytes", 0),
                figure([one.checkpoints for one in stretches[name]], "", 0),
            ),
        )
        for name in stretches
    )
    columns = ("transactions/s", "× everything on", "latency", "WAL per transaction", "checkpoints")
    return Answer(
        title=TITLE,
        how=(
            f"pgbench's TPC-B, {servers.CLIENTS} clients over TCP on the server's own loopback, prepared statements, "
            "fsync on, with a checkpoint in the middle of each window; one thing is missing in each arm."
        ),
        aims=(Aim(f"archiving costs at most {ARCHIVING_AIM} % of TPC-B", f"{cost:.1f} %", cost <= ARCHIVING_AIM),),
        tables=(Table("TPC-B, one thing left out at a time", columns, rows, plotted="transactions/s"),),
    )
