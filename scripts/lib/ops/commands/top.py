"""What PostgreSQL does now, and did in a day: pg_activity, pgBadger."""

from __future__ import annotations

import argparse
import datetime
import json

from ops import containers, docker
from ops.cli import JSON, MONITOR, command, flag, option
from ops.output import say, show_json
from user_errors import UserError

KEEP = "REPORTS_KEEP_DAYS"


@command(
    "top", MONITOR, "Show the running, waiting and blocking statements, live (pg_activity)",
    option("arguments", nargs=argparse.REMAINDER, metavar="…", help="pg_activity's own options: --refresh 5"),
)  # fmt: skip
def top(asked: argparse.Namespace) -> int:
    """Statements of a request begin with its id, unless prepared. Keys: h lists them, q leaves, K ends a session."""
    if not containers.is_terminal():
        raise UserError("pg_activity needs a terminal", "./scripts/ops sessions prints the sessions once")
    return containers.attach(docker.run_in("ops", *docker.verb("top", {"arguments": asked.arguments}), tty=True))


@command(
    "report logs", MONITOR, "Write pgBadger's report of a day of PostgreSQL's log to REPORTS_DIR",
    option("--day", metavar="DATE", default="yesterday", help="2026-11-30, yesterday (default) or today; UTC"),
    flag("--stdout", help="print the report (HTML) instead of keeping it"),
    JSON,
)  # fmt: skip
def report(asked: argparse.Namespace) -> None:
    """Reports older than REPORTS_KEEP_DAYS are deleted. They have no literals of statements."""
    day = day_of(asked.day, datetime.datetime.now(datetime.timezone.utc).date())
    services = containers.members() or ["postgres"]
    log = containers.run(
        docker.compose("logs", "--no-color", "--no-log-prefix", "--since", f"{day}T00:00:00Z", *services)
    )
    keep = containers.environment_of("ops")[KEEP]
    if not keep.isdecimal():
        raise UserError(f"{KEEP} is {keep!r}, which is not a number of days", f"{KEEP}=30 in .env")
    parameters = {"day": day, "keep": int(keep), "to_stdout": asked.stdout}
    printed = containers.run(docker.run_in("ops", *docker.verb("report-logs", parameters)), stdin=log)
    if asked.stdout:
        print(printed, end="")
        return
    done = json.loads(printed)
    if asked.json:
        show_json(done)
    else:
        say(f"{done['file']}: {done['lines']} lines of {day}; {len(done['removed'])} old reports deleted")


def day_of(text: str, today: datetime.date) -> str:
    """The date that an option names. Raises UserError."""
    if text in ("today", "yesterday"):
        return str(today - datetime.timedelta(days=text == "yesterday"))
    try:
        return str(datetime.datetime.strptime(text, "%Y-%m-%d").date())
    except ValueError:
        raise UserError(f"{text} is no date", "--day 2026-11-30") from None
