"""What is known of the database cluster, gathered from its members, its etcd and the pooler's side."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ops import containers, docker, pooler
from user_errors import OperationError, Status, UserError

# In the pooler's container, on its way to the server, with its password and its CA: which member takes writes there.
LOOK = """
export PGHOST=postgres PGUSER=pgbouncer PGDATABASE=postgres PGSSLMODE=verify-full PGSSLROOTCERT=/tls/ca.crt
export PGCONNECT_TIMEOUT=2 PGPASSWORD=$(tail -n 1 /run/secrets/pgbouncer_password)
look() {
	timeout 3 psql --no-psqlrc --no-password --tuples-only --no-align --command="
		SELECT pg_catalog.current_setting('flaglearning.member') WHERE NOT pg_catalog.pg_is_in_recovery()" 2>/dev/null
}
"""
LOOK_ONCE = LOOK + "look || true"
# usage: bash -c SWITCH switch OLD_PRIMARY PATIENCE WITHOUT CONSOLE… (microseconds)
# After a line on standard input: pause, wait until HAProxy has left the old primary and leads to one again, resume,
# print its name ("-": none) and how long the pause was (microseconds). It prints `ready` before, and `PAUSE` when the
# pooler has paused; `BUSY`, and no pause, when transactions go on for longer than a second.
#
# It resumes whatever happens to the orchestrator. A second line means that the orchestrator gives up: any primary will
# do, at once. The end of standard input: any, after two seconds, because the old one may be about to stop. Otherwise
# any after PATIENCE. Without a primary it stays paused for up to WITHOUT: clients wait (query_wait_timeout), whereas a
# pooler that is not paused refuses new ones as soon as a login has failed.
#
# What clients wait for starts no program: on a busy machine each would take a tenth of a second. HAProxy leads only to
# a server that has left recovery, so one that answers a request for TLS with one byte (PostgreSQL 17 docs, 53.2.10) is
# a primary.
SWITCH = (
    LOOK
    + r"""
old=$1 patience=$2 without=$3 console=("${@:4}")
clock() { now=${EPOCHREALTIME/[.,]/}; }   # microseconds
# Exit status 0: a server answers; 1: HAProxy leads to none; more: no answer in time.
reached() {
	local answer= status=1
	if { exec 3<>/dev/tcp/postgres/5432 && printf '\x00\x00\x00\x08\x04\xd2\x16\x2f' >&3; } 2>/dev/null; then
		IFS= read -r -t 1 -N 1 answer <&3
		status=$?
	fi
	exec 3>&-
	[ "$answer" = S ] || return $((status > 128 ? 2 : 1))
}
# usage: listen SECONDS — the orchestrator's part of the time that passes
listen() {
	if [ -n "$ended" ]; then sleep "$1"; return; fi
	read -r -t "$1" _
	case $? in
		0) any=0 ;;
		1) ended=yes; (( any < now + 2000000 )) || any=$((now + 2000000)) ;;
	esac
}
resume() {
	local answer
	trap - EXIT
	answer=$("${console[@]}" --command=RESUME 2>&1) || case $answer in *"not paused"*) ;; *) echo "$answer" >&2 ;; esac
}
coproc session { "${console[@]}"; }
echo 'SHOW VERSION;' >&"${session[1]}"
read -r _ <&"${session[0]}" && read -r _ <&"${session[0]}" || exit
echo ready
read -r _ || exit 0
trap resume EXIT
trap 'exit 1' HUP INT TERM
echo 'PAUSE;' >&"${session[1]}"
read -r -t 1 answer <&"${session[0]}" || { resume; echo BUSY; exit 0; }
clock
paused=$now any=$((now + patience)) last=$((now + without)) ask=$((now + 2000000)) ended= left=
echo "$answer"
while clock; (( now < last )); do
	reached
	status=$?
	if [ $status != 0 ]; then
		[ $status != 1 ] || left=yes
		listen 0.03
	elif [ -n "$left" ] || (( now > any )); then
		break
	elif (( now > ask )); then   # so slow a machine that it left the old one unseen?
		ask=$((now + 1000000))
		found=$(look)
		[ "${found:-$old}" = "$old" ] || left=yes
	else
		listen 0.1
	fi
done
echo 'RESUME;' >&"${session[1]}"
read -r -t 1 answer <&"${session[0]}" && [ "$answer" = RESUME ] && trap - EXIT
clock
for _ in {1..10}; do found=$(look); [ -z "$found" ] || break; sleep 0.2; done
echo "${found:--} $((now - paused))"
"""
)
PATIENCE = 8.0  # seconds; less than query_wait_timeout in pg/pgbouncer.ini
WITHOUT = 30.0  # seconds; more than a failover takes (ttl in pg/cluster/patroni.yml)


def require() -> None:
    """Raises UserError on a one-server stack."""
    if not containers.members():
        raise UserError(
            "this stack has no member of a database cluster: it is no cluster, or not its database host",
            "on hosts: run it on a database host; on one machine: ./scripts/up --cluster starts three servers",
        )


def has_pooler() -> bool:
    """Whether this machine has a PgBouncer: a database host of a cluster has none."""
    return not containers.config()["services"]["pgbouncer"].get("profiles")


def gather() -> dict[str, Any]:
    """The facts that cluster_health judges. Raises OperationError when no member answers. On a host without a pooler
    they have no "pooler", and on a standby's host no "server", the primary's side."""
    require()
    with ThreadPoolExecutor(1) as pool:
        pooler = pool.submit(seen_by_the_pooler) if has_pooler() else None
        facts = ask_a_member()
        primary_side: dict[str, Any] = {}
        if not facts["primary"]:
            primary_side = {"server": None}
        elif service := containers.service_of(facts["primary"]):
            done = containers.completed(docker.exec_in(service, "pgcluster", "server"), quiet=True)
            primary_side = {"server": json.loads(done.stdout) if done.returncode == 0 else None}
    configured = [one["name"].removeprefix("etcd-") for one in facts["etcd"]]
    seen = {"pooler": pooler.result()} if pooler else {}
    return {**facts, **primary_side, **seen, "configured": configured}


def etcd_services() -> tuple[str, ...]:
    """The services of the stack that are the members' etcd."""
    services = containers.config()["services"].items()
    return tuple(name for name, service in services if "ETCD_NAME" in (service.get("environment") or {}))


def ask_a_member() -> dict[str, Any]:
    """`pgcluster status` of the first member whose Patroni answers."""
    reason = ""
    for member in containers.members():
        done = containers.completed(docker.exec_in(member, "pgcluster", "status"), quiet=True)
        if done.returncode == 0:
            found: dict[str, Any] = json.loads(done.stdout)
            return found
        reason = (done.stderr.strip().splitlines() or [""])[0].removeprefix("ERROR: ")
    containers.require_engine()
    raise OperationError(
        "no member of the database cluster answers",
        f"docker compose ps; docker compose logs --tail 20 {containers.members()[0]}", reason, Status.CANNOT_CONNECT,
    )  # fmt: skip


def seen_by_the_pooler() -> str:
    """The member to which HAProxy leads PgBouncer; "" when there is none."""
    return containers.completed(docker.exec_in("pgbouncer", "sh", "-c", LOOK_ONCE), quiet=True).stdout.strip()


def switch_argv(old: str) -> list[str]:
    """The program that keeps the pooler paused until another member than `old` is the primary (SWITCH)."""
    limits = [f"{seconds * 1e6:.0f}" for seconds in (PATIENCE, WITHOUT)]
    return docker.exec_in("pgbouncer", "bash", "-c", SWITCH, "switch", old, *limits, *pooler.CONSOLE)
