"""Item 4: backups that are made by themselves, leave the machine, and have been restored.

Each check reads the actual state first and says `not yet` only where there is nothing to read.
"""

import json
from datetime import UTC, datetime

from checklist.api import Evidence, check, not_yet
from checklist.client import Superuser
from checklist.target import Target

ENABLE = "this version makes no backups by itself: `./scripts/ops backup` makes one, before anything that matters"
WAL_AGE = 300  # seconds; archive_timeout is to be 60, and an upload may be under way
BACKUP_AGE = 26 * 3600


@check(
    "BACK-01",
    claim="the write-ahead log is archived continuously; the newest archived segment is minutes old",
    remedy=ENABLE,
)
def test_wal_is_archived(superuser: Superuser, evidence: Evidence) -> None:
    mode, command = superuser.settings("archive_mode", "archive_command").values()
    evidence(f"archive_mode = {mode}, archive_command = {command}")
    if mode == "off":
        not_yet("archiving is off: without it the last hours can't be restored")
    row = superuser.rows(
        "SELECT last_archived_wal, extract(epoch FROM now() - last_archived_time)::int AS age, failed_count,"
        " coalesce(last_failed_time > last_archived_time, last_failed_time IS NOT NULL) AS failing"
        " FROM pg_stat_archiver"
    )[0]
    evidence(
        f"last archived: {row['last_archived_wal'] or 'nothing'}, {row['age'] or '-'} s ago;"
        f" {row['failed_count']} failures"
    )
    assert row["failing"] == "f", "the last attempt to archive failed"
    assert row["age"], "nothing was ever archived"
    assert int(row["age"]) <= WAL_AGE, f"the newest archived segment is older than {WAL_AGE} s"


@check(
    "BACK-02",
    claim="the newest physical backup is less than a day old, and no backup in the repository has an error",
    remedy=ENABLE,
)
def test_backup_is_recent(target: Target, evidence: Evidence) -> None:
    done = target.host("postgres").run("pgbackrest --output=json --log-level-console=off info")
    backups = [backup for stanza in json.loads(done.stdout or "[]") for backup in stanza.get("backup", [])]
    evidence(f"pgbackrest info: {len(backups)} backups")
    if not backups:
        not_yet("there is no repository with a physical backup in it")
    newest = max(backups, key=lambda backup: backup["timestamp"]["stop"])
    age = datetime.now(UTC).timestamp() - newest["timestamp"]["stop"]
    evidence(f"the newest is {newest['label']}, {age / 3600:.1f} hours old")
    broken = [backup["label"] for backup in backups if backup.get("error")]
    assert not broken, f"backups with errors: {', '.join(broken)}"
    assert age <= BACKUP_AGE, f"the newest backup is {age / 3600:.1f} hours old"


@check("BACK-03", claim="a backup has been restored and compared in the last eight days (the drill)", remedy=ENABLE)
def test_drill_passed(evidence: Evidence) -> None:
    not_yet("there is no drill yet: a backup that was never restored is a hope")


@check("BACK-04", claim="a copy of every backup is on another machine", remedy=ENABLE)
def test_copy_is_off_host(evidence: Evidence) -> None:
    not_yet("there is no off-host repository yet")


@check("BACK-05", claim="a logical dump is made every night, verified, and pruned by retention", remedy=ENABLE)
def test_nightly_dump(evidence: Evidence) -> None:
    not_yet("there is no nightly dump yet")


@check(
    "BACK-06",
    claim="damaged pages are noticed: data checksums are on, and no page has failed one",
    remedy="find the table in the server's log, restore it; `pg_checksums --enable` on a stopped server turns them on",
)
def test_checksums(superuser: Superuser, evidence: Evidence) -> None:
    on = superuser.value("SHOW data_checksums")
    failures = superuser.value("SELECT coalesce(sum(checksum_failures), 0) FROM pg_stat_database")
    evidence(f"data_checksums = {on}, checksum_failures = {failures}")
    assert on == "on", "data checksums are off"
    assert failures == "0", f"{failures} pages failed their checksum"


@check(
    "BACK-07",
    claim="nothing piles up in pg_wal: no failing archiver, no abandoned replication slot",
    remedy="`SELECT pg_drop_replication_slot(…)` for a slot that nobody reads; an archiver's error is in the log",
)
def test_wal_does_not_pile_up(superuser: Superuser, evidence: Evidence) -> None:
    size = superuser.rows(
        "SELECT coalesce(sum(size), 0) AS bytes, pg_size_pretty(coalesce(sum(size), 0)) AS pretty,"
        " (SELECT pg_size_bytes(setting || unit) FROM pg_settings WHERE name = 'max_wal_size') AS allowed"
        " FROM pg_ls_waldir()"
    )[0]
    slots = superuser.rows("SELECT slot_name FROM pg_replication_slots WHERE NOT active")
    waiting = superuser.value("SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'")
    evidence(f"pg_wal holds {size['pretty']}; {waiting} segments wait for the archiver; inactive slots: {len(slots)}")
    assert not slots, f"slots that nobody reads: {', '.join(row['slot_name'] for row in slots)}"
    # the checkpointer may exceed max_wal_size for a while; twice as much is no longer a while
    assert int(size["bytes"]) <= 2 * int(size["allowed"]), (
        f"pg_wal holds {size['pretty']}, more than twice max_wal_size"
    )
