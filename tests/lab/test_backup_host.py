"""A database host and its backup host: repository 2, its ports, timers, restores, the loss of the database host."""

import datetime
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from alerts.sinks import Webhooks
from backup.test_runbook import commands
from images import BUILT
from lab.hosts import Lab
from network import scan
from players import Players
from support.checklist import Checklist
from test_checklist import Loosened, assert_noticed
from test_playbooks import ROLE, changed
from testing.shell import eventually

pytestmark = pytest.mark.long

HERE = ("env", "--chdir=/opt/flaglearning")
PSQL = ("docker", "compose", "exec", "-T", "postgres", "psql", "-XAt", "-h", "/run/postgresql", "-U", "postgres")


def sql(lab: Lab, text: str, database: str = "flaglearning_prod") -> str:
    return lab.exec("db1", *HERE, *PSQL, "-d", database, "-c", text).strip()


def info(lab: Lab) -> dict[str, Any]:
    """`./scripts/ops backup info`, on the database host."""
    text = lab.exec("db1", *HERE, "sh", "-c", "./scripts/ops backup info --json 2>/dev/null", check=False)
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.fixture(scope="module", autouse=True)
def _backups(split: Lab) -> None:
    """Wait for what the first run of site.yml starts: backups in both repositories and the first drill."""
    eventually(lambda: info(split)["backups"] and info(split)["copy"]["backups"], within=180, every=3)
    eventually(lambda: sql(split, "SELECT count(*) FROM operations.drill", "postgres") != "0", within=300, every=3)
    eventually(lambda: split.exec("backup1", *HERE, "./scripts/snapshots", "list").strip(), within=300, every=3)


# ------------------------------------------------------------ what is there


def test_both_repositories_have_a_backup_and_the_write_ahead_log(split: Lab) -> None:
    found = info(split)
    assert (found["state"], found["copy"]["state"]) == ("ok", "ok")
    assert found["archive"]["max"][:8] == found["copy"]["archive"]["max"][:8]


def test_the_first_drill_passed(split: Lab) -> None:
    assert sql(split, "SELECT passed FROM operations.drill ORDER BY at LIMIT 1", "postgres") == "t"


def test_the_whole_checklist_passes_on_a_fleet(split: Lab, tmp_path: Path, webhooks: Webhooks) -> None:
    tested = split.exec("backup1", "env", "--chdir=/opt/flaglearning-monitoring", "./scripts/ops", "alert", "test")
    assert "delivered to webhook" in tested
    done = split.play("checklist.yml", "-e", f"checklist_artifacts={tmp_path}", check=False)
    assert done.returncode == 0, done.stdout
    assert "Ready for production: every check that applies passed." in done.stdout


def test_no_password_of_the_database_is_on_the_backup_host(split: Lab) -> None:
    files = split.exec("backup1", "find", "/etc/flaglearning/secrets", "-type", "f").split()
    assert sorted(file.removeprefix("/etc/flaglearning/secrets/") for file in files) == [
        *("alert_deadman_url", "alert_email_password", "alert_webhook_url", "backup_cipher_offhost"),
        *(f"tls/backup-host/{name}" for name in ("ca.crt", "tls.crt", "tls.key")),
        "tls/client/ca.crt",
        *(f"tls/{of}/{name}" for of in ("exporters", "monitoring") for name in ("ca.crt", "tls.crt", "tls.key")),
    ]


# ------------------------------------------------------------ snapshots of repository 2

SNAPSHOTS = "/var/backups/flaglearning/repository-2-snapshots"
ANY_FILE = f"$(find {SNAPSHOTS} -type f -name backup.manifest | head -n 1)"


@pytest.mark.parametrize(
    "way",
    [
        Loosened(f"echo tampered >{SNAPSHOTS}/ALARM", f"rm {SNAPSHOTS}/ALARM", {"BACK-04"}),
        Loosened(f"chown 5432 {ANY_FILE}", f"chown 0 {ANY_FILE}", {"BACK-04"}),
        Loosened(f"mv {SNAPSHOTS} {SNAPSHOTS}.away", f"mv {SNAPSHOTS}.away {SNAPSHOTS}", {"BACK-04"}),
        Loosened(
            "systemctl stop flaglearning-snapshot.timer", "systemctl start flaglearning-snapshot.timer", {"BACK-08"}
        ),
    ],
    ids=["tampered", "writable", "none", "timer"],
)
def test_a_snapshot_that_protects_nothing_is_noticed(split: Lab, tmp_path: Path, way: Loosened) -> None:
    assert_noticed(split, "backup1", Checklist(tmp_path, "-i", str(split.inventory), env=split.environment), way)


def test_the_snapshot_timer_fails_when_a_backup_was_replaced(split: Lab) -> None:
    """As the user of pgBackRest's server, so with all that the database host can do there. Then the runbook."""
    assert not start(split, "flaglearning-snapshot", "backup1")
    manifest = "$(find /var/lib/pgbackrest -name backup.manifest | head -n 1)"
    attack = f"set -e; file={manifest}; echo damaged >$file.new; mv -f $file.new $file"
    split.exec("backup1", *HERE, "docker", "compose", "exec", "-T", "pgbackrest-server", "sh", "-c", attack)
    assert start(split, "flaglearning-snapshot", "backup1")
    good = split.exec("backup1", *HERE, "./scripts/snapshots", "list").split()[-2]
    for line in commands("Repository 2, from a snapshot"):
        split.exec("backup1", *HERE, *line.replace("20261130T003000Z", good).split())
    assert not start(split, "flaglearning-snapshot", "backup1")
    eventually(lambda: info(split)["copy"]["state"] == "ok", within=60, every=3)


# ------------------------------------------------------------ who is let in

CONNECT = "timeout 3 bash -c '</dev/tcp/{0}/8432' 2>/dev/null && echo open || echo shut"


@pytest.mark.parametrize(
    ("source", "target", "answer"),
    [
        ("db1", "backup1", "open"),
        ("backup1", "db1", "open"),
        ("app1", "db1", "shut"),
        ("app1", "backup1", "shut"),
        ("vantage", "db1", "shut"),
        ("vantage", "backup1", "shut"),
    ],
)
def test_the_port_is_open_between_these_two_alone(split: Lab, source: str, target: str, answer: str) -> None:
    assert split.exec(source, "sh", "-c", CONNECT.format(split.address(target))).strip() == answer


def test_the_vantage_host_reaches_no_port_of_the_backup_host(split: Lab) -> None:
    for address in (split.address("backup1"), split.address6("backup1")):
        assert scan(split, address) == []


@pytest.mark.parametrize("host", ["backup1", "db1"])
def test_a_renewed_certificate_is_shown_without_a_restart(split: Lab, host: str) -> None:
    shown = "openssl s_client -connect localhost:8432 </dev/null 2>/dev/null | openssl x509 -noout -serial"
    ask = (*HERE, "docker", "compose", "exec", "-T", "pgbackrest-server", "sh", "-c", shown)
    started = ("docker", "inspect", "-f", "{{.State.StartedAt}}", "flaglearning-pgbackrest-server-1")
    before = split.exec(host, *ask), split.exec(host, *started)
    split.play(ROLE, "-e", "role=pki", "-e", "pki_renew=true", "--limit", host)
    eventually(lambda: split.exec(host, *ask) != before[0], within=20, every=1)
    assert split.exec(host, *started) == before[1]
    eventually(lambda: info(split)["copy"]["state"] == "ok", within=60, every=3)


# ------------------------------------------------------------ timers


def test_the_timers_run_and_each_has_a_next_time(split: Lab) -> None:
    listed = json.loads(split.exec("db1", "systemctl", "list-timers", "--all", "-o", "json", "flaglearning-*"))
    times = {timer["unit"].removesuffix(".timer"): timer["next"] for timer in listed}
    names = (
        "dump-nightly",
        "backup-drill",
        "backup-drill-repository-2",
        "backup-info",
        "units",
        "clear-sessions",
        "update-check",
    )
    assert times.keys() == {f"flaglearning-{name}" for name in names}
    assert all(times.values())


def test_what_a_timer_calls_fails_loudly(split: Lab) -> None:
    """The hourly look, while the backup host is away; and it is well again afterwards."""
    failed = ("systemctl", "list-units", "--failed", "--plain", "--no-legend", "flaglearning-backup-info.service")
    split.exec("backup1", *HERE, "docker", "compose", "stop", "pgbackrest-server")
    try:
        eventually(lambda: start(split, "flaglearning-backup-info"), within=60, every=5)
        assert "flaglearning-backup-info.service" in split.exec("db1", *failed)
        journal = split.exec("db1", "journalctl", "--unit", "flaglearning-backup-info", "--no-pager", "-n", "20")
        assert "HINT:" in journal
    finally:
        split.exec("backup1", *HERE, "docker", "compose", "start", "pgbackrest-server")
    eventually(lambda: not start(split, "flaglearning-backup-info"), within=180, every=5)
    assert split.exec("db1", *failed).strip() == ""


def test_the_weekly_drill_of_the_copies_passes(split: Lab) -> None:
    assert not start(split, "flaglearning-backup-drill-repository-2")
    newest = "SELECT passed, report->>'repository' FROM operations.drill ORDER BY at DESC LIMIT 1"
    assert sql(split, newest, "postgres") == "t|2"


def start(lab: Lab, service: str, host: str = "db1") -> bool:
    """Whether it failed."""
    return "failed" in lab.exec(host, "systemctl", "start", f"{service}.service", check=False)


# ------------------------------------------------------------ restores


def now() -> str:
    """A time that is surely after what was written before, and before what is written next."""
    return datetime.datetime.now(datetime.UTC).isoformat()


def restore(lab: Lab, *options: str, confirm: str = "flaglearning_prod") -> str:
    """restore.yml; what it says."""
    words = [word for option in (*options, f"restore_confirm={confirm}") for word in ("-e", option)]
    done = lab.play("restore.yml", *words, check=False)
    return f"status {done.returncode}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    ("options", "confirm", "sentence"),
    [
        ([], "flaglearning_prod", "exactly one of"),
        (["restore_latest=true", "restore_backup=x"], "flaglearning_prod", "exactly one of"),
        (["restore_to=2020-01-01"], "flaglearning_prod", "the range is 2"),
        (["restore_backup=20200101-000000F"], "flaglearning_prod", "there is no backup"),
        (["restore_latest=true"], "yes", "nothing was done"),
    ],
    ids=["no-target", "two-targets", "out-of-range", "no-such-backup", "not-confirmed"],
)
def test_a_restore_that_cannot_be_meant_changes_nothing(
    split: Lab, options: list[str], confirm: str, sentence: str
) -> None:
    began = sql(split, "SELECT pg_postmaster_start_time()")
    said = " ".join(restore(split, *options, confirm=confirm).split())
    assert said.startswith("status 2")
    assert sentence in said
    assert sql(split, "SELECT pg_postmaster_start_time()") == began


def test_one_table_comes_back_and_the_rest_stays(split: Lab) -> None:
    everything = "SELECT md5(string_agg(c::text, ',' ORDER BY id)) FROM flags_country c"
    before = sql(split, everything)
    at = now()
    sql(split, "UPDATE flags_country SET name = 'lost ' || code; CREATE TABLE IF NOT EXISTS since_then ()")
    said = restore(split, f"restore_to={at}", "restore_table=flags_country")
    assert said.startswith("status 0"), said
    assert sql(split, everything) == before
    assert sql(split, "SELECT to_regclass('since_then') IS NOT NULL; DROP TABLE since_then").startswith("t")


def test_the_whole_database_goes_back_and_the_app_serves_again(split: Lab, players: Players) -> None:
    """Meanwhile each application host says 503: not an error of the program's, nor nothing."""
    sql(split, "CREATE TABLE kept ()")
    at = now()
    sql(split, "DROP TABLE kept; CREATE TABLE too_late ()")
    with ThreadPoolExecutor() as pool:
        restoring = pool.submit(restore, split, f"restore_to={at}")
        seen: dict[str, list[int]] = {"app1": [], "app2": []}
        while not restoring.done():
            for host, statuses in seen.items():
                statuses.append(players.ask(host))
    said = restoring.result()
    assert said.startswith("status 0"), said
    assert [set(statuses) for statuses in seen.values()] == [{200, 503}, {200, 503}]
    assert [players.ask(host) for host in seen] == [200, 200]
    tables = "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relname IN ('kept', 'too_late')"
    assert sql(split, tables) == "kept"
    assert sql(split, "DROP TABLE kept") == "DROP TABLE"


@pytest.mark.last
def test_a_database_host_that_is_lost_comes_back_from_the_backup_host(split: Lab) -> None:
    """Its data and its own repository are gone; what site.yml makes in their place is empty."""
    sql(split, "CREATE TABLE the_last_minute ()")
    sql(split, "SELECT pg_switch_wal()")
    split.exec("db1", *HERE, "docker", "compose", "down", "--volumes")  # a fast shutdown archives what it wrote
    split.exec("db1", "sh", "-c", "rm -rf /var/backups/flaglearning /opt/flaglearning/.env")
    split.play("site.yml", *BUILT)
    assert sql(split, "SELECT to_regclass('the_last_minute') IS NULL") == "t"
    said = restore(split, "restore_latest=true", "restore_repository=2")
    assert said.startswith("status 0"), said
    assert sql(split, "SELECT to_regclass('the_last_minute') IS NOT NULL") == "t"
    made = split.exec("db1", *HERE, "./scripts/ops", "backup", "create", "--type", "full", check=False)
    assert "in the repository" in made, made
    eventually(lambda: info(split)["copy"]["state"] == "ok", within=120, every=3)
    assert changed(split.play("site.yml", *BUILT).stdout) == 0
