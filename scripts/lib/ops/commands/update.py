"""Updates of the packages inside the images."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ops.cli import DEPLOY, JSON, YES, command, flag, option
from ops.flows import update as flow
from ops.output import note, say, show, show_json
from ops.packages import Update
from ops.prompt import confirm
from user_errors import OperationError, Status, UserError


@command(
    "update", DEPLOY, "Rebuild the images with current Debian packages, and roll them out without a failed request",
    flag("--check", exclusive="?what", help="only list what is pending; exit status 1 if a security update is"),
    option(
        "--advisories", type=Path, metavar="FOLDER",
        help="with --check: also known vulnerabilities, by files in FOLDER (default: ADVISORIES_DIR of .env, or none)",
    ),
    flag("--record", help="with --check: exit status 0 whatever is pending (for the timer: alerts judge the age)"),
    flag("--back", exclusive="?what", help="return to the images that ran before the last update"),
    flag("--build-only", exclusive="?what", help="build and show what changes; roll nothing out"),
    flag("--base-only", exclusive="?what", help="make the base image only (for update.yml)"),
    flag("--no-build", exclusive="?what", help="roll out the images that are here already"),
    YES, JSON,
)  # fmt: skip
def update(asked: argparse.Namespace) -> int:
    """PostgreSQL restarts with the pooler paused; pooler, app and proxy are exchanged. The previous images keep a tag
    for --back. A check is recorded in REPORTS_DIR."""
    if asked.check:
        return check(asked.json, flow.folder_of_advisories(asked.advisories), asked.record)
    if asked.advisories or asked.record:
        name = "--advisories" if asked.advisories else "--record"
        raise UserError(f"{name} belongs to --check", f"./scripts/ops update --check {name}")
    if asked.back:
        confirm("The images that ran before the last update serve again.", asked.yes)
        flow.back()
        return Status.OK
    if asked.base_only:
        flow.refresh_base()
        return Status.OK
    if asked.no_build:
        confirm("The images that are here are rolled out.", asked.yes)
        flow.roll_out()
        return Status.OK
    confirm("The images are rebuilt with current packages and rolled out: PostgreSQL restarts.", asked.yes)
    rows = flow.run(asked.build_only)
    show(rows, asked.json, empty="no package has changed")
    return Status.OK


def check(as_json: bool, advisories: Path | None, record: bool = False) -> int:
    """List what is pending, and what is known to be vulnerable. `record`: either is no failure."""
    found, known = flow.check(advisories)
    rows = [row(where, one) for where, updates in found.items() for one in updates]
    vulnerable = [{"image": where, **one._asdict()} for where, ones in known.items() for one in ones]
    fixable = [one for one in vulnerable if one["fix"]]
    if as_json:
        show_json({"updates": rows, "vulnerabilities": vulnerable} if advisories else rows)
    else:
        show(rows, False, empty="every image has the archive's newest packages")
        if advisories:
            empty = "none that has a fix"
            show(fixable, False, empty=empty, title="Known vulnerabilities")
            note(f"{len(vulnerable) - len(fixable)} more have no fix yet: --json lists them")
    if flow.REBOOT.exists():
        note("this host wants a reboot: its kernel or a library was updated")
    if record:
        return Status.OK
    secure = [one for one in rows if one["security"]]
    if secure:
        raise OperationError(f"{len(secure)} security updates are pending", "./scripts/ops update")
    if fixable:
        raise OperationError(
            f"{len(fixable)} known vulnerabilities have a fix",
            "./scripts/ops update; for Python packages: ./scripts/lock --upgrade, the tests, then ./scripts/ops update",
        )
    return Status.OK


def row(where: str, one: Update) -> dict[str, Any]:
    """A line of the listing."""
    published = datetime.fromtimestamp(one.since, timezone.utc).isoformat() if one.since else None
    return {
        "image": where, "package": one.package, "old": one.old, "new": one.new, "security": one.security,
        "published": published, "fixes": ", ".join(one.fixes),
    }  # fmt: skip


@command(
    "sbom", DEPLOY, "Write a bill of materials of each image (CycloneDX): Debian and Python packages",
    option("folder", metavar="FOLDER", help="where: NAME.cdx.json for each image"),
)  # fmt: skip
def sbom(asked: argparse.Namespace) -> None:
    """For scanners of known vulnerabilities, and for the record of what ran when."""
    say("\n".join(flow.write_bills(asked.folder)))
