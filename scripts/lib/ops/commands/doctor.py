"""`doctor` follows a request through the stack and names the first link that fails."""

from __future__ import annotations

import argparse

from ops.cli import JSON, TROUBLESHOOT, command
from ops.flows import doctor as chain
from ops.output import printable, say, show_json, styled
from user_errors import Status

MARKS = {"ok": ("✓", "32"), "failed": ("✗", "31"), "not checked": ("·", "2")}


@command("doctor", TROUBLESHOOT, "Check every link from a client to the backups, and name the first that fails", JSON)
def doctor(asked: argparse.Namespace) -> int:
    """client → proxy → app → pooler → server → database → cluster (if it is one) → roles → TLS → disk → migrations →
    tables → end to end → archiving. Exit status 1 when a link fails."""
    results, failure = chain.walk(chain.gather())
    if asked.json:
        show_json(results)
    else:
        for result in results:
            mark, style = MARKS[result["status"]]
            print(styled(f"{mark} {result['link']:<10}", style), printable(result["detail"] or result["status"], ""))
        if failure:
            failure.show()
        else:
            say("all checks pass")
    return Status.PROBLEM if failure else Status.OK
