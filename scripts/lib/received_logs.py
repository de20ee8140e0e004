#!/usr/bin/env python3
"""Delete old files of the journals that the monitoring host has received from other hosts.

    received_logs.py --days N --max SIZE FOLDER

FOLDER has a folder for each host, with files of one day each. A timer runs it daily (ansible/roles/logs); meanwhile
systemd-journal-remote limits the files of the day by the same size.
Exit status: 0 done; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

DAY = 86400
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class File(NamedTuple):
    """A journal file: its path, size in bytes, and when its last line arrived (seconds since 1970)."""

    path: Path
    size: int
    modified: float


def size(text: str) -> int:
    """Bytes of a size as journald writes it: 500M, 4G. Raises ValueError."""
    return int(float(text[:-1]) * UNITS[text[-1]]) if text[-1:] in UNITS else int(text)


def unwanted(files: Iterable[File], days: int, most: int, now: float) -> list[Path]:
    """Of one host's files, those whose last line is older than `days`; then the oldest until `most` bytes are left. A
    size deletes never the newest file."""
    by_age = sorted(files, key=lambda file: file.modified)
    old = [file for file in by_age if now - file.modified > days * DAY]
    kept = by_age[len(old) :]
    while len(kept) > 1 and sum(file.size for file in kept) > most:
        old.append(kept.pop(0))
    return [file.path for file in old]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, required=True, metavar="N", help="days that a file is kept")
    parser.add_argument("--max", type=size, required=True, metavar="SIZE", help="size of a host's files, like 4G")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the folder that has one for each host")
    asked = parser.parse_args(arguments)
    for host in sorted(one for one in asked.folder.glob("*") if one.is_dir()):
        found = [(path, path.stat()) for path in host.glob("*.journal*")]
        files = [File(path, about.st_blocks * 512, about.st_mtime) for path, about in found]
        for path in unwanted(files, asked.days, asked.max, time.time()):
            path.unlink()
            print(f"deleted {path}")
        with contextlib.suppress(OSError):  # it has files
            host.rmdir()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
