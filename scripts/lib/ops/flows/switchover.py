"""A planned switchover without a failed request: the pooler's clients wait while another member becomes the primary.

Refuse what can't work → CHECKPOINT → pause PgBouncer → Patroni hands over → wait until HAProxy leads to the new primary
→ resume. A program in PgBouncer's container resumes (scripts/lib/ops/hold-clients), whatever happens to this process.
"""

from __future__ import annotations

import json
import time

import cluster_health
from ops import cluster, containers, docker, dotenv, monitoring, pooler
from ops.output import note
from user_errors import OperationError

WITHOUT_PRIMARY = 40.0  # seconds; more than hold-clients holds clients for
ARCHIVED_WITHIN = 60.0  # seconds to wait for the archive before the switchover is refused


METRIC = "flaglearning_switchover_timestamp_seconds"


def run(candidate: str = "") -> None:
    """The whole flow. Raises UserError or OperationError; then the cluster is as it was, or as the error says."""
    facts = ready(candidate)
    old = str(facts["primary"])
    if monitoring.OVERLAY in dotenv.named_files():
        containers.client("report-write", stdin=json.dumps({"flaglearning_switchover.prom": metrics(time.time())}))
    handing_over = docker.exec_in(
        old, "pgcluster", *docker.verb("switchover", {"candidate": candidate} if candidate else {})
    )
    with containers.prepared(handing_over) as patroni:
        pooler.hold("no switchover was started", "checked")
        patroni.go()
        with containers.prepared(pooler.hold_argv("wait")) as clients:
            if containers.first(patroni, clients) is patroni and not patroni.line(0):
                pooler.resume()  # Patroni has refused, and its reason is on standard error
            took = float(clients.line(WITHOUT_PRIMARY) or 0) / 1e3
    new = cluster.seen_by_the_pooler()
    if new in ("", old):
        raise OperationError(
            f"no other primary after {took:.0f} s: PgBouncer's clients go on, on {new or 'no server'}",
            f"./scripts/ops cluster status; docker compose logs --tail 30 {old}",
        )
    note(f"{new} is the primary; clients waited {took:.2f} s")


def metrics(at: float) -> str:
    """The metrics file that tells the alert FailoverHappened that this one is planned. `at`: seconds since 1970."""
    return f"# HELP {METRIC} When a planned switchover began.\n# TYPE {METRIC} gauge\n{METRIC} {at:.0f}\n"


def ready(candidate: str) -> cluster_health.Facts:
    """The cluster's facts, when it can switch over now; the archive is given a minute. Raises what refuses."""
    deadline = time.monotonic() + ARCHIVED_WITHIN
    said = False
    while True:
        facts = cluster.gather()
        if refused := cluster_health.refusal(facts, candidate):
            raise refused
        behind = cluster_health.archive_behind(facts)
        if not behind:
            return facts
        if time.monotonic() > deadline:
            raise behind
        if not said:
            note(f"waiting for the archive: {behind.reason}")
            said = True
        time.sleep(0.5)
