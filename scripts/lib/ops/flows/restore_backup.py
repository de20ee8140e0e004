"""A restore from a backup: into the stack, beside it (sandbox), or of one table through a sandbox instance.

Into the stack: plan → confirm → stop PostgreSQL → restore beside the old data directory, prove it, exchange the two →
start PostgreSQL → today's roles and passwords → restart the pooler. Whatever fails, the old data directory is started
again; after a success it is retained until it is dropped.
"""

from __future__ import annotations

import json
import signal
from typing import Any

from ops import cluster, containers, docker, psql
from ops.containers import Failed, pgadmin, pgbackup
from ops.flows import restore_dump, sandbox
from ops.output import note, say
from ops.prompt import confirm, confirm_by_name
from user_errors import OperationError, UserError

Plan = dict[str, Any]

# What etcd knows of the old history. It keeps `config` and `initialize`, the system identifier (Patroni 4.0, dcs.py).
FORGET = r"""
for key in leader sync history status failover failsafe; do
	etcdctl --endpoints="$ETCD_ADVERTISE_CLIENT_URLS" --cacert=/tls/ca.crt --cert=/tls/tls.crt --key=/tls/tls.key \
		del "/service/flaglearning/$key" >/dev/null || exit
done
"""


def plan_for(to: str, backup: str, timeline: int | None) -> Plan:
    """Where the restore goes: `to` a time, the end of `backup`, or the newest. Raises what pgbackup refuses."""
    given: dict[str, Any] = {"to": to, "backup": backup, "timeline": timeline, "latest": not (to or backup)}
    plan: Plan = pgbackup("plan", **{key: value for key, value in given.items() if value})
    return plan


def source(plan: Plan) -> str:
    """The plan in words."""
    return f"backup {plan['label']} and the WAL after it, up to {plan['says']}"


def into_the_stack(plan: Plan, yes: bool, dry_run: bool) -> None:
    """Replace the data directory."""
    database = psql.app_database()
    consequence = (
        f"PostgreSQL stops. Every database ({database} and the others) is restored from {source(plan)}. "
        "Later writes are not in it. Today's data directory is retained beside the new one; if anything fails, it is "
        "started again."
    )
    if dry_run:
        say(f"{consequence} (Dry run: nothing was changed.)")
        return
    confirm_by_name(consequence, database, yes)
    answer = exchange_data_directory(plan)
    pgadmin("apply")  # today's passwords and privileges, not those of that day
    if containers.is_running("pgbouncer"):
        containers.run(docker.compose("restart", "pgbouncer"))
    say(json.dumps(answer, indent=2))
    note("restored; when the data is right: ./scripts/ops retained drop, then ./scripts/ops backup create")


def require_alone(dry_run: bool) -> None:
    """Raises UserError in a cluster of one machine, and on a host while the other members run: they would follow the
    old history."""
    if not containers.members():
        return
    if len(containers.members()) > 1:
        raise UserError(
            "a restore in place is for one server: the standbys of a cluster would follow the old history",
            "--sandbox to look at the data, --table to bring one table back (docs/runbooks/cluster.md)",
        )
    if dry_run:
        return
    running = [one["name"] for one in cluster.ask_a_member()["members"] if one["state"] in ("running", "streaming")]
    if len(running) > 1:
        raise UserError(
            f"a restore in place needs the other members to be stopped: {', '.join(running)} run",
            "on the control machine: playbooks/restore.yml, which stops and rebuilds the standbys",
        )


def exchange_data_directory(plan: Plan) -> dict[str, Any]:
    """Stop, restore, start: with the new data directory, or, when the restore fails, with the old one."""
    # Ctrl-C reaches the container too, which leaves the old directory in place; here PostgreSQL is started again.
    signals = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    answer: dict[str, Any] | None = None
    try:
        containers.run(docker.compose("stop", "postgres"))
        try:
            argv = docker.run_in("restore", "restore", json.dumps(plan), environment=containers.repository())
            answer = containers.answer(argv)
        except Failed:
            note("the restore failed; its error is above")
        if answer is not None and containers.members():
            containers.run(docker.exec_in(cluster.etcd_services()[0], "sh", "-c", FORGET))
        up = ("up", "--detach", "--no-deps", "--no-recreate", "--no-build", "--wait", "postgres")
        containers.run(docker.compose(*up))
    finally:
        for number, handler in signals.items():
            signal.signal(number, handler)
    if answer is None:
        raise OperationError(
            "nothing was restored; PostgreSQL runs on its previous data directory", "./scripts/ops backup info"
        )
    return answer


def beside_the_stack(plan: Plan, dry_run: bool) -> None:
    """A sandbox instance to look at."""
    say(f"A sandbox instance is restored beside the stack from {source(plan)}. The stack is not changed.")
    if dry_run:
        say("(Dry run: nothing was changed.)")
        return
    sandbox.start(plan)
    say("query it: ./scripts/ops sandbox psql; remove it: ./scripts/ops sandbox drop")


def one_table(plan: Plan, table: str, keep_sandbox: bool, yes: bool, dry_run: bool) -> None:
    """A table's rows out of a sandbox instance; a table that the stack has lost is created again."""
    exists = restore_dump.table_exists(table)
    consequence = (
        f"The rows of {table} are replaced, in one transaction, by those of {source(plan)}."
        if exists
        else f"The table {table} does not exist; it is created again from {source(plan)}."
    )
    if dry_run:
        say(f"{consequence} (Dry run: nothing was changed.)")
        return
    confirm(consequence, yes)
    try:
        sandbox.start(plan)
        if exists:
            restore_rows(table)
        else:
            made = containers.client("table-bring-back", table=table)
            pgadmin("apply")
            say(f"created {made['table']} again, with {made['foreign_keys']} foreign keys of other tables to it")
    finally:
        if not keep_sandbox:
            sandbox.drop()


def restore_rows(table: str) -> None:
    """Dump the table from the sandbox, and restore that dump as any other: with every check that a restore makes."""
    dumped = containers.client("dump-create", environment={"INSTANCE": "sandbox"}, kind="table", table=table)
    restore_dump.rows_of_table(dumped["name"], table)
