"""What sizing is worth: TPC-B on our settings, on PostgreSQL's own, and on pgtune's output for the same machine."""

from benchmarks import servers, stacks
from benchmarks.results import Aim, Answer, Row, Table, figure
from benchmarks.run import Run
from benchmarks.servers import Stretch
from benchmarks.stacks import Stack

NAME = "sizing"
TITLE = "What sizing is worth"

TAKES = "6 minutes; 25 s"

# 1.5 GB: twelve times shared_buffers' default (128 MB). Quick: twice.
MEMORY, SCALE, QUICK_SCALE = "4g", 100, 18
SECONDS, QUICK_SECONDS = 30, 3
OURS, STOCK, PGTUNE = "ours", "stock", "pgtune"
AIM = 1.5

ARMS = {
    OURS: "ours: pg/conf.d and what docker/postgres/sizing.py computed",
    STOCK: "PostgreSQL's defaults, watched as ours is",
    PGTUNE: "pgtune's output, watched as ours is",
}

# pgtune.leopard.in.ua: PostgreSQL 17, Linux, web application, 4 GB, 2 CPUs, 100 connections, SSD.
PGTUNE_OUTPUT = {
    "max_connections": "100",
    "shared_buffers": "1GB",
    "effective_cache_size": "3GB",
    "maintenance_work_mem": "256MB",
    "checkpoint_completion_target": "0.9",
    "wal_buffers": "16MB",
    "default_statistics_target": "100",
    "random_page_cost": "1.1",
    "effective_io_concurrency": "200",
    "work_mem": "9709kB",
    "huge_pages": "off",
    "min_wal_size": "1GB",
    "max_wal_size": "4GB",
}

# What isn't sizing stays in every arm: without it the server is not reachable, not ours, or not watched (`safety`).
NOT_COMPARED = (
    "^(ssl|log_|hba_|listen_|port$|unix_|data_|config_|timezone|lc_|password_|authentication_"
    "|shared_preload_|compute_query_id|track_|auto_explain|pg_stat_statements|pgaudit)"
)
CHANGED_BY_US = f"""
    SELECT name, COALESCE(boot_val, '') FROM pg_catalog.pg_settings
    WHERE source = 'configuration file' AND setting IS DISTINCT FROM boot_val AND name !~ '{NOT_COMPARED}'
    ORDER BY name
"""  # noqa: S608 - a constant


def answer(run: Run) -> Answer:
    """Three servers, filled alike, measured in turns."""
    config = servers.config(run, "fl-bench-sizing", MEMORY)
    servers.arm(run, config, OURS, {})
    with stacks.removed_afterwards(stacks.write(run, config)) as stack:
        stack.build("postgres")
        stack.up(OURS)
        stock = dict(line.split("|", 1) for line in servers.sql(stack, OURS, CHANGED_BY_US).splitlines())
        servers.arm(run, config, STOCK, stock)
        if not run.quick:
            servers.arm(run, config, PGTUNE, stock | PGTUNE_OUTPUT)
        stacks.write(run, config)
        return _answer(*_measured(run, stack), stock)


def _measured(run: Run, stack: Stack) -> tuple[dict[str, list[Stretch]], int]:
    scale, seconds = run.choose((SCALE, SECONDS), (QUICK_SCALE, QUICK_SECONDS))
    names = run.choose(tuple(ARMS), (OURS, STOCK))
    for name in names:
        run.say(f"sizing: filling {name}, scale {scale}")
        stack.up(name)
        servers.fill(stack, name, scale)
        stack.stop(name)
    stretches: dict[str, list[Stretch]] = {name: [] for name in names}
    rounds = run.choose(3, 1)
    for number, name in run.rounds(rounds, names):
        stack.up(name)
        stretches[name].append(servers.stretch(stack, name, seconds))
        stack.stop(name)
        run.say(f"sizing: round {number}/{rounds}  {name:<8} {stretches[name][-1]}")
    return stretches, scale


def _answer(stretches: dict[str, list[Stretch]], scale: int, stock: dict[str, str]) -> Answer:
    tps = {name: figure([one.tps for one in several], "transactions/s", 0) for name, several in stretches.items()}

    def row(name: str) -> Row:
        several = stretches[name]
        return Row(
            ARMS[name],
            (
                tps[name],
                tps[OURS].over(tps[name]),
                figure([one.latency_ms for one in several], "ms"),
                figure([one.wal_bytes for one in several], "bytes", 0),
                figure([one.checkpoints for one in several], "", 0),
            ),
        )

    times = tps[OURS].over(tps[STOCK])
    return Answer(
        title=TITLE,
        how=(
            f"pgbench's TPC-B, scale {scale}, {servers.CLIENTS} clients through the socket, prepared statements, "
            f"fsync and data checksums on, in a container of {MEMORY}, with a checkpoint in the middle of each window."
        ),
        aims=(Aim(f"ours at least {AIM} times the defaults", str(times), times.median >= AIM),),
        tables=(
            Table(
                "TPC-B",
                ("transactions/s", "ours is", "latency", "WAL per transaction", "checkpoints"),
                tuple(row(name) for name in stretches),
                plotted="transactions/s",
            ),
        ),
        notes=("The defaults arm has these settings at their built-in values: " + ", ".join(sorted(stock)) + ".",),
    )
