"""Whether the hosts of an inventory can be what their groups say: one database host, or a cluster of three.

Pure functions, for Ansible's role preflight (ansible/filter_plugins/cluster_of_hosts.py). Each returns the
problems as sentences, none when all is well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

POSTGRESQL = "17"  # PG_MAJOR in docker/postgres/Dockerfile
MEMBERS = 3
MOST_POOLERS = 5  # docker/pgbouncer/docker-entrypoint.sh divides the server's connections among them
# Patroni passes them on the server's command line, which wins over every file (pg/cluster/patroni.yml).
PATRONIS_PARAMETERS = (
    "max_connections", "max_worker_processes", "max_wal_senders", "max_replication_slots", "max_prepared_transactions",
    "max_locks_per_transaction", "track_commit_timestamp", "wal_level", "wal_keep_size",
)  # fmt: skip
NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")  # in certificates, /etc/hosts and etcd's member list
ROOM_MB = 1000  # that a copy of the data needs besides the data


def group_problems(groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Of the groups' hosts (group → names)."""
    database, application, backup = (list(groups.get(name, ())) for name in ("database", "application", "backup"))
    found = []
    if len(database) not in (1, MEMBERS):
        found.append(
            f"the group `database` has {len(database)} hosts: one is a server, {MEMBERS} are a cluster, and etcd needs "
            "an odd number to have a majority after a loss"
        )
    if not application:
        found.append("the group `application` has no host")
    if len(application) > MOST_POOLERS:
        found.append(
            f"the group `application` has {len(application)} hosts: the server's connections are divided among at most "
            f"{MOST_POOLERS} PgBouncers, one on each"
        )
    if len(backup) > 1:
        found.append(f"the group `backup` has {len(backup)} hosts: at most one")
    if both := sorted(set(backup) & {*database, *application}):
        found.append(f"{', '.join(both)} of the group `backup` is in another group, too")
    if len(database) > 1:
        found += cluster_problems(database, application, backup)
    return found


def cluster_problems(database: list[str], application: list[str], backup: list[str]) -> list[str]:
    """Of the groups of a cluster."""
    found = []
    if not backup:
        found.append(
            "a cluster needs a host in the group `backup`: a repository on a database host would have a WAL gap after "
            "the first failover"
        )
    if both := sorted({*database} & {*application}):
        found.append(
            f"{', '.join(both)} is in `database` and in `application`: a member of a cluster runs no application"
        )
    if bad := [name for name in database if not NAME.fullmatch(name)]:
        found.append(f"{', '.join(bad)} is no name for a member: lower-case letters, digits and hyphens")
    return found


def setting_problems(settings: Mapping[str, Any]) -> list[str]:
    """Of stack_postgres_settings of a member."""
    fixed = sorted(name for name in settings if name.lower() in PATRONIS_PARAMETERS)
    return [f"stack_postgres_settings has {', '.join(fixed)}, which the whole cluster has alike"] if fixed else []


def data_problems(hosts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Of the data directories of a cluster's hosts.

    `hosts`: name → {"version": of the data directory, "system": its system identifier, "used_mb", "free_mb": on its
    disk}; without "version" the host has none.
    """
    with_data = {name: one for name, one in hosts.items() if one.get("version")}
    found = [
        f"{name} has a data directory of PostgreSQL {one['version']}, and the image is PostgreSQL {POSTGRESQL}"
        for name, one in with_data.items()
        if one["version"] != POSTGRESQL
    ]
    systems = {str(one["system"]): name for name, one in reversed(with_data.items())}
    if len(systems) > 1:
        found.append(
            "the data directories are of different databases: "
            + ", ".join(f"{name} has system identifier {one['system']}" for name, one in with_data.items())
        )
    needed = max((int(one["used_mb"]) for one in with_data.values()), default=0)
    found += [
        f"{name} has {one['free_mb']} MB free, and a copy of the data needs {needed + ROOM_MB} MB"
        for name, one in hosts.items()
        if name not in with_data and with_data and int(one["free_mb"]) < needed + ROOM_MB
    ]
    return found
