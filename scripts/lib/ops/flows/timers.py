"""systemd timers of production on one machine: dumps, drills, checks. On Ansible's hosts the role `timers` installs the
same units, of the same file (timers.json)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ops import containers
from ops.flows import failure_reports
from ops.output import note, say
from user_errors import UserError

UNITS = Path("/etc/systemd/system")
STAMPS = Path("/var/lib/systemd/timers")  # systemd's, of each timer's last run or first start
RUNS = Path("/run/systemd/system")  # exists where systemd is the init process
BY_HAND = "without systemd, let cron run the commands that `./scripts/ops timers install --dry-run` prints"
AFTER = "# After the stack and the units before this one in the list: started together, they run one after the other."

Timers = dict[str, dict[str, Any]]


def declared() -> dict[str, Timers]:
    """Group → timer → its properties: of a database host, of one with repository 2, with ACME; of a backup host."""
    found: dict[str, Timers] = json.loads(Path(__file__).parents[1].joinpath("timers.json").read_text(encoding="utf-8"))
    return found


def wanted() -> Timers:
    """The timers of this machine."""
    groups, services = declared(), containers.config()["services"]
    second = "PGBACKREST_REPO2_PATH" in (services["backup"].get("environment") or {})
    acme = containers.environment_of("acme").get("ACME_EMAIL")
    return {
        **groups["database"],
        **(groups["repository-2"] if second else {}),
        **(groups["acme"] if acme else {}),
    }


def units(timers: Timers, folder: Path) -> dict[str, str]:
    """File name → text of each service and timer, for a checkout in `folder`. A pure function."""
    made, before = {}, ["docker.service", "flaglearning.service"]
    header = "# Made from scripts/lib/ops/timers.json by Ansible's role timers or ./scripts/ops timers install.\n"
    for name, timer in timers.items():
        description = f"[Unit]\nDescription=flaglearning: {timer['description']}\n"
        environment = f"Environment={timer['environment']}\n" if "environment" in timer else ""
        made[f"{name}.service"] = (
            f"{header}{description}Requires=docker.service\n"
            f"{AFTER}\n"
            f"After={' '.join(before)}\n\n"
            f"[Service]\nType=oneshot\nWorkingDirectory={folder}\nEnvironment=HOME=/root\n{environment}"
            f"ExecStart={folder}/scripts/{timer.get('program', 'ops')} {timer['command']}\n"
        )
        made[f"{name}.timer"] = (
            f"{header}{description}\n[Timer]\nOnCalendar={timer['calendar']}\nRandomizedDelaySec={timer['delay']}\n"
            "# A run that was missed while the host was off is made up at boot.\nPersistent=true\n\n"
            "[Install]\nWantedBy=timers.target\n"
        )
        before.append(f"{name}.service")
    return made


def install(dry_run: bool) -> None:
    """Write the units, enable the timers, and start at once what is new: the first dump and the first drill."""
    containers.require_same_deployment()
    timers = wanted()
    texts = units(timers, Path.cwd())
    reporting = failure_reports.wanted()
    if dry_run:
        shown = {UNITS / name: text for name, text in texts.items()}
        for file, text in {**shown, **(failure_reports.files(UNITS, containers.config()) if reporting else {})}.items():
            if file != failure_reports.INSTALLED:
                say(f"--- {file}\n{text}")
        return
    if containers.environment_of("ops")["DEPLOYMENT"] == "development":
        raise UserError("timers are for production, and this folder means development", "docs/production.md")
    if not RUNS.exists():
        raise UserError("systemd does not run on this machine", BY_HAND)
    if os.geteuid():
        raise UserError("units are written as root only", "sudo ./scripts/ops timers install")
    first = [name for name, timer in timers.items() if not (STAMPS / f"stamp-{name}.timer").exists()]
    changed = [
        name for name, text in texts.items() if not (UNITS / name).exists() or (UNITS / name).read_text() != text
    ]
    for name in changed:
        (UNITS / name).write_text(texts[name], encoding="utf-8")
    if reporting:
        changed += failure_reports.install(UNITS)
    containers.run(["systemctl", "daemon-reload"])
    enabled = [*(f"{name}.timer" for name in timers), *([failure_reports.TIMER] if reporting else [])]
    containers.run(["systemctl", "enable", "--now", *enabled])
    if not reporting and not failure_reports.OF_ANSIBLE.exists():
        note("no monitoring is configured: a failed unit is seen with systemctl --failed only (docs/monitoring.md)")
    at_once = [service for name in first for service in timers[name]["first"]]
    if at_once:
        containers.run(["systemctl", "start", "--no-block", *(f"{service}.service" for service in at_once)])
        note(f"started: {', '.join(at_once)}; journalctl --follow --unit {at_once[-1]}")
    say(f"{len(timers)} timers are active, {len(changed)} unit files changed: systemctl list-timers 'flaglearning-*'")
