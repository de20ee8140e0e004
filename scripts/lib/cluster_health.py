"""Whether a database cluster is healthy: the one definition, for `ops cluster status`, `ops cluster switchover`,
`ops doctor` and the checklist.

Pure functions over the facts of ops.cluster.gather(). Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from user_errors import OperationError, Status, UserError

MOST_LAG = 1 << 20  # bytes; maximum_lag_on_failover in pg/cluster/patroni.yml
OLDEST_TRANSACTION = 1.0  # seconds; PgBouncer's PAUSE waits for it
MOST_SEGMENTS = 2  # waiting for the archive; a stopping server waits for them
RESUME = "in a member's container: patronictl -c /etc/patroni/patroni.yml resume"
SYNCHRONOUS = ("sync", "quorum")
SYNCHRONOUS_ROLES = ("sync_standby", "quorum_standby")  # Patroni's, where the primary's own view is not at hand

Facts = dict[str, Any]


class Member(NamedTuple):
    """A server of the cluster, as Patroni and the primary report it."""

    name: str
    role: str  # primary, standby; "" for a member that Patroni does not know
    state: str
    timeline: int | None
    lag: int | None  # bytes that it has yet to replay; None on the primary, or when it is not known
    synchronous: bool  # a commit may be acknowledged because this standby has it
    pending_restart: bool


def members(facts: Facts) -> list[Member]:
    """Each member that is configured or that Patroni knows, by name.

    `facts`: {"configured": names, "members": of Patroni's /cluster (4.0 docs, "REST API"), "server": `pgcluster server`
    of the primary, or None; "pooler": the member that PgBouncer is led to}. On hosts, `server` is left out where the
    primary is on another one, and `pooler` where there is no PgBouncer.
    """
    standbys = {row["name"]: row for row in (facts.get("server") or {}).get("standbys", [])}
    known = {one["name"]: one for one in facts["members"]}
    found = []
    for name in sorted({*facts["configured"], *known}):
        one = known.get(name)
        if one is None:
            found.append(Member(name, "", "unknown to Patroni", None, None, False, False))
            continue
        is_primary = one["role"] == "leader"
        standby = standbys.get(name, {})
        lag = standby.get("lag", one.get("lag"))
        found.append(
            Member(
                name, "primary" if is_primary else "standby", one["state"], one.get("timeline"),
                lag if isinstance(lag, int) and not is_primary else None,
                standby.get("sync_state") in SYNCHRONOUS if "server" in facts else one["role"] in SYNCHRONOUS_ROLES,
                bool(one.get("pending_restart")),
            )
        )  # fmt: skip
    return found


def problems(facts: Facts) -> list[str]:
    """What is wrong, the worst first; none when all is well."""
    found = []
    listed = members(facts)
    primary = next((one for one in listed if one.role == "primary"), None)
    healthy = [one for one in facts["etcd"] if one["healthy"]]
    if len(healthy) * 2 <= len(facts["etcd"]):
        found.append(f"etcd has no majority: {len(healthy)} of {len(facts['etcd'])} answer")
    if primary is None:
        found.append("there is no primary: nothing can be written")
    elif primary.state != "running":
        found.append(f"the primary, {primary.name}, is {primary.state}")
    if primary and not any(one.synchronous for one in listed):
        found.append("no standby is synchronous: a lost primary loses acknowledged writes")
    for one in listed:
        if one.role == "standby" and one.state != "streaming":
            found.append(f"{one.name} is {one.state}, not streaming")
        elif not one.role:
            found.append(f"{one.name} is {one.state}")
        elif one.lag is not None and one.lag > MOST_LAG:
            found.append(f"{one.name} lags {one.lag >> 20} MiB behind the primary")
        if primary and one.timeline not in (None, primary.timeline):
            found.append(f"{one.name} is on timeline {one.timeline}, the primary on {primary.timeline}")
        if one.pending_restart:
            found.append(f"{one.name} has a setting that needs a restart")
    found += [f"{one['name']} does not answer: {one['reason']}" for one in facts["etcd"] if not one["healthy"]]
    if primary and "pooler" in facts and facts["pooler"] != primary.name:
        found.append(f"PgBouncer is led to {facts['pooler'] or 'no server'}, and the primary is {primary.name}")
    if facts.get("paused"):
        found.append("Patroni is paused: no failover takes place")
    return found


def refusal(facts: Facts, candidate: str = "") -> UserError | OperationError | None:
    """Why a switchover, to this member if one is named, can't take place now; None when it can."""
    listed = {one.name: one for one in members(facts)}
    primary = next((one for one in listed.values() if one.role == "primary"), None)
    status = "./scripts/ops cluster status"
    if candidate and candidate not in listed:
        return UserError(
            f"there is no member '{candidate}'", f"one of: {', '.join(listed)}; {status}", status=Status.NOT_FOUND
        )
    if primary is None or primary.state != "running":
        return OperationError("no switchover was started: the cluster has no running primary", status)
    if candidate == primary.name:
        return UserError(f"{candidate} is the primary already", status)
    if "server" not in facts:
        return UserError(
            f"the primary's side is known on its host only: {primary.name}", f"on {primary.name}: {status}"
        )
    if facts.get("paused"):
        return OperationError("no switchover was started: Patroni is paused", RESUME)
    if "pooler" in facts and facts["pooler"] != primary.name:
        return OperationError(
            "no switchover was started: PgBouncer is not led to the primary", status, facts["pooler"] or "no answer"
        )
    wanted = [listed[candidate]] if candidate else [one for one in listed.values() if one.role == "standby"]
    if not any(fit(one) for one in wanted):
        why = "; ".join(f"{one.name}: {unfit(one)}" for one in wanted) or "there is no standby"
        return OperationError("no switchover was started: no standby can take over", status, why)
    server = facts["server"]
    if server["oldest_transaction_s"] > OLDEST_TRANSACTION:
        return OperationError(
            "no switchover was started: clients would wait for a transaction that is still open",
            "./scripts/ops sessions --over 1; the same command again when it has ended",
            f"it has been open for {server['oldest_transaction_s']:.1f} s",
        )
    return None


def archive_behind(facts: Facts) -> OperationError | None:
    """Why a switchover has to wait for the archive; None when it need not. After a switchover the new primary archives
    the newest segments again (docker/postgres/close-archive-gap), which passes."""
    waiting = facts["server"]["waiting_segments"]
    if waiting <= MOST_SEGMENTS:
        return None
    return OperationError(
        "no switchover was started: the primary would wait for the archive before it stops",
        "./scripts/ops doctor; the same command again when the archive has caught up",
        f"{waiting} WAL segments are not archived",
    )


def reinit_refusal(facts: Facts, name: str) -> UserError | OperationError | None:
    """Why a member's data directory can't be copied anew now; None when it can."""
    listed = {one.name: one for one in members(facts)}
    status = "./scripts/ops cluster status"
    if name not in listed:
        return UserError(
            f"there is no member '{name}'", f"one of: {', '.join(listed)}; {status}", status=Status.NOT_FOUND
        )
    if not facts["primary"]:
        return OperationError("nothing was copied: the cluster has no primary", status)
    if name == facts["primary"]:
        return UserError(f"{name} is the primary: the others are copies of it", "./scripts/ops cluster switchover")
    if not any(fit(one) for one in listed.values() if one.name != name):
        return OperationError(
            "nothing was copied: no other standby is synchronous, and commits would have nothing to wait for", status
        )
    return None


def fit(standby: Member) -> bool:
    """Whether it can take over without the loss of an acknowledged write, and soon."""
    return not unfit(standby)


def unfit(standby: Member) -> str:
    """Why it can't; "" when it can."""
    if standby.state != "streaming":
        return f"it is {standby.state}, not streaming"
    if not standby.synchronous:
        return "it is not in the quorum of synchronous standbys"
    if standby.lag is None:
        return "its lag is not known"
    if standby.lag > MOST_LAG:
        return f"it lags {standby.lag} bytes behind, and at most {MOST_LAG} are allowed"
    return ""
