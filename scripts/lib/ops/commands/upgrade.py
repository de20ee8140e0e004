"""A new major version of PostgreSQL."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ops.cli import DEPLOY, JSON, YES, command, flag, option
from ops.flows import upgrade as flow
from ops.output import note, say, show, show_json
from user_errors import OperationError, UserError


@command(
    "upgrade", DEPLOY, "Upgrade the data directory of an older major version of PostgreSQL, in place",
    flag("--check", exclusive="?what", help="run pg_upgrade's checks only; PostgreSQL stops for them"),
    flag(
        "--rehearse", exclusive="?what",
        help="upgrade the newest backup beside the stack, compare, try the application's requests, and remove it",
    ),
    option(
        "--statements", type=Path, metavar="FILE",
        help="with --rehearse: compare the plans of these (./scripts/ops slow-queries --json >FILE)",
    ),
    flag("--back", exclusive="?what", help="set the new data directory aside; the old one is kept unchanged"),
    flag("--no-backup", help="make no full backup afterwards (for upgrade.yml, which makes it)"),
    option(
        "--image", exclusive="?what", default="", metavar="MAJOR",
        help="build the image with both versions only (for upgrade.yml)",
    ),
    option("--suite", default="", metavar="NAME", help="the Debian release that has the older version"),
    YES, JSON,
)  # fmt: skip
def upgrade(asked: argparse.Namespace) -> None:
    """pg_upgrade copies: the old data directory stays, and the disk has to have room for both. Requests fail with 503
    until the new version serves. Afterwards the statistics are made anew, and a full backup where backups are made."""
    if asked.statements and not asked.rehearse:
        raise UserError("--statements belongs to --rehearse", "./scripts/ops upgrade --rehearse --statements FILE")
    if asked.no_backup and (asked.image or asked.rehearse or asked.back or asked.check):
        raise UserError("--no-backup belongs to the upgrade itself", "./scripts/ops upgrade --no-backup")
    if asked.image:
        say(flow.image(asked.image, asked.suite))
    elif asked.rehearse:
        rehearse(asked)
    elif asked.back:
        flow.back(asked.yes)
    else:
        flow.run(asked.suite, asked.check, asked.yes, not asked.no_backup)


def rehearse(asked: argparse.Namespace) -> None:
    """Raises OperationError when the upgraded rows are others, or when a request of the application fails on them."""
    report = flow.rehearse(asked.suite, asked.statements)
    if asked.json:
        show_json(report)
    else:
        show(report["checks"], False, empty="nothing was compared")
        columns = ("plan", "cost_before", "cost_after", "query")
        rows = [{name: one[name] for name in columns} for one in report["statements"]]
        show(rows, False, empty="none: --statements names a file of them", title="Plans")
        show(report["requests"], False, empty="the application has none", title=f"Requests of {report['image']}")
    if report["untried"]:
        note(f"not tried, as no visit has them (app/core/visitor.py): {', '.join(report['untried'])}")
    took = report["seconds"]
    note(", ".join(f"{name} {value:.1f} s" for name, value in took.items()))
    note(f"the downtime would be about {took['pg_upgrade'] + took['start']:.0f} s")
    require(report)


def require(report: dict[str, Any]) -> None:
    """Raises OperationError when a check or a request of a rehearsal has failed."""
    failed = {one["check"]: one["saw"] for one in report["checks"] if not one["ok"]}
    lacking = failed.pop(flow.SCHEMA, "")
    if failed:
        found = "; ".join(f"not true: {check} ({saw})" for check, saw in failed.items())
        raise OperationError("the upgraded backup differs", "keep the previous version", found)
    if lacking:
        raise OperationError(
            f"the backup is not of {report['image']}",
            "./scripts/ops backup create, and rehearse again; with the version of the backup: APP_TAG=TAG before it",
            lacking,
        )
    errors = [f"{one['request']}: {one['error']}" for one in report["requests"] if one["error"]]
    if errors:
        raise OperationError(
            f"{len(errors)} of {len(report['requests'])} requests of {report['image']} fail on the upgraded backup",
            "keep the previous version; correct the application, ./scripts/ops rollout TAG, and rehearse again",
            "; ".join(errors),
        )
