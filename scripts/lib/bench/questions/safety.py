"""TPC-B with each of the things that watch and protect the server left out, one at a time."""

from collections.abc import Iterable

from bench import pgbench
from bench.core import Samples, at_most
from bench.results import Aim, Table

EVERYTHING, NO_ARCHIVE, NO_CHECKSUMS, NO_TLS, NOTHING = "everything", "no-archive", "no-checksums", "no-tls", "nothing"
TITLES = {
    "everything on: as the stack runs": (EVERYTHING, ""),
    "without pg_stat_statements": ("no-statements", ""),
    "without pgaudit": ("no-audit", ""),
    "without archiving (pgBackRest: asynchronous, zst, encrypted)": (NO_ARCHIVE, ""),
    "without data checksums": (NO_CHECKSUMS, ""),
    "without TLS": (NO_TLS, ""),
    "without any of these": (NOTHING, ""),
}
OPTIONS = {
    "no-statements": "-c shared_preload_libraries=auto_explain,pgaudit -c compute_query_id=off",
    "no-audit": "-c shared_preload_libraries=pg_stat_statements,auto_explain",
    NOTHING: "-c shared_preload_libraries=auto_explain -c compute_query_id=off",
}


class Safety(pgbench.TpcB):
    title = "What it costs to be watched and safe"
    takes = "6 minutes (40 s)"
    how = f"""pgbench's TPC-B, {pgbench.CLIENTS} clients over TCP on the server's own loopback, prepared statements,
        fsync on, with a checkpoint in the middle of each window; one thing is missing in each arm."""

    def start(self) -> None:
        self.arms = self.bench.choose(tuple(arm for arm, _ in TITLES.values()), (EVERYTHING, NO_ARCHIVE, NOTHING))
        self.scale, self.seconds = self.bench.choose((20, 12), (2, 2))
        for arm in self.arms:
            self.add(arm, OPTIONS.get(arm, ""), archiving=arm not in (NO_ARCHIVE, NOTHING))
            if arm in (NO_CHECKSUMS, NOTHING):
                words = ("run", "--rm", "--no-deps", "--entrypoint", "pg_checksums", "postgres", "--disable")
                self.stacks[arm].compose(*words)
            if not self.bench.quick:
                self.measure(arm, "")  # new tables are written to differently from used ones

    def connect(self, arm: str) -> str:
        tls = "sslmode=disable" if arm in (NO_TLS, NOTHING) else "sslmode=verify-ca sslrootcert=/tls/ca.crt"
        return f"host=127.0.0.1 user=bench dbname=postgres {tls}"

    def aims(self, samples: Samples) -> Iterable[Aim]:
        cost = 100 * (1 - samples.over("tps", NO_ARCHIVE)((EVERYTHING, "")).median)
        yield at_most("archiving costs at most {} % of TPC-B", 5, cost, "{:.1f} %")

    def tables(self, samples: Samples) -> Iterable[Table]:
        columns = self.columns(samples, {"× everything on": samples.over("tps", EVERYTHING)})
        yield samples.table("TPC-B, one thing left out at a time", TITLES, columns, plotted="transactions/s")
