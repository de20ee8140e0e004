"""Backups: created, proven and restored by pgBackRest. `pgbackup VERB [PARAMETERS]`, JSON in and out.

It runs as the server's own user, in one-shots of the services `backup`, `restore` and `sandbox` (docker-compose.yml),
which ./scripts/ops starts (scripts/lib/ops/flows).

    pgbackrest.py      the program, its answers, and what its errors mean
    server.py          the server, through the socket, and its data directory
    restore_points.py  heartbeat rows; restore points whose every row is recorded
    timelines.py       which backups belong to the history of the current database
    target.py          where a restore goes: --to, --latest, --backup; the recovery window
    target_time.py     the time that a person types
    recovery.py        a data directory from the repository; the new one in the place of the old
    drill.py           whether the restored rows are those that were recorded
    repository2.py     the repository on the backup host, and that host's service
    facts.py           what is known about backups and archiving; metrics.py: the same for Prometheus
    schedule.py        when a backup is due; the service `backup` of a machine without systemd
"""
