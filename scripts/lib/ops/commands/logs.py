"""The logs of all services as one time line."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

from ops import containers, docker, log_lines
from ops.cli import JSON, MONITOR, command, option
from ops.output import note, printable, show_json, styled
from user_errors import OperationError, UserError

RECEIVED = Path(
    "/var/log/journal/remote"
)  # of other hosts, on the monitoring host: a folder for each (ansible/roles/logs)
ALL = "all"
STYLES = {"error": "31", "warning": "33", "info": "0", "debug": "2"}


@command(
    "logs", MONITOR, "Print the logs of all services in the order of their time",
    option("services", nargs="*", metavar="SERVICE", help="only these services"),
    option("--since", default="15m", metavar="TIME", help="an age like 2h, or 2026-11-30T04:00:00Z (default: 15m)"),
    option("--host", default="", metavar="HOST", help="on the monitoring host: what this host has sent, or all"),
    option("--level", choices=log_lines.LEVELS, default="info", help="lines of this level or a more severe one"),
    option("--request-id", default="", metavar="ID", help="only lines with this id: an error page shows it"),
    JSON,
)  # fmt: skip
def logs(asked: argparse.Namespace) -> None:
    """A request's id leads from the visitor's error page through nginx to the application. The level is the one that
    the program wrote; a response with a status from 500 counts as an error."""
    if asked.host:
        lines = received(asked.host, asked.services, asked.since)
    elif in_the_journal():
        lines = journal(asked.services, asked.since)
    else:
        lines = of_containers(asked.services, asked.since)
    found = log_lines.wanted(lines, asked.level, asked.request_id)
    if asked.json:
        show_json([line._asdict() for line in found])
        return
    names = [f"{line.host} {line.service}".lstrip() for line in found]
    width = max(map(len, names), default=0)
    for line, name in zip(found, names):
        print(styled(f"{line.time[:23]} {name:<{width}} {printable(line.text, '')}", STYLES[line.level]))
    if not found:
        note(f"no line since {asked.since}")


def of_containers(services: list[str], since: str) -> list[log_lines.Line]:
    """What the containers that exist have logged. Raises OperationError."""
    words = ("logs", "--no-color", "--timestamps", "--since", since, *services)
    return log_lines.time_line(printed(docker.compose(*words), "docker compose logs"), str(containers.config()["name"]))


def journal(services: list[str], since: str) -> list[log_lines.Line]:
    """What the project's containers have logged, also those that are gone. Raises OperationError."""
    return log_lines.time_line_of_journal(entries(since), [str(containers.config()["name"])], services)


def received(host: str, services: list[str], since: str) -> list[log_lines.Line]:
    """What another host's containers have logged, as it has sent it here. `all`: those of every host, with this one's.
    Raises UserError, OperationError."""
    known = sorted(folder.name for folder in RECEIVED.iterdir()) if RECEIVED.is_dir() else []
    if not known:
        raise UserError("this host has received no other host's log", "run it on the monitoring host")
    if host not in [*known, ALL]:
        raise UserError(f"no log of the host {host} is here", f"--host {ALL}, or one of {', '.join(known)}")
    here = str(containers.config()["name"])
    projects = [here, here[: -len("-monitoring")] if here.endswith("-monitoring") else here]

    def lines_of(name: str, *where: str) -> list[log_lines.Line]:
        return log_lines.time_line_of_journal(entries(since, *where), projects, services, name)

    found = [lines_of(name, f"--directory={RECEIVED / name}") for name in known if host in (name, ALL)]
    return log_lines.merged([*found, *([lines_of(socket.gethostname())] if host == ALL else [])])


def entries(since: str, *where: str) -> list[str]:
    """The journal's entries of all containers, each as JSON. `where`: of another journal than this host's. Raises
    OperationError."""
    words = ["journalctl", "--output=json", "--no-pager", "--quiet", *where, "_SYSTEMD_UNIT=docker.service"]
    return printed([*words, f"--since={log_lines.since_of_journal(since)}"], "journalctl")


def in_the_journal() -> bool:
    """Whether the services log to this host's journal (docker/compose/host-journald.yml)."""
    return any(one.get("logging", {}).get("driver") == "journald" for one in containers.config()["services"].values())


def printed(words: list[str], program: str) -> list[str]:
    """The lines that a program prints. Raises OperationError."""
    done = containers.completed(words, quiet=True)
    if done.returncode:
        raise OperationError(f"{program} failed", "./scripts/ops logs --help", done.stderr.strip())
    return done.stdout.splitlines()
