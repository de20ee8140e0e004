"""pgbench: TPC-B on servers that differ in one thing, and what pgbench prints."""

import re
import threading

from bench.core import Columns, Question, Samples
from bench.stacks import archive, production, psql

CLIENTS, MEMORY = 16, "4g"
# A larger cache takes longer to fill: without this, the first minutes after a start would be compared.
PREWARM = """CREATE EXTENSION IF NOT EXISTS pg_prewarm;
SELECT sum(pg_prewarm(oid)) FROM pg_catalog.pg_class WHERE relname ~ '^pgbench_'"""
COUNTERS = """SELECT (SELECT wal_bytes FROM pg_catalog.pg_stat_wal), num_timed + num_requested
FROM pg_catalog.pg_stat_checkpointer"""


class TpcB(Question):
    """Servers with tables of their own; one runs at a time."""

    scale: int  # 100,000 accounts, about 15 MB, each
    seconds: int

    def add(self, arm: str, options: str = "", archiving: bool = True) -> None:
        """A server with these options of its command line, filled and stopped."""
        self.bench.say(f"{self.name}: filling {arm}, scale {self.scale}")
        given = {"POSTGRES_MEMORY": MEMORY, "BENCH_POSTGRES": options, "ARCHIVING": "on" if archiving else "off"}
        self.stacks[arm] = stack = production(self.bench, arm, "bench", "trust", **given)
        stack.build("postgres")
        stack.up("postgres")
        if archiving:
            archive(stack)
        psql(stack, "CREATE ROLE bench SUPERUSER LOGIN")
        words = ("pgbench", "--initialize", "--quiet", "--scale", str(self.scale), self.connect(arm))
        stack.exec("postgres", *words, timeout=1800)
        stack.stop("postgres")

    def connect(self, arm: str) -> str:
        """Through the socket: the servers differ, not the way to them."""
        return "host=/run/postgresql user=postgres dbname=postgres"

    def measure(self, arm: str, case: str) -> dict[str, float]:
        """A checkpoint comes before the window and one in its middle, which every arm pays for: full page images."""
        stack = self.stacks[arm]
        stack.up("postgres")
        psql(stack, PREWARM)
        psql(stack, "CHECKPOINT")
        before = psql(stack, COUNTERS).split("|")
        in_the_middle = threading.Timer(self.seconds / 2, psql, (stack, "CHECKPOINT"))
        in_the_middle.start()
        # --no-vacuum: autovacuum is one of the settings that differ. prepared: the server's work, not the parser's.
        options = f"--no-vacuum --protocol prepared --client {CLIENTS} --jobs 2 --time {self.seconds}".split()
        result = parse(stack.exec("postgres", "pgbench", *options, self.connect(arm)))
        in_the_middle.join()
        wal, checkpoints = (
            float(now) - float(then) for now, then in zip(psql(stack, COUNTERS).split("|"), before, strict=True)
        )
        stack.stop("postgres")
        return {**result, "wal": wal / max(result["done"], 1), "checkpoints": checkpoints}

    def columns(self, samples: Samples, ratio: Columns) -> Columns:
        return {
            "transactions/s": samples.of("tps", "transactions/s", 0),
            **ratio,
            "latency": samples.of("latency", "ms"),
            "WAL per transaction": samples.of("wal", "bytes", 0),
            "checkpoints": samples.of("checkpoints", "", 0),
        }


def parse(output: str) -> dict[str, float]:
    """What pgbench printed. Raises AssertionError, with all of it, when a number is missing."""

    def number(pattern: str) -> float:
        match = re.search(pattern, output)
        assert match, f"pgbench did not print {pattern!r}: {output[-2000:]}"
        return float(match[1])

    if not (done := number(r"actually processed: (\d+)")):
        return {"done": 0, "tps": 0, "latency": 0}
    return {"done": done, "tps": number(r"tps = ([\d.]+)"), "latency": number(r"latency average = ([\d.]+)")}
