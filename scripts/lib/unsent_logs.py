#!/usr/bin/env python3
"""Write since when a line of this host's journal has waited to be sent to the monitoring host (alert LogsLate).

    unsent_logs.py        a timer runs it each minute (ansible/roles/logs)

systemd-journal-upload notes the last line that the monitoring host has accepted. A host without such a note has sent
nothing.
Exit status: 0 done; 1 the journal can't be read.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

STATE = Path("/var/lib/systemd/journal-upload/state")
METRICS = Path("/var/lib/flaglearning/metrics/flaglearning_logs.prom")
HELP = "When the oldest line of the journal was written that the monitoring host does not have; none: all were sent."


def next_line(state: str) -> list[str]:
    """The command that prints the first line after the one that `state`, systemd-journal-upload's note, names."""
    words = ["journalctl", "--quiet", "--no-pager", "--output=json", "--output-fields=PRIORITY", "--lines=+1"]
    cursor = re.search(r"^LAST_CURSOR=(.+)$", state, re.MULTILINE)
    return [*words, f"--after-cursor={cursor[1]}"] if cursor else words


def metrics(line: str) -> str:
    """The metrics file. `line`: the line that waits, as journalctl's JSON; "": none does."""
    name = "flaglearning_logs_unsent_since_timestamp_seconds"
    text = f"# HELP {name} {HELP}\n# TYPE {name} gauge\n"
    return text + (f"{name} {int(json.loads(line)['__REALTIME_TIMESTAMP']) / 1e6:.0f}\n" if line else "")


def main() -> int:
    state = STATE.read_text(encoding="utf-8") if STATE.exists() else ""
    found = subprocess.run(next_line(state), capture_output=True, text=True, check=False)
    if found.returncode:
        print(f"ERROR: journalctl failed: {found.stderr.strip()}", file=sys.stderr)
        print("HINT:  journalctl --verify; systemctl status systemd-journald", file=sys.stderr)
        return 1
    unfinished = METRICS.with_suffix(".new")
    unfinished.write_text(metrics(found.stdout.strip()), encoding="utf-8")
    unfinished.chmod(0o644)
    unfinished.replace(METRICS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
