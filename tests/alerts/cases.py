"""For each alert, the series of a fault: when it does not fire yet, and when it does, with the real durations.

Values in promtool's notation, one each 10 s: `1x6 0x30` is a minute of 1, then 0. Times like 90s or 26h.
"""

from typing import Any, NamedTuple

DAY = 86400


class Case(NamedTuple):
    """`series` holds the fault; the alert (with these labels) is silent at `quiet` and fires at `fires`."""

    series: dict[str, str]
    quiet: str
    fires: str
    labels: str = ""


CASES: dict[str, Case] = {
    "TargetDown": Case({'up{job="node",instance="node-exporter:9100"}': "1x6 0x60"}, "115s", "130s"),
    "AlertmanagerUnreachable": Case({"prometheus_notifications_errors_total": "0x12 3x60"}, "110s", "140s"),
    "NotificationsFailing": Case(
        {'alertmanager_notifications_failed_total{receiver_name="mail",reason="other"}': "0x12 1x60"}, "110s", "140s"
    ),
    "MetricsFileBroken": Case({"node_textfile_scrape_error": "0x6 1x60"}, "5m50s", "6m20s"),
    # its target answers all the time
    "MetricMissing": Case(
        {'up{job="node",host="db1"}': "1x200", 'node_timex_sync_status{host="db1"}': "1x6 stale"},
        "10m50s",
        "12m",
        'metric="node_timex_sync_status"',
    ),
    "UnitCheckOld": Case({'flaglearning_units_checked_timestamp_seconds{host="db1"}': "0x200"}, "14m50s", "16m30s"),
    "JobNeverRan": Case(
        {'flaglearning_units_checked_timestamp_seconds{host="db1"}': "0+10x800"},
        "1h59m",
        "2h1m",
        'unit="flaglearning-backup-drill"',
    ),
    "PostgresDown": Case({"pg_up": "1x6 0x60"}, "85s", "110s"),
    "ConnectionsHigh": Case(
        {'pg_stat_activity_count{state="idle"}': "10x6 81x60", "pg_settings_max_connections": "100x66"}, "2m", "140s"
    ),
    "LongTransaction": Case(
        {
            'pg_stat_activity_max_tx_duration{usename="flaglearning_user"}': "0x6 0+10x60",
            'pg_stat_activity_max_tx_duration{usename=""}': "600x66",  # the autovacuum
            'pg_stat_activity_max_tx_duration{usename="flaglearning_ops"}': "600x66",  # a dump
        },
        "5m50s",
        "6m30s",
    ),
    "Deadlocks": Case({'pg_stat_database_deadlocks{datname="flaglearning_dev"}': "4x12 5x60"}, "110s", "140s"),
    "TransactionIdAge": Case(
        {'pg_database_wraparound_age_datfrozenxid_seconds{datname="postgres"}': "2e8x6 6e8x10"}, "50s", "80s"
    ),
    "CheckpointsForced": Case({"pg_stat_checkpointer_num_requested_total": "0x6 0+1x60"}, "60s", "4m"),
    "SlotInactive": Case(
        {'pg_replication_slot_slot_is_active{slot_name="x"}': "1x6 0x60", "pg_replication_is_replica": "0x66"},
        "5m50s",
        "6m20s",
    ),
    "SlotLosingWal": Case(
        {
            'pg_replication_slot_safe_wal_size_bytes{slot_name="x"}': "8e9x6 1e9x60",
            "pg_settings_max_slot_wal_keep_size_bytes": "8e9x66",
        },
        "50s",
        "80s",
    ),
    "ReplicationLag": Case(
        {'pg_stat_replication_pg_wal_lsn_diff{application_name="db2",state="streaming"}': "0x6 2e7x60"}, "115s", "130s"
    ),
    # every member is unreachable: there is no series of Patroni's at all
    "NoPrimary": Case(
        {'patroni_primary{host="db1"}': "1x6 stale", 'up{job="patroni",host="db1"}': "1x6 0x60"}, "85s", "110s"
    ),
    # the server itself says it, whatever its Patroni says
    "TwoPrimaries": Case(
        {
            'patroni_primary{host="db1"}': "1x66",
            'patroni_primary{host="db2"}': "0x66",
            'pg_replication_is_replica{host="db1"}': "0x66",
            'pg_replication_is_replica{host="db2"}': "1x6 0x60",
        },
        "85s",
        "110s",
    ),
    "CommitsWaiting": Case(
        {
            'pg_stat_activity_max_tx_duration{host="db1",wait_event="SyncRep"}': "0.1x6 0+10x60",
            'pg_stat_activity_max_tx_duration{host="db1",wait_event="ClientRead"}': "60x66",
        },
        "75s",
        "100s",
    ),
    "PrimaryUnreachable": Case(
        {'haproxy_backend_active_servers{proxy="postgres"}': "1x6 0x60", 'patroni_primary{host="db1"}': "1x66"},
        "85s",
        "110s",
    ),
    "NoSyncStandby": Case(
        {
            'patroni_primary{host="db1"}': "1x66",
            'patroni_sync_standby{host="db1"}': "0x66",
            'patroni_quorum_standby{host="db1"}': "0x66",
            'patroni_sync_standby{host="db2"}': "0x6 stale",
            'patroni_quorum_standby{host="db2"}': "1x6 stale",
        },
        "85s",
        "110s",
    ),
    "MemberLost": Case(
        {
            'up{job="patroni",host="db1"}': "1x66",
            'patroni_primary{host="db1"}': "1x66",
            'patroni_postgres_streaming{host="db1"}': "0x66",
            'up{job="patroni",host="db2"}': "1x66",
            'patroni_primary{host="db2"}': "0x66",
            'patroni_postgres_streaming{host="db2"}': "1x6 0x60",
        },
        "115s",
        "130s",
    ),
    "FailoverHappened": Case({'patroni_postgres_timeline{host="db1"}': "1x66 2x60"}, "11m50s", "12m30s"),
    "PatroniPaused": Case({'patroni_is_paused{host="db1"}': "0x6 1x150"}, "15m50s", "16m20s"),
    "MemberRestartPending": Case({'patroni_pending_restart{host="db1"}': "0x6 1x150"}, "15m50s", "16m20s"),
    "EtcdNoQuorum": Case(
        {
            'up{job="etcd",host="db1"}': "1x66",
            'up{job="etcd",host="db2"}': "1x3 0x63",  # one is no loss of the majority
            'up{job="etcd",host="db3"}': "1x6 0x60",
            'etcd_server_has_leader{host="db1"}': "1x6 0x60",
            'etcd_server_has_leader{host="db2"}': "1x3 stale",
            'etcd_server_has_leader{host="db3"}': "1x6 stale",
        },
        "70s",
        "100s",
    ),
    "EtcdMemberLost": Case({'up{job="etcd",host="db1"}': "1x6 0x60"}, "115s", "130s"),
    "EtcdSlow": Case(
        {
            'etcd_disk_wal_fsync_duration_seconds_bucket{host="db1",le="0.001"}': "0+10x6 60+0x90",
            'etcd_disk_wal_fsync_duration_seconds_bucket{host="db1",le="0.256"}': "0+10x6 60+0x90",
            'etcd_disk_wal_fsync_duration_seconds_bucket{host="db1",le="0.512"}': "0+10x96",
            'etcd_disk_wal_fsync_duration_seconds_bucket{host="db1",le="+Inf"}': "0+10x96",
        },
        "5m50s",
        "7m",
        'host="db1"',
    ),
    "EtcdUnstable": Case({'etcd_server_leader_changes_seen_total{host="db1"}': "1x12 4x12 8x60"}, "230s", "270s"),
    "EtcdSpace": Case(
        {
            'etcd_mvcc_db_total_size_in_bytes{host="db1"}': "2e8x6 2.2e8x60",
            'etcd_server_quota_backend_bytes{host="db1"}': "268435456x66",
        },
        "115s",
        "130s",
    ),
    "ArchiveFailing": Case({"pg_stat_archiver_failed_count": "0x6 1x12 2x40"}, "110s", "140s"),
    "ArchiveLate": Case({"flaglearning_archive_exposed_seconds": "60x6 181x10"}, "50s", "80s"),
    "ArchiveBacklog": Case({"flaglearning_archive_waiting_segments": "32x6 33x10"}, "50s", "80s"),
    "BackupOld": Case({"flaglearning_backup_newest_timestamp_seconds": f"{-26 * 3600 + 60}x20"}, "50s", "80s"),
    "BackupMissing": Case({"flaglearning_backup_count": "0x300"}, "29m50s", "30m20s"),
    "BackupDamaged": Case({"flaglearning_backup_damaged_count": "0x6 1x10"}, "50s", "80s"),
    "BackupRepositoryUnusable": Case({"flaglearning_backup_repository_ok": "1x6 0x60"}, "2m50s", "3m20s"),
    "BackupServiceSilent": Case({"flaglearning_backup_checked_timestamp_seconds": "0+10x6 60x180"}, "15m50s", "16m30s"),
    "DrillFailed": Case({"flaglearning_backup_drill_passed": "1x6 0x10"}, "50s", "80s"),
    "DrillOld": Case({"flaglearning_backup_drill_last_timestamp_seconds": f"{-8 * DAY + 60}x20"}, "50s", "80s"),
    "DumpOld": Case({"flaglearning_dump_newest_timestamp_seconds": f"{-26 * 3600 + 60}x20"}, "50s", "80s"),
    "PoolerDown": Case({"pgbouncer_up": "1x6 0x60"}, "85s", "110s"),
    "PoolerWaiting": Case({'pgbouncer_pools_client_maxwait_seconds{database="d",user="u"}': "0x6 2x60"}, "85s", "110s"),
    "PoolerStuck": Case(
        {
            "pgbouncer_pools_client_waiting_connections": "0x6 3x60",
            "pgbouncer_pools_server_active_connections": "1x6 0x60",
        },
        "2m20s",
        "2m50s",
    ),
    "SiteDown": Case({"flaglearning_site_up": "1x6 0x60"}, "85s", "110s"),
    "HttpErrors": Case(
        {
            'http_requests_total{status="2xx"}': "0+100x60",
            'http_requests_total{status="5xx"}': "0x6 0+2x60",
        },
        "100s",
        "3m30s",
    ),
    "HttpSlow": Case(
        {
            'http_request_seconds_bucket{le="0.5"}': "0+10x6 60x60",
            'http_request_seconds_bucket{le="1"}': "0+10x66",
            'http_request_seconds_bucket{le="+Inf"}': "0+10x66",
            "http_request_seconds_count": "0+10x66",
        },
        "2m50s",
        "5m",
    ),
    "NewFailure": Case(
        {
            'app_failures_total{type="KeyError",place="old"}': "1x200",
            'app_failures_total{type="KeyError",place="new"}': "_x63 1x10",
        },
        "10m20s",
        "10m40s",
    ),
    "CertificateInvalid": Case({'flaglearning_certificate_valid{service="proxy"}': "1x6 0x60"}, "115s", "130s"),
    "CertificateExpires": Case(
        {'flaglearning_certificate_expiry_timestamp_seconds{service="proxy"}': f"{14 * DAY + 60}x20"}, "50s", "80s"
    ),
    "CertificateExpiresSoon": Case(
        {'flaglearning_certificate_expiry_timestamp_seconds{service="proxy"}': f"{3 * DAY + 60}x20"}, "50s", "80s"
    ),
    "DiskFilling": Case(
        {
            'node_filesystem_avail_bytes{mountpoint="/disks/dumps"}': "50x6 19x60",
            'node_filesystem_size_bytes{mountpoint="/disks/dumps"}': "100x66",
        },
        "2m50s",
        "3m20s",
    ),
    "DiskFull": Case(
        {
            'node_filesystem_avail_bytes{mountpoint="/disks/dumps"}': "50x6 9x60",
            'node_filesystem_size_bytes{mountpoint="/disks/dumps"}': "100x66",
        },
        "115s",
        "130s",
    ),
    "MemoryLow": Case(
        {"node_memory_MemAvailable_bytes": "50x6 9x60", "node_memory_MemTotal_bytes": "100x66"}, "2m50s", "3m20s"
    ),
    "OomKill": Case({"node_vmstat_oom_kill": "7x12 8x60"}, "110s", "140s"),
    "UnitFailed": Case(
        {'flaglearning_unit_failed{unit="flaglearning-dump-nightly.service"}': "_x6 1x10"}, "50s", "80s"
    ),
    "LogsLate": Case({'flaglearning_logs_unsent_since_timestamp_seconds{host="db1"}': "0x120"}, "14m50s", "15m20s"),
    "ClockOff": Case(
        {"node_timex_offset_seconds": "0.001x6 -0.06x600", "node_timex_sync_status": "1x606"}, "60m", "62m"
    ),
    "SecurityUpdatePending": Case(
        {'flaglearning_updates_security_since_timestamp_seconds{image="proxy"}': f"{-7 * DAY + 60}x20"}, "50s", "80s"
    ),
    "VulnerabilityKnown": Case(
        {'flaglearning_vulnerabilities_fixable_since_timestamp_seconds{image="app"}': f"{-7 * DAY + 60}x20"},
        "50s",
        "80s",
    ),
    "AdvisoriesOld": Case(
        {'flaglearning_advisories_timestamp_seconds{file="trixie"}': f"{-7 * DAY + 60}x20"}, "50s", "80s"
    ),
    "UpdateCheckOld": Case({"flaglearning_updates_checked_timestamp_seconds": f"{-2 * DAY + 60}x20"}, "50s", "80s"),
    "RebootPending": Case(
        {"flaglearning_reboot_required_since_timestamp_seconds": f"{-7 * DAY + 60}x20"}, "50s", "80s"
    ),
    "Watchdog": Case({"up": "1x6"}, "", "10s"),
}


MISSING = ("MetricMissing", "UnitCheckOld", "JobNeverRan")  # of rules/missing.yml


def promtool_tests(folder: str, missing: bool) -> dict[str, Any]:
    """The cases of one file of rules as promtool's file of unit tests."""
    return {
        "rule_files": [f"{folder}/{'missing' if missing else 'alerts'}.yml"],
        "evaluation_interval": "30s" if missing else "10s",  # its times are long
        "tests": [test_of(alert, case) for alert, case in CASES.items() if (alert in MISSING) is missing],
    }


def test_of(alert: str, case: Case) -> dict[str, Any]:
    """One test of that file."""
    firing = f'count by (alertname) (ALERTS{{alertname="{alert}", alertstate="firing", {case.labels}}})'
    silent = [{"expr": firing, "eval_time": case.quiet, "exp_samples": []}] if case.quiet else []
    sample = {"labels": f'{{alertname="{alert}"}}', "value": 1}
    return {
        "name": alert,
        "interval": "10s",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "promql_expr_test": [*silent, {"expr": firing, "eval_time": case.fires, "exp_samples": [sample]}],
    }
