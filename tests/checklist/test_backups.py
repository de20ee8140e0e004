"""Item 4: backups are made automatically, copied to another machine, and restored as a test."""

import json
from datetime import UTC, datetime
from typing import Any

import backup_health
import snapshots
from checklist.api import Evidence, check, deviates, does_not_apply, not_proven
from checklist.client import Superuser
from checklist.machines import Container, Machine
from checklist.target import Target
from checklist.timers import unarmed
from ops.flows import timers

ENABLE = "`COMPOSE_PROFILES=backup` in `.env`, then `./scripts/up`; production has it on (docs/production.md)"
WAL_AGE = backup_health.EXPOSED
BACKUP_AGE = backup_health.BACKUP_AGE.total_seconds()
SNAPSHOT_AGE = 8 * 3600.0  # one every six hours (timers.json)
DRILL_AGE = backup_health.DRILL_AGE.total_seconds()
WITHOUT = "this stack runs without the profile `backup`: its data is development's"


def archives(superuser: Superuser, evidence: Evidence) -> None:
    """End the check where WAL is not archived: development may choose that."""
    mode, command = superuser.settings("archive_mode", "archive_command").values()
    evidence(f"archive_mode = {mode}, archive_command = {command}")
    if mode == "off":
        deviates(WITHOUT)


NO_SUCH_REPOSITORY = 32  # pgBackRest's exit status for an invalid option: --repo=2 where one repository is configured


def ask(target: Target, repository: int, command: str) -> Any:
    """A command of pgBackRest, from the server's side; its JSON, or None if there is no such repository."""
    options = f"--stanza=flaglearning --repo={repository} --output=json --log-level-console=error"
    done = target.host("postgres").run(f"pgbackrest {options} {command}")
    if done.rc == NO_SUCH_REPOSITORY:
        return None
    output = (done.stdout + done.stderr).strip()[-300:]
    assert done.rc == 0, f"repository {repository} can't be read: {output}"
    return json.loads(done.stdout or "{}")


def stanza(target: Target, superuser: Superuser, repository: int = 1) -> list[dict[str, Any]] | None:
    """This cluster's backups in a repository; None if it is not configured. Fails if it is another cluster's."""
    answer = ask(target, repository, "info")
    if answer is None:
        return None
    [found] = answer
    why = " ".join(one["status"]["message"] for one in found["repo"])
    assert found["status"]["code"] == 0, f"repository {repository}: {why}"
    ours, newest = superuser.value("SELECT system_identifier FROM pg_catalog.pg_control_system()"), found["db"][-1]
    assert str(newest["system-id"]) == ours, (
        f"repository {repository} belongs to another cluster: its system identifier is {newest['system-id']},"
        f" the server's is {ours}"
    )
    return [backup for backup in found["backup"] if backup["database"]["id"] == newest["id"]]


def seconds_since(timestamp: float) -> float:
    return datetime.now(UTC).timestamp() - timestamp


@check(
    "BACK-01",
    claim="WAL is archived continuously: the newest archived segment is minutes old",
    remedy=f"`./scripts/ops doctor` reports why archiving fails. If it is off: {ENABLE}",
)
def test_wal_is_archived(superuser: Superuser, evidence: Evidence) -> None:
    archives(superuser, evidence)
    row = superuser.rows(
        "SELECT last_archived_wal, extract(epoch FROM now() - last_archived_time)::int AS age, failed_count,"
        " coalesce(last_failed_time > last_archived_time, last_failed_time IS NOT NULL) AS failing"
        " FROM pg_stat_archiver"
    )[0]
    evidence(
        f"last archived: {row['last_archived_wal'] or 'nothing'}, {row['age'] or '-'} s ago;"
        f" {row['failed_count']} failures"
    )
    assert row["failing"] == "f", "the last archive_command failed"
    assert row["age"], "no segment has been archived"
    assert int(row["age"]) <= WAL_AGE, f"the newest archived segment is older than {WAL_AGE:.0f} s"


@check(
    "BACK-02",
    claim="the newest backup is less than 26 hours old, and no backup in the repository has an error",
    remedy=f"`./scripts/ops backup create`, `./scripts/ops backup verify`. Without a repository: {ENABLE}",
)
def test_backup_is_recent(target: Target, superuser: Superuser, evidence: Evidence) -> None:
    archives(superuser, evidence)
    # The members of a cluster on hosts have no repository of their own.
    backups = stanza(target, superuser, repository=2 if target.members and target.hosts else 1)
    assert backups is not None, "archiving is on, and pgBackRest has no repository"
    assert backups, "the repository has no backup yet"
    newest = max(backups, key=lambda backup: backup["timestamp"]["stop"])
    age = seconds_since(newest["timestamp"]["stop"])
    evidence(f"{len(backups)} backups; the newest is {newest['label']}, {age / 3600:.1f} hours old")
    broken = [backup["label"] for backup in backups if backup.get("error")]
    assert not broken, f"backups with errors: {', '.join(broken)}"
    assert age <= BACKUP_AGE, f"the newest backup is {age / 3600:.1f} hours old"


@check(
    "BACK-03",
    claim="a backup has been restored and compared in the last eight days (the drill)",
    remedy=f"`./scripts/ops backup drill`, then `./scripts/ops backup report`. Without backups: {ENABLE}",
)
def test_drill_passed(superuser: Superuser, evidence: Evidence) -> None:
    archives(superuser, evidence)
    drills = superuser.rows(
        "SELECT passed, extract(epoch FROM now() - at)::int AS age, report->>'backup' AS backup,"
        " report->>'rows' AS rows, report->>'rto_seconds' AS rto FROM operations.drill ORDER BY at DESC",
        database="postgres",
    )
    if not drills:
        not_proven("no drill has run: no backup has been restored")
    newest = drills[0]
    evidence(
        f"{len(drills)} drills; the newest {int(newest['age']) / 3600:.1f} hours ago: {newest['backup']},"
        f" {newest['rows']} rows compared, first query after {newest['rto'] or '-'} s"
    )
    assert newest["passed"] == "t", "the newest drill did not pass"
    assert int(newest["age"]) <= DRILL_AGE, f"the newest drill is {int(newest['age']) / 86400:.0f} days old"


@check(
    "BACK-04",
    claim="a copy of every backup is on another machine, with snapshots that the database host can't change",
    remedy="a bucket as repository 2 (docs/production.md#a-bucket), or a host in the inventory's group `backup`. A copy"
    " of BACKUP_REPOSITORY_DIR that you make yourself is nothing that this check can see",
)
def test_copy_is_off_host(target: Target, superuser: Superuser, evidence: Evidence) -> None:
    archives(superuser, evidence)
    backups = stanza(target, superuser, repository=2)
    if backups is None:
        not_proven("repository 2 (off-site) is not configured")
    assert backups, "repository 2 has no backup yet"
    age = seconds_since(max(backup["timestamp"]["stop"] for backup in backups))
    evidence(f"backups in repository 2: {len(backups)}, the newest {age / 3600:.1f} hours old")
    assert age <= BACKUP_AGE, f"the newest backup in repository 2 is {age / 3600:.1f} hours old"
    broken = [backup["label"] for backup in backups if backup.get("error")]
    assert not broken, f"backups with errors in repository 2: {', '.join(broken)}"
    for host in target.hosts:
        if "backup" in host.groups:
            snapshots_are_safe(host, evidence)


def snapshots_are_safe(host: Machine, evidence: Evidence) -> None:
    """The newest snapshot is recent, no container sees its folder, and no user of a container could write its files."""
    lines = host.run("cat %s", "/opt/flaglearning/.env").stdout.splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line)
    folder, repository = settings.get("SNAPSHOTS_DIR", ""), settings["BACKUP_REPOSITORY_DIR"]
    assert folder, "no folder of snapshots is configured"
    names = host.run("ls %s", folder).stdout.split()
    taken = sorted(name for name in names if snapshots.NAME.fullmatch(name))
    assert taken, f"no snapshot of repository 2 is in {folder}"
    newest = datetime.strptime(taken[-1], snapshots.NAME_FORMAT).replace(tzinfo=UTC)
    age = seconds_since(newest.timestamp())
    evidence(f"{len(taken)} snapshots of repository 2; the newest {age / 3600:.1f} hours old", host)
    assert snapshots.ALARM not in names, f"repository 2 was tampered with: {folder}/{snapshots.ALARM}"
    assert age <= SNAPSHOT_AGE, f"the newest snapshot is {age / 3600:.1f} hours old"

    ids = host.docker("ps", "--quiet").split()
    mounted = host.docker("inspect", "--format", "{{range .Mounts}}{{.Source}} {{end}}", *ids).split()
    assert repository in mounted, "the repository is mounted into no container: nothing can be said of the snapshots"
    inside = [source for source in mounted if f"{folder}/".startswith(f"{source.rstrip('/')}/")]
    assert not inside, f"a container mounts {', '.join(inside)}, and so the snapshots"
    look = "find %s ! -user root -print -quit; find %s ! -type d -perm /0222 -print -quit; stat --format=%%a %s"
    loose = host.run(look, folder, folder, folder).stdout.split()
    evidence(f"no file of them is another user's than root, or writable; the folder's mode is {loose[-1]}", host)
    assert loose == ["700"], f"{folder} has files that another user than root can change, or another mode than 0700"
    kept = host.run("find %s -type f -name backup.manifest -print -quit", f"{folder}/{taken[-1]}").stdout
    assert kept, "the newest snapshot has no backup"


@check(
    "BACK-05",
    claim="the newest dump (pg_dump) is less than 26 hours old",
    remedy="`./scripts/ops dump nightly`, and a timer that runs it every night (`./scripts/ops timers install`)",
)
def test_dump_is_recent(target: Target, evidence: Evidence) -> None:
    # In a cluster the host that was the primary that night has it.
    dumps = {name: at for server in target.each("postgres") for name, at in dump_manifests(server).items()}
    if not dumps:
        not_proven("no dump has been made")
    age = seconds_since(max(dumps.values()))
    evidence(f"{len(dumps)} dumps; the newest is {max(dumps, key=dumps.__getitem__)}, {age / 3600:.1f} hours old")
    assert age <= BACKUP_AGE, f"the newest dump is {age / 3600:.1f} hours old"


def dump_manifests(postgres: Container) -> dict[str, float]:
    """Dump → when it was completed, of those in the folder or volume that DUMPS_DIR names."""
    look = ("find", "/v", "-mindepth", "2", "-maxdepth", "2", "-name", "manifest.json", "-printf", "%T@ %h\\n")
    listed = postgres.in_folder("DUMPS_DIR", "dumps", *look)
    found = [line.split(" ", 1) for line in listed.splitlines()]
    return {folder.rpartition("/")[2]: float(time) for time, folder in found}


@check(
    "BACK-06",
    claim="data checksums are on, and no page has failed its checksum",
    remedy="restore the table that the server's log names; `pg_checksums --enable` on a stopped server turns them on",
)
def test_checksums(superuser: Superuser, evidence: Evidence) -> None:
    on = superuser.value("SHOW data_checksums")
    failures = superuser.value("SELECT coalesce(sum(checksum_failures), 0) FROM pg_stat_database")
    evidence(f"data_checksums = {on}, checksum_failures = {failures}")
    assert on == "on", "data checksums are off"
    assert failures == "0", f"{failures} pages failed their checksum"


@check(
    "BACK-07",
    claim="pg_wal does not grow: archiving works, and no replication slot is inactive",
    remedy="`SELECT pg_drop_replication_slot(…)` for an inactive slot; archive_command logs its errors",
)
def test_pg_wal_does_not_grow(superuser: Superuser, evidence: Evidence) -> None:
    size = superuser.rows(
        "SELECT coalesce(sum(size), 0) AS bytes, pg_size_pretty(coalesce(sum(size), 0)) AS pretty,"
        " (SELECT pg_size_bytes(setting || unit) FROM pg_settings WHERE name = 'max_wal_size') AS allowed"
        " FROM pg_ls_waldir()"
    )[0]
    slots = superuser.rows("SELECT slot_name FROM pg_replication_slots WHERE NOT active")
    waiting = superuser.value("SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'")
    evidence(f"pg_wal holds {size['pretty']}; {waiting} segments wait for the archiver; inactive slots: {len(slots)}")
    assert not slots, f"inactive slots: {', '.join(row['slot_name'] for row in slots)}"
    # the checkpointer may exceed max_wal_size for a while; twice as much is no longer a while
    assert int(size["bytes"]) <= 2 * int(size["allowed"]), (
        f"pg_wal holds {size['pretty']}, more than twice max_wal_size"
    )


@check(
    "BACK-08",
    claim="systemd timers make, test and monitor backups, and take snapshots on the backup host",
    remedy="one machine: `./scripts/ops timers install`; hosts: `ansible-playbook playbooks/site.yml`",
)
def test_timers_are_armed(target: Target, evidence: Evidence) -> None:
    machine = target.host("postgres").machine
    if not target.hosts and target.development:
        does_not_apply("a developer's machine has no timers")
    if machine.run("test -d /run/systemd/system").rc:
        does_not_apply("no systemd on this machine; BACK-03 and BACK-05 show that drills and dumps are made")
    backup_hosts = [host for host in target.hosts if "backup" in host.groups]
    groups = {
        server.machine: ["database", *(["repository-2"] if backup_hosts else [])] for server in target.each("postgres")
    }
    for host in backup_hosts:
        groups[host] = [*groups.get(host, []), "backup-host"]
    loose = []
    for host, names in groups.items():
        wanted = [f"{name}.timer" for group in names for name in timers.declared()[group]]
        if target.members and target.hosts:  # repository 2 is the only one
            wanted = [name for name in wanted if name != "flaglearning-backup-drill.timer"]
        loose += unarmed(host, wanted, evidence)
    assert not loose, f"not active: {', '.join(loose)}"
