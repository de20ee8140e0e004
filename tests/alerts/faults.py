"""The fault that fires each alert: a context manager injects it, and repairs it at the end.

Faults are real where a test machine allows it. Ages of hours and days are injected as a time in the metrics file, and
low memory as a /proc/meminfo of the exporter's container: other programs use this machine.
"""

import contextlib
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import psycopg
import pytest

from alerts.lab import Lab
from support.certificates import Certificates
from support.postgres import Bouncer
from testing.shell import ROOT, eventually, run
from testing.stack import ARTIFACTS, Stack

Fault = Callable[[Lab], AbstractContextManager[object]]
REPOSITORY = "/var/lib/pgbackrest"


def stopped(service: str) -> Fault:
    return lambda lab: lab.stopped(service)


@contextlib.contextmanager
def alertmanager_away(lab: Lab) -> Iterator[None]:
    """For some seconds; then it is back and gets the alert about it."""
    with lab.stopped("alertmanager"):
        eventually(lambda: lab.query("increase(prometheus_notifications_errors_total[30s])")[0] > 0, within=60)
    yield


@contextlib.contextmanager
def receiver_refuses(lab: Lab) -> Iterator[None]:
    lab.webhooks.refuse = True
    try:
        yield
    finally:
        lab.webhooks.refuse = False


def file_says(text: str, name: str = "flaglearning_backup_drill.prom", volume: str = "reports") -> Fault:
    """A metrics file with another text."""
    return lambda lab: lab.metrics_file(volume, name, text.replace("AGES_AGO", str(lab.age(30 * 86400))))


def backup_says(text: str) -> Fault:
    """The same of the file of the service `backup`, which is stopped: it would replace the file."""

    @contextlib.contextmanager
    def fault(lab: Lab) -> Iterator[None]:
        with lab.stopped("backup"), file_says(text, "flaglearning_backup.prom", "backup-metrics")(lab):
            yield

    return fault


@contextlib.contextmanager
def many_connections(lab: Lab) -> Iterator[None]:
    start = "for _ in {1..85}; do psql -qAtc 'SELECT pg_sleep(121)' postgres >/dev/null 2>&1 & done"
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(121)'"
    lab.stack.exec("postgres", "bash", "-c", start)
    try:
        yield
    finally:
        lab.superuser(end)


@contextlib.contextmanager
def long_transaction(lab: Lab) -> Iterator[None]:
    with lab.connect("migrator") as session:
        session.execute("BEGIN")
        session.execute("SELECT 1")
        yield


@contextlib.contextmanager
def deadlock(lab: Lab) -> Iterator[None]:
    def cross(first: int, second: int, ready: threading.Barrier) -> None:
        with contextlib.suppress(psycopg.errors.DeadlockDetected), lab.connect("migrator") as session:
            session.execute("BEGIN")
            session.execute("SELECT pg_advisory_xact_lock(%s)", [first])
            ready.wait(10)
            session.execute("SELECT pg_advisory_xact_lock(%s)", [second])

    ready = threading.Barrier(2)
    threads = [threading.Thread(target=cross, args=(*keys, ready)) for keys in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield


@contextlib.contextmanager
def transaction_ids_used_up(lab: Lab) -> Iterator[None]:
    """600 million of them, by setting the counter of the stopped server; VACUUM FREEZE afterwards."""
    segment = 2**20  # transactions of one pg_xact file: 256 KiB with two bits each
    after = 600_000_000 // segment * segment
    set_counter = f"""pg_resetwal --next-transaction-id={after} $PGDATA
        head -c 262144 /dev/zero >$PGDATA/pg_xact/{after // segment:04X}"""
    with lab.stopped("backup"):
        lab.stack.compose("stop", "postgres")
        lab.stack.compose("run", "--rm", "--no-deps", "--entrypoint", "bash", "postgres", "-ec", set_counter)
        lab.stack.up("postgres")
        yield
        lab.stack.exec("postgres", "vacuumdb", "--all", "--freeze", "--quiet")
        # template0 accepts no connection: the autovacuum would come to it within a minute
        lab.superuser("UPDATE pg_database SET datallowconn = true WHERE datname = 'template0'")
        lab.stack.exec("postgres", "vacuumdb", "--freeze", "--quiet", "template0")
        lab.superuser("UPDATE pg_database SET datallowconn = false WHERE datname = 'template0'")


@contextlib.contextmanager
def checkpoints(lab: Lab) -> Iterator[None]:
    for _ in range(12):
        lab.superuser("CHECKPOINT")
    yield


@contextlib.contextmanager
def abandoned_slot(lab: Lab) -> Iterator[None]:
    lab.superuser("SELECT pg_create_physical_replication_slot('abandoned')")
    try:
        yield
    finally:
        lab.superuser("SELECT pg_drop_replication_slot('abandoned')")


@contextlib.contextmanager
def slot_left_behind(lab: Lab) -> Iterator[None]:
    """A slot without a consumer, while more WAL is written than the server keeps for it."""
    lab.superuser("ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'")
    lab.superuser("SELECT pg_reload_conf()")
    lab.superuser("SELECT pg_create_physical_replication_slot('left_behind', true)")
    try:
        for _ in range(4):
            lab.superuser("SELECT pg_logical_emit_message(true, 'fault', 'x'); SELECT pg_switch_wal()")
        yield
    finally:
        lab.superuser("SELECT pg_drop_replication_slot('left_behind')")
        lab.superuser("ALTER SYSTEM RESET max_slot_wal_keep_size")
        lab.superuser("SELECT pg_reload_conf()")


def archive_refuses(switches: int) -> Fault:
    """The repository takes no WAL, and that many segments end."""

    @contextlib.contextmanager
    def fault(lab: Lab) -> Iterator[None]:
        with lab.shell("postgres", f"chmod 000 {REPOSITORY}/archive", f"chmod 700 {REPOSITORY}/archive"):
            for _ in range(switches):
                lab.superuser("SELECT pg_logical_emit_message(true, 'fault', 'x'); SELECT pg_switch_wal()")
            yield
        lab.superuser("SELECT pg_logical_emit_message(true, 'fault', 'x'); SELECT pg_switch_wal()")

    return fault


@contextlib.contextmanager
def repository_unreadable(lab: Lab) -> Iterator[None]:
    with lab.shell("backup", f"chmod 000 {REPOSITORY}/backup", f"chmod 700 {REPOSITORY}/backup"):
        yield


DAMAGED = """
    CREATE TABLE damaged WITH (autovacuum_enabled = off) AS
        SELECT n, repeat('x', 500) FROM generate_series(1, 1000) AS n;
    VACUUM FREEZE damaged;
    CHECKPOINT
"""


@contextlib.contextmanager
def damaged_page(lab: Lab) -> Iterator[None]:
    """A page of the data directory is damaged, and a backup has it."""
    lab.superuser(DAMAGED)
    file = lab.superuser("SELECT pg_relation_filepath('damaged')")
    write = f"dd if=/dev/urandom of=$PGDATA/{file} bs=1 seek=20000 count=64 conv=notrunc 2>/dev/null"
    lab.stack.exec("postgres", "bash", "-ec", write)
    assert lab.ops("backup", "create").status == 1
    bad = lab.ops("backup", "list", "--json").json[-1]["label"]
    yield
    lab.superuser("DROP TABLE damaged; CHECKPOINT")
    lab.stack.exec("backup", "pgbackrest", "--stanza=flaglearning", f"--set={bad}", "expire")


@contextlib.contextmanager
def failed_drill(lab: Lab) -> Iterator[None]:
    """A backup's files are gone; afterwards a drill succeeds."""
    away = f"find {REPOSITORY}/backup -name bundle -type d -exec mv {{}} {{}}.away ';' -prune"
    back = f"find {REPOSITORY}/backup -name bundle.away -type d -execdir mv bundle.away bundle ';' -prune"
    with lab.shell("backup", away, back):
        assert lab.ops("backup", "drill").status == 1
        yield
    drill = lab.ops("backup", "drill")
    assert drill.status == 0, drill.out + drill.err


@contextlib.contextmanager
def requests_wait(lab: Lab) -> Iterator[None]:
    """More sessions than the application's pool has: each holds its connection for three seconds."""
    bouncer, end = Bouncer(lab.stack), threading.Event()

    def hold() -> None:
        while not end.is_set():
            with contextlib.suppress(psycopg.Error), bouncer.connect("app") as session:
                session.execute("SELECT pg_sleep(3)")

    threads = [threading.Thread(target=hold, daemon=True) for _ in range(60)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        end.set()
        for thread in threads:
            thread.join()


@contextlib.contextmanager
def paused(lab: Lab) -> Iterator[None]:
    bouncer = Bouncer(lab.stack)
    bouncer.admin("PAUSE")
    try:
        yield
    finally:
        bouncer.admin("RESUME")


@contextlib.contextmanager
def visits(lab: Lab) -> Iterator[None]:
    """Ten requests a second, whatever is answered."""
    url = f"http://localhost:{lab.stack.port('proxy', 8000)}/accounts/login/"
    end = threading.Event()

    def visit() -> None:
        while not end.wait(0.4):
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10) as answer:
                answer.read()

    threads = [threading.Thread(target=visit, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        end.set()
        for thread in threads:
            thread.join()


@contextlib.contextmanager
def errors(lab: Lab) -> Iterator[None]:
    with visits(lab), lab.stopped("app"):
        yield


@contextlib.contextmanager
def unhandled_error(lab: Lab) -> Iterator[None]:
    """The application may not read a table that one page needs."""
    role = lab.stack.role("app")
    lab.superuser(f"REVOKE SELECT ON flags_guesscount FROM {role}", database=lab.stack.database)  # noqa: S608
    try:
        url = f"http://localhost:{lab.stack.port('proxy', 8000)}/api/countries/most-guessed?limit="
        for limit in random.sample(range(11, 100), 3):  # others than those that the worker has cached
            with pytest.raises(urllib.error.HTTPError, match="500"):
                urllib.request.urlopen(f"{url}{limit}").close()  # noqa: S310
        yield
    finally:
        lab.superuser(f"GRANT SELECT ON flags_guesscount TO {role}", database=lab.stack.database)


@contextlib.contextmanager
def slow_answers(lab: Lab) -> Iterator[None]:
    """The application stands still for 0.9 s of each second."""
    container, end = lab.stack.container("app"), threading.Event()

    def stutter() -> None:
        while not end.wait(0.1):
            run("docker", "pause", container, check=False)
            time.sleep(0.9)
            run("docker", "unpause", container, check=False)

    thread = threading.Thread(target=stutter, daemon=True)
    with visits(lab):
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()


def certificate(**of: bool | int) -> Fault:
    """The proxy shows another certificate."""

    @contextlib.contextmanager
    def fault(lab: Lab) -> Iterator[None]:
        certificates = Certificates(lab.stack)
        certificates.replace("proxy", **of)  # type: ignore[arg-type]
        certificates.reload("proxy")
        try:
            yield
        finally:
            certificates.restore()

    return fault


def disk_filled(megabytes: int) -> Fault:
    """The disk of the dumps, which has 50 MB."""

    @contextlib.contextmanager
    def fault(lab: Lab) -> Iterator[None]:
        image = f"flaglearning/ops:{lab.stack.variables['TAG']}"
        volume = f"{lab.stack.project}_dumps:/dumps"
        words = ("docker", "run", "--rm", "--network", "none", "--volume", volume, "--entrypoint", "sh", image, "-c")
        run(*words, f"fallocate -l {megabytes}M /dumps/filler")
        try:
            yield
        finally:
            run(*words, "rm /dumps/filler")

    return fault


@contextlib.contextmanager
def little_memory(lab: Lab) -> Iterator[None]:
    """The exporter's container reads another /proc/meminfo."""
    folder = ARTIFACTS / "alerts-sink"
    (folder / "meminfo").write_text("MemTotal: 8000000 kB\nMemFree: 100000 kB\nMemAvailable: 400000 kB\n")
    with other_exporter(lab, f"volumes: ['{folder}/meminfo:/proc/meminfo:ro']"):
        yield


@contextlib.contextmanager
def no_clock(lab: Lab) -> Iterator[None]:
    """The exporter answers, and has no metric of the clock."""
    options = ("--no-collector.timex", "--collector.textfile.directory=/metrics/*", "--web.listen-address=:9100")
    with other_exporter(lab, f"command: {['prometheus-node-exporter', *options]}"):
        yield


@contextlib.contextmanager
def other_exporter(lab: Lab, settings: str) -> Iterator[None]:
    """node-exporter with other settings in its compose file; afterwards with its own."""
    overlay = ARTIFACTS / "alerts-sink/node-exporter.yml"
    overlay.write_text(f"services: {{ node-exporter: {{ {settings} }} }}\n")
    files = (*lab.stack.files, str(overlay.relative_to(ROOT)))
    changed = Stack(lab.stack.project, files)
    changed.variables = lab.stack.variables
    changed.compose("up", "--detach", "--no-deps", "node-exporter")
    try:
        yield
    finally:
        lab.stack.compose("up", "--detach", "--no-deps", "node-exporter")


@contextlib.contextmanager
def out_of_memory(lab: Lab) -> Iterator[None]:
    """A program wants more memory than its container has."""
    limits = (
        "--memory",
        "32m",
        "--memory-swap",
        "32m",
        "--network",
        "none",
        "--label",
        f"flaglearning-test={lab.stack.project}",
    )
    image = f"flaglearning/ops:{lab.stack.variables['TAG']}"
    done = run(
        "docker", "run", "--rm", *limits, "--entrypoint", "python3", image, "-c", "b'x' * (200 << 20)", check=False
    )
    assert done.returncode == 137, done
    yield


FAULTS: dict[str, Fault] = {
    "TargetDown": stopped("mtail"),
    "AlertmanagerUnreachable": alertmanager_away,
    "NotificationsFailing": receiver_refuses,
    "MetricsFileBroken": file_says("this is { no metric\n", "broken.prom"),
    "MetricMissing": no_clock,
    "UnitCheckOld": file_says("flaglearning_units_checked_timestamp_seconds AGES_AGO\n", "flaglearning_units.prom"),
    "PostgresDown": stopped("postgres"),
    "ConnectionsHigh": many_connections,
    "LongTransaction": long_transaction,
    "Deadlocks": deadlock,
    "TransactionIdAge": transaction_ids_used_up,
    "CheckpointsForced": checkpoints,
    "SlotInactive": abandoned_slot,
    "SlotLosingWal": slot_left_behind,
    "ArchiveFailing": archive_refuses(1),
    "ArchiveLate": archive_refuses(1),
    "ArchiveBacklog": archive_refuses(35),
    "BackupOld": backup_says("flaglearning_backup_newest_timestamp_seconds AGES_AGO\n"),
    "BackupMissing": backup_says("flaglearning_backup_count 0\n"),
    "BackupDamaged": damaged_page,
    "BackupRepositoryUnusable": repository_unreadable,
    "BackupServiceSilent": stopped("backup"),
    "DrillFailed": failed_drill,
    **{
        alert: file_says(f"{metric} AGES_AGO\n", "flaglearning_updates.prom")
        for alert, metric in {
            "SecurityUpdatePending": 'flaglearning_updates_security_since_timestamp_seconds{image="proxy"}',
            "VulnerabilityKnown": 'flaglearning_vulnerabilities_fixable_since_timestamp_seconds{image="app"}',
            "AdvisoriesOld": 'flaglearning_advisories_timestamp_seconds{file="trixie"}',
            "UpdateCheckOld": "flaglearning_updates_checked_timestamp_seconds",
            "RebootPending": "flaglearning_reboot_required_since_timestamp_seconds",
        }.items()
    },
    "DrillOld": file_says("flaglearning_backup_drill_last_timestamp_seconds AGES_AGO\n"),
    "DumpOld": file_says("flaglearning_dump_newest_timestamp_seconds AGES_AGO\n", "flaglearning_dump.prom"),
    "PoolerDown": stopped("pgbouncer"),
    "PoolerWaiting": requests_wait,
    "PoolerStuck": paused,
    "SiteDown": stopped("proxy"),
    "HttpErrors": errors,
    "HttpSlow": slow_answers,
    "NewFailure": unhandled_error,
    "CertificateInvalid": certificate(unknown_ca=True),
    "CertificateExpires": certificate(days=10),
    "CertificateExpiresSoon": certificate(days=1),
    "DiskFilling": disk_filled(42),
    "DiskFull": disk_filled(47),
    "MemoryLow": little_memory,
    "OomKill": out_of_memory,
    # A unit that fails on a host: tests/lab/test_monitoring.py.
    "LogsLate": file_says("flaglearning_logs_unsent_since_timestamp_seconds AGES_AGO\n", "flaglearning_logs.prom"),
    "UnitFailed": file_says('flaglearning_unit_failed{unit="a.service"} 1\n', "flaglearning_units.prom"),
}
