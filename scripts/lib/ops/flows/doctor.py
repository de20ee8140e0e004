"""The chain of `doctor`: gather every fact at the same time, then judge link by link.

A fact is what a query or a program found, or the Failure that it ended with; a link that needs the fact raises it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, NamedTuple

import cluster_health
import secret_files
from backup_health import problem_of
from ops import backup_report, cluster, containers, machine, pooler, psql, schema
from ops.output import duration, size
from user_errors import Failure, OperationError

DAYS_TO_RENEW = 14
LEAST_FREE_PCT = 10.0
SERVICES = ("proxy", "pgbouncer", "postgres")
ROLES = ("ops", "readonly", "migrator", "app")

Facts = dict[str, Any]
Result = dict[str, str]


class Link(NamedTuple):
    """A link of the chain. `check` returns what it found, or raises Failure. Without `service` on this host, it is left
    out: it is to be checked on the hosts that have it."""

    name: str
    check: Callable[[Facts], str]
    service: str = ""


# ------------------------------------------------------------ facts


def gather() -> Facts:
    """All facts. Raises OperationError without a Docker engine, UserError for another deployment than the running."""
    development = containers.environment_of("ops")["DEPLOYMENT"] == "development"
    away = other_hosts()
    sources: dict[str, Callable[[], Any]] = {
        "deployment": containers.require_same_deployment,
        "probes": lambda: containers.client("diagnose", stdin=lookup_password()),
        "schema": lambda: schema.of_the_app() if "proxy" in away else schema.of_running_app(changes=development),
        "server": lambda: psql.several("server", "migrations_applied"),
        "pooler": lambda: pooler.several("STATE", "DATABASES", "POOLS"),
        "disk": machine.disk,
        **({"cluster": cluster.gather} if containers.members() else {}),
    }
    with ThreadPoolExecutor(len(sources) + 1) as pool:
        futures = {name: pool.submit(attempt, source) for name, source in sources.items()}
        futures["backups"] = pool.submit(attempt, lambda: backups(futures["server"].result()))
        found = {name: future.result() for name, future in futures.items()}
    fact(found, "deployment")
    return {**found, "development": development, "database": psql.app_database(), "other_hosts": away}


def other_hosts() -> list[str]:
    """The services of SERVICES that run on other hosts of a fleet."""
    services = containers.config()["services"]
    return [name for name in SERVICES if "other-host" in services[name].get("profiles", ())]


def attempt(source: Callable[[], Any]) -> Any:
    """What it returns, or the Failure that it raises."""
    try:
        return source()
    except Failure as failure:
        return failure


def lookup_password() -> str:
    """PgBouncer's own password, as its secret file has it; "" when only another user of this machine may read it."""
    try:
        text = Path(containers.config()["secrets"]["pgbouncer_password"]["file"]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    return secret_files.value("pgbouncer_password", text)


def backups(server: Any) -> Facts:
    """The facts of `pgbackup info`; nothing but the archive mode where no backups are made."""
    if not isinstance(server, Failure) and server["server"][0]["archive_mode"] == "off":
        return {"server": {"archive_mode": "off"}}
    found: Facts = containers.pgbackup("info")
    return found


# ------------------------------------------------------------ the walk


def walk(facts: Facts) -> tuple[list[Result], Failure | None]:
    """Every link's result up to the first that fails, and that failure."""
    results: list[Result] = []
    failure: Failure | None = None
    for link in CHAIN:
        if (link.check is members and "cluster" not in facts) or link.service in facts["other_hosts"]:
            continue
        result = {"link": link.name, "status": "not checked", "detail": ""}
        if failure is None:
            try:
                result.update(status="ok", detail=link.check(facts))
            except Failure as raised:
                failure = raised
                result.update(status="failed", detail=raised.what, reason=raised.reason, hint=raised.hint)
        results.append(result)
    return results, failure


def fact(facts: Facts, name: str) -> Any:
    """A fact; raises the Failure that it ended with."""
    found = facts[name]
    if isinstance(found, Failure):
        raise found
    return found


def probe(facts: Facts, name: str) -> Any:
    """What a probe of the ops container found; raises OperationError with what it reports."""
    found = fact(facts, "probes")[name]
    if "what" in found:
        raise OperationError(found["what"], found["hint"], found["reason"])
    return found["found"]


def client(facts: Facts) -> str:
    """The ops container runs; it has the CA's certificate and the secrets."""
    return str(probe(facts, "client"))


def certificate(facts: Facts, service: str) -> str:
    """A service answers with TLS, and its certificate is verified."""
    return f"its certificate is valid for {probe(facts, f'{service} certificate')} more days"


def proxy(facts: Facts) -> str:
    """The proxy answers."""
    return f"answers with TLS, {certificate(facts, 'proxy')}"


def app(facts: Facts) -> str:
    """The application's process answers through the proxy, with its own words: else the proxy shows visitors a page."""
    found = probe(facts, "app")
    if found["status"] != 200 or '"ok"' not in found["body"]:
        raise OperationError(
            f"the proxy can't reach the application: /healthz is {found['status']}",
            "docker compose ps app migrate; docker compose logs --tail 20 app migrate",
            " ".join(found["body"].split()),
        )
    return "/healthz is 200, through the proxy"


def pool(facts: Facts) -> str:
    """The pooler answers, is not paused, and has a connection for each client."""
    seen = certificate(facts, "pgbouncer")
    console = fact(facts, "pooler")
    state = {row["key"]: row["value"] for row in console["STATE"]}
    held = [row["name"] for row in console["DATABASES"] if row["paused"] or row["disabled"]]
    if held or state.get("active") != "yes":
        raise OperationError(
            f"PgBouncer is paused or disabled ({', '.join(held) or 'all databases'}): its clients wait",
            "docker compose restart pgbouncer",
        )
    waiting = sum(row["cl_waiting"] for row in console["POOLS"])
    if waiting:
        raise OperationError(
            f"{waiting} clients wait for a connection in PgBouncer", "./scripts/ops connections; ./scripts/ops sessions"
        )
    return f"answers with TLS, {seen}"


def server(facts: Facts) -> str:
    """PostgreSQL accepts connections."""
    seen = certificate(facts, "postgres")
    probe(facts, "server")
    return f"accepts connections, {seen}"


def database(facts: Facts) -> str:
    """The application's database exists and takes writes."""
    row = fact(facts, "server")["server"][0]
    if row["replica"]:
        raise OperationError("the server is a replica: it takes no writes", "docker compose logs --tail 20 postgres")
    return f"{facts['database']}; {row['connections']} of {row['max_connections']} connections used"


def members(facts: Facts) -> str:
    """Of a cluster: three members in sync, etcd with its majority, and the pooler led to the primary."""
    found = fact(facts, "cluster")
    problems = cluster_health.problems(found)
    if problems:
        raise OperationError(
            "the database cluster is not healthy", "./scripts/ops cluster status; docs/runbooks/cluster.md",
            "; ".join(problems),
        )  # fmt: skip
    standbys = [one for one in cluster_health.members(found) if one.role == "standby"]
    return f"{found['primary']} is the primary, {len(standbys)} standbys stream, {len(found['etcd'])} etcd answer"


def roles(facts: Facts) -> str:
    """Every role logs in with its secret; the application's through the pooler too."""
    for role in ROLES:
        probe(facts, f"{role} login")
    pooled = "pgbouncer" not in facts["other_hosts"]
    if pooled:
        probe(facts, "app login through the pooler")
    known = [*ROLES]
    if "pgbouncer login" in fact(facts, "probes"):
        probe(facts, "pgbouncer login")
        known.append("pgbouncer")
    return f"{', '.join(known)} log in with their secrets{'; app through the pooler too' if pooled else ''}"


def tls(facts: Facts) -> str:
    """Certificates stay valid for a while, and no login works without TLS."""
    here = [service for service in SERVICES if service not in facts["other_hosts"]]
    for service in here:
        days = probe(facts, f"{service} certificate")
        if days < DAYS_TO_RENEW:
            raise OperationError(f"the certificate of {service} expires in {days} days", renewal(facts))
    for service in here:
        if service != "proxy":
            probe(facts, f"{service} without TLS")
    return "certificates are valid for weeks; logins without TLS are rejected"


def renewal(facts: Facts) -> str:
    """The command that renews the servers' certificates."""
    if facts["development"]:
        return "docker compose run --rm certificates && docker compose restart proxy pgbouncer postgres"
    return "./scripts/secrets new renews them, then reload (docs/production.md); on Ansible hosts: site.yml"


def disk(facts: Facts) -> str:
    """The server's disk has room."""
    found = fact(facts, "disk")
    free = f"{size(found['free_bytes'])} free ({found['free_pct']:.0f} %)"
    if found["free_pct"] < LEAST_FREE_PCT:
        raise OperationError(f"the server's disk is nearly full: {free}", "./scripts/ops space; docker system df")
    return free


def migrations(facts: Facts) -> str:
    """Every migration of the running application is applied; in development, no model is ahead of them."""
    applied = fact(facts, "server")["migrations_applied"][0]["applied"]
    if not applied:
        raise OperationError("no migration has been applied yet", "./scripts/ops migrations apply")
    pending = fact(facts, "schema")["pending"]
    if pending:
        raise OperationError(
            f"{len(pending)} migrations are not applied",
            "./scripts/ops migrations plan; ./scripts/ops migrations apply",
            ", ".join(pending),
        )
    changed = fact(facts, "schema")["changes"]
    if changed:
        raise OperationError(
            f"{len(changed)} changes of the models have no migration",
            "./scripts/ops migrations make; ./scripts/ops migrations apply",
            "; ".join(changed),
        )
    return f"{applied} applied, none missing"


def tables(facts: Facts) -> str:
    """The database has each table and column of the running application's models."""
    missing = fact(facts, "schema")["missing"]
    if missing:
        raise OperationError(
            f"the database lacks {len(missing)} tables or columns of the application's models",
            "docs/runbooks/restore.md: ./scripts/ops restore backup --latest --table TABLE, or restore dump",
            ", ".join(missing),
        )
    return "the database has those of the application's models"


def end_to_end(facts: Facts) -> str:
    """A visitor's request reaches the database."""
    found = probe(facts, "end to end")
    if found["status"] != 200:
        raise OperationError(
            f"the application is not ready: /readyz is {found['status']}",
            "docker compose logs --tail 20 app",
            " ".join(found["body"].split()),
        )
    return f"/readyz is 200 after {found['ms']} ms"


def archiving(facts: Facts) -> str:
    """Writes get into the repository, and it holds a backup to start a restore with."""
    found = fact(facts, "backups")
    if facts["development"] and (found.get("server") or {}).get("archive_mode") == "off":
        return "off: COMPOSE_PROFILES=backup in .env, then ./scripts/up, turns backups on"
    problem = problem_of(found)
    if problem:
        raise problem
    newest = found["backups"][-1]
    age = duration(backup_report.age_of(newest["stop"]))
    copy = found.get("copy")
    other = f"; repository 2: {backup_report.repository_2(copy)}" if copy else ""
    return f"archives; the newest backup is {age} old ({size(newest['database_bytes'])}){other}"


CHAIN = (
    Link("client", client),
    Link("proxy", proxy, "proxy"),
    Link("app", app, "proxy"),
    Link("pooler", pool, "pgbouncer"),
    Link("server", server),
    Link("database", database),
    Link("cluster", members),
    Link("roles", roles),
    Link("TLS", tls),
    Link("disk", disk),
    Link("migrations", migrations),
    Link("tables", tables),
    Link("end to end", end_to_end, "proxy"),
    Link("archiving", archiving),
)
