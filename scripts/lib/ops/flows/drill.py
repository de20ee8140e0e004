"""The restore drill: restore to a random restore point beside the stack, compare every row, record the report."""

from __future__ import annotations

import json
from typing import Any

from ops import backup_report, containers, docker
from ops.containers import Failed, pgbackup
from ops.flows import sandbox
from ops.output import note
from user_errors import OperationError

Check = dict[str, Any]
# Django with today's code, at the sandbox instance: the certificate and the name are verified, the address is another.
MIGRATE_CHECK = (
    'DATABASE_URL="$DATABASE_URL&hostaddr=$(getent ahostsv4 sandbox | head -n 1 | cut -d " " -f 1)" '
    "exec python manage.py migrate --check"
)


def run() -> dict[str, Any]:
    """The report of one drill, recorded on the live server and written to REPORTS_DIR."""
    chosen = pgbackup("choose")
    ready: dict[str, Any] | None = None
    try:
        with sandbox.temporary(chosen["plan"]) as ready:
            checks = [*compared(chosen), migrations(), checksums()]
    except OperationError as error:
        checks = [sandbox.failed_check("the backup can be restored", error)]
    environment = containers.environment_of("roles")
    report = backup_report.make(chosen, ready, checks, environment["DEPLOYMENT"], environment["APP_DATABASE"])
    pgbackup("record", stdin=json.dumps(report))
    write(report)
    return report


def compared(chosen: dict[str, Any]) -> list[Check]:
    """What the sandbox holds against what the live server recorded at that restore point."""
    try:
        checks: list[Check] = sandbox.execute("pgbackup", "prove", stdin=json.dumps(chosen))
    except Failed as error:
        return [sandbox.failed_check("the restored rows can be compared", error)]
    return checks


def migrations() -> Check:
    """The application's code runs on the restored database."""
    done = containers.completed(docker.run_in("migrate", "-ec", MIGRATE_CHECK, entrypoint="sh"), quiet=True)
    printed = " ".join((done.stdout + done.stderr).split())[-600:]
    saw = printed if done.returncode else "every migration of the application is applied"
    return {"check": "Django's migrate --check passes", "ok": done.returncode == 0, "saw": saw}


def checksums() -> Check:
    """Every page of the sandbox instance, whose server ends for it."""
    try:
        check: Check = sandbox.execute("pgbackup", "checksums")
    except Failed as error:
        return sandbox.failed_check("every page has its checksum", error)
    return check


def write(report: dict[str, Any]) -> None:
    """The newest report in the three forms that REPORTS_DIR holds. A folder that can't be written is only noted."""
    files = {
        "drill.json": json.dumps(report, indent=2, ensure_ascii=False) + "\n",
        "drill.html": backup_report.as_html(report),
        "flaglearning_backup_drill.prom": backup_report.as_metrics(report),
    }
    try:
        containers.client("report-write", stdin=json.dumps(files))
    except OperationError:
        note("the drill's report was recorded in the database, but not written to REPORTS_DIR")
