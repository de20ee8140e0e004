#!/usr/bin/env python3
"""Compute 90-sizing.conf from the memory and the CPUs that this container really has.

The formulas are pgtune's (github.com/le0pard/pgtune, "web application" on SSD, PostgreSQL 17), with one difference:
work_mem is also divided among what each query may use at once (hash_mem_multiplier), so that a full server doesn't run
out of memory.

    usage: sizing.py MAX_CONNECTIONS > 90-sizing.conf

Overridden by POSTGRES_SIZING_MEMORY (PostgreSQL's units: 512MB, 4GB) and POSTGRES_SIZING_CPUS; single settings by
a file in /etc/postgresql/local.d, which is read later. Exit status 1 and one sentence on a value that makes no sense.
"""

import math
import os
import re
import sys
from pathlib import Path

KB = 1024
MB = 1024 * KB
GB = 1024 * MB
UNITS = {"kB": KB, "MB": MB, "GB": GB, "TB": 1024 * GB}
MINIMUM_MEMORY = 128 * MB

CGROUP_MEMORY = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # v2, v1
CGROUP_CPU_V2 = "/sys/fs/cgroup/cpu.max"
CGROUP_CPU_V1 = ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def sizing(memory: int, cpus: int, max_connections: int) -> dict[str, str]:
    """Settings for a server with this much memory (bytes) and this many CPUs. Raises ValueError if it can't work."""
    if memory < MINIMUM_MEMORY:
        raise ValueError(
            f"{memory // MB} MB of memory is too little for PostgreSQL: at least {MINIMUM_MEMORY // MB} MB"
        )
    if cpus < 1 or max_connections < 1:
        raise ValueError(f"at least one CPU and one connection are needed, not {cpus} and {max_connections}")
    shared_buffers = memory // 4
    maintenance_work_mem = min(memory // 16, 2 * GB)
    # pgtune: what is left after shared_buffers, for every connection and worker, each with up to three sorts or hashes;
    # a hash may use hash_mem_multiplier (2) times as much.
    work_mem = (memory - shared_buffers) // ((max_connections + max(cpus, 8)) * 3) // 2
    parallel = min(math.ceil(cpus / 2), 4)
    big_enough_for_wal = memory >= 2 * GB
    return {
        "shared_buffers": in_kb(shared_buffers),
        "effective_cache_size": in_kb(memory * 3 // 4),
        "maintenance_work_mem": in_kb(maintenance_work_mem),
        "autovacuum_work_mem": in_kb(min(maintenance_work_mem, 256 * MB)),
        "work_mem": in_kb(max(work_mem, 64 * KB)),
        "wal_buffers": in_kb(min(max(shared_buffers * 3 // 100, 32 * KB), 16 * MB)),
        "min_wal_size": "1GB" if big_enough_for_wal else "128MB",
        "max_wal_size": "4GB" if big_enough_for_wal else "1GB",
        "random_page_cost": "1.1",
        "effective_io_concurrency": "200",
        "huge_pages": "try",
        "max_worker_processes": str(max(cpus, 8)),
        "max_parallel_workers": str(max(cpus, 2)),
        "max_parallel_workers_per_gather": str(parallel),
        "max_parallel_maintenance_workers": str(parallel),
    }


def in_kb(size: int) -> str:
    return f"{size // KB}kB"


def parse_memory(text: str) -> int:
    """Bytes from PostgreSQL's notation ('512MB'). Raises ValueError."""
    if not (match := re.fullmatch(r"\s*(\d+)\s*(kB|MB|GB|TB)\s*", text)):
        raise ValueError(f"POSTGRES_SIZING_MEMORY is '{text}'; write it like 512MB or 4GB")
    return int(match[1]) * UNITS[match[2]]


def available_memory() -> int:
    """The container's memory limit, or the machine's memory where there is none."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [int(text) for path in CGROUP_MEMORY if (text := read(path)).isdigit()]
    return min([physical, *limits])


def available_cpus() -> int:
    """The container's CPU quota, rounded up, or the CPUs it may run on."""
    usable = len(os.sched_getaffinity(0))
    quota, period = (read(CGROUP_CPU_V2).split() or [read(path) for path in CGROUP_CPU_V1])[:2]
    if quota.isdigit() and period.isdigit():
        usable = min(usable, math.ceil(int(quota) / int(period)))
    return max(usable, 1)


def read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def main(max_connections: str) -> None:
    memory = parse_memory(text) if (text := os.environ.get("POSTGRES_SIZING_MEMORY")) else available_memory()
    cpus_text = os.environ.get("POSTGRES_SIZING_CPUS") or str(available_cpus())
    if not cpus_text.isdigit():
        raise ValueError(f"POSTGRES_SIZING_CPUS is '{cpus_text}'; write a whole number")
    settings = sizing(memory, int(cpus_text), int(max_connections))
    print(f"# Computed at start for {memory // MB} MB of memory, {cpus_text} CPUs and {max_connections} connections.")
    for name, value in settings.items():
        print(f"{name} = {value}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ValueError as error:
        sys.exit(f"ERROR: {error}.\nHINT:  correct it, or the container's memory limit (POSTGRES_MEMORY in .env).")
