"""A planned switchover without a failed request: the pooler's clients wait while another member becomes the primary.

Refuse what can't work → CHECKPOINT → pause PgBouncer → Patroni hands over → wait until HAProxy leads to the new primary
→ resume. PgBouncer resumes whatever happens: when this process ends, and by itself after GUARD seconds.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import cluster_health
from ops import cluster, containers, docker, pooler
from ops.output import note
from user_errors import OperationError

PAUSE_WITHIN = 1.0  # seconds for running transactions to end
GUARD = 8  # seconds; less than query_wait_timeout in pg/pgbouncer.ini
HANDED_OVER_WITHIN = 6.0  # seconds


class Done(NamedTuple):
    """The old and the new primary, and how long clients waited, in seconds."""

    old: str
    new: str
    paused_s: float


def run(candidate: str = "") -> Done:
    """The whole flow. Raises UserError or OperationError; then the cluster is as it was, or as the error says."""
    facts = cluster.gather()
    refused = cluster_health.refusal(facts, candidate)
    if refused:
        raise refused
    old = str(facts["primary"])
    handing_over = docker.exec_in(
        old, "pgcluster", *docker.verb("switchover", {"candidate": candidate} if candidate else {})
    )
    with containers.prepared(handing_over) as patroni, containers.prepared(cluster.until_another(old)) as looking:
        started = time.monotonic()
        with pooler.paused(PAUSE_WITHIN, GUARD) as is_paused:
            if not is_paused:
                raise OperationError(
                    "no switchover was started: PgBouncer did not pause within a second, because transactions went on",
                    "./scripts/ops sessions --over 0; then the same command again",
                )
            patroni.go()
            looking.go()
            new = looking.line(HANDED_OVER_WITHIN)
        took = time.monotonic() - started
        if not new:
            looking.process.kill()
    if not new:
        raise OperationError(
            f"no other primary within {HANDED_OVER_WITHIN:.0f} s: PgBouncer's clients go on, on whichever there is",
            f"./scripts/ops cluster status; docker compose logs --tail 30 {old}",
        )
    note(f"{new} is the primary; clients waited {took:.2f} s")
    return Done(old, new, took)
