"""TPC-B with our settings, with PostgreSQL's own, and with pgtune's for the same machine."""

import shlex
from collections.abc import Iterable

from bench import pgbench
from bench.core import Key, Samples, at_least
from bench.results import Aim, Figure, Table
from bench.stacks import psql

OURS, STOCK, PGTUNE = "ours", "stock", "pgtune"
TITLES = {
    "ours: pg/conf.d and what docker/postgres/sizing.py computed": (OURS, ""),
    "PostgreSQL's defaults, watched as ours is": (STOCK, ""),
    "pgtune's output, watched as ours is": (PGTUNE, ""),
}
# pgtune.leopard.in.ua: PostgreSQL 17, Linux, web application, 4 GB, 2 CPUs, 100 connections, SSD.
PGTUNE_OUTPUT = """
max_connections=100 shared_buffers=1GB effective_cache_size=3GB maintenance_work_mem=256MB work_mem=9709kB
checkpoint_completion_target=0.9 wal_buffers=16MB default_statistics_target=100 random_page_cost=1.1
effective_io_concurrency=200 huge_pages=off min_wal_size=1GB max_wal_size=4GB"""
# What isn't sizing stays in every arm: without it the server is not reachable, not ours, or not watched (`safety`).
CHANGED_BY_US = """
    SELECT name || '=' || COALESCE(boot_val, '') FROM pg_catalog.pg_settings
    WHERE source = 'configuration file' AND setting IS DISTINCT FROM boot_val
    AND name !~ ('^(ssl|log_|hba_|listen_|port$|unix_|data_|config_|timezone|lc_|password_|authentication_'
        '|shared_preload_|compute_query_id|track_|auto_explain|pg_stat_statements|pgaudit)')
    ORDER BY name"""


def options(settings: Iterable[str]) -> str:
    """As `postgres` takes them on its command line, which wins over every file."""
    return " ".join(f"-c {shlex.quote(setting)}" for setting in settings)


class Sizing(pgbench.TpcB):
    title = "What sizing is worth"
    takes = "6 minutes (50 s)"
    arms = (OURS, STOCK, PGTUNE)

    def start(self) -> None:
        # 1.5 GB, twelve times shared_buffers' default (128 MB); quick: twice.
        self.scale, self.seconds = self.bench.choose((100, 30), (18, 3))
        self.add(OURS, archiving=False)
        self.stacks[OURS].up("postgres")
        stock = psql(self.stacks[OURS], CHANGED_BY_US).splitlines()
        self.stacks[OURS].stop("postgres")
        self.add(STOCK, options(stock), archiving=False)
        self.add(PGTUNE, options([*stock, *PGTUNE_OUTPUT.split()]), archiving=False)
        changed = ", ".join(setting.partition("=")[0] for setting in stock)
        self.notes = (f"The defaults arm has these settings at their built-in values: {changed}.",)
        self.how = f"""pgbench's TPC-B, scale {self.scale}, {pgbench.CLIENTS} clients through the socket, prepared
            statements, fsync and data checksums on, in a container of {pgbench.MEMORY}, with a checkpoint in the
            middle of each window."""

    def aims(self, samples: Samples) -> Iterable[Aim]:
        yield at_least("ours at least {} times the defaults", 1.5, samples.over("tps", STOCK)((OURS, "")))

    def tables(self, samples: Samples) -> Iterable[Table]:
        def ours_is(key: Key) -> Figure:
            return samples.over("tps", key[0])((OURS, ""))

        yield samples.table("TPC-B", TITLES, self.columns(samples, {"ours is": ours_is}), plotted="transactions/s")
