"""The logs of all services as one time line."""

from __future__ import annotations

import argparse

from ops import containers, docker, log_lines
from ops.cli import JSON, MONITOR, command, option
from ops.output import note, printable, show_json, styled
from user_errors import OperationError

STYLES = {"error": "31", "warning": "33", "info": "0", "debug": "2"}


@command(
    "logs", MONITOR, "Print the logs of all services in the order of their time",
    option("services", nargs="*", metavar="SERVICE", help="only these services"),
    option("--since", default="15m", metavar="TIME", help="an age like 2h, or 2026-11-30T04:00:00Z (default: 15m)"),
    option("--level", choices=log_lines.LEVELS, default="info", help="lines of this level or a more severe one"),
    option("--request-id", default="", metavar="ID", help="only lines with this id: an error page shows it"),
    JSON,
)  # fmt: skip
def logs(asked: argparse.Namespace) -> None:
    """A request's id leads from the visitor's error page through nginx to the application. The level is the one that
    the program wrote; a response with a status from 500 counts as an error."""
    lines = journal(asked.services, asked.since) if in_the_journal() else of_containers(asked.services, asked.since)
    found = log_lines.wanted(lines, asked.level, asked.request_id)
    if asked.json:
        show_json([line._asdict() for line in found])
        return
    width = max((len(line.service) for line in found), default=0)
    for line in found:
        print(styled(f"{line.time[:23]} {line.service:<{width}} {printable(line.text, '')}", STYLES[line.level]))
    if not found:
        note(f"no line since {asked.since}")


def of_containers(services: list[str], since: str) -> list[log_lines.Line]:
    """What the containers that exist have logged. Raises OperationError."""
    words = ("logs", "--no-color", "--timestamps", "--since", since, *services)
    return log_lines.time_line(printed(docker.compose(*words), "docker compose logs"), str(containers.config()["name"]))


def journal(services: list[str], since: str) -> list[log_lines.Line]:
    """What the project's containers have logged, also those that are gone. Raises OperationError."""
    since = log_lines.since_of_journal(since)
    words = ["journalctl", "--output=json", "--no-pager", "--quiet", f"--since={since}", "_SYSTEMD_UNIT=docker.service"]
    project = str(containers.config()["name"])
    return log_lines.time_line_of_journal(printed(words, "journalctl"), project, services)


def in_the_journal() -> bool:
    """Whether the services log to this host's journal (docker/compose/host-journald.yml)."""
    return any(one.get("logging", {}).get("driver") == "journald" for one in containers.config()["services"].values())


def printed(words: list[str], program: str) -> list[str]:
    """The lines that a program prints. Raises OperationError."""
    done = containers.completed(words, quiet=True)
    if done.returncode:
        raise OperationError(f"{program} failed", "./scripts/ops logs --help", done.stderr.strip())
    return done.stdout.splitlines()
