"""Docker command lines, as pure functions: lists of words, nothing is run here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

COMPOSE = ("docker", "compose")


def compose(*words: str) -> list[str]:
    """docker compose WORDS, on the deployment that COMPOSE_FILE (or its default) names."""
    return [*COMPOSE, *words]


def exec_in(service: str, *command: str, environment: Mapping[str, str] | None = None, tty: bool = False) -> list[str]:
    """A command in the running container of a service."""
    return compose("exec", *_tty(tty), *_environment(environment), service, *command)


RUNNING = '{{.Label "com.docker.compose.service"}} {{.Label "com.docker.compose.container-number"}} {{.ID}}'


def running_of(project: str) -> list[str]:
    """The running containers of a project: a line each, RUNNING's words."""
    labels = [f"label=com.docker.compose.{label}" for label in (f"project={project}", "oneoff=False")]
    filters = [word for one in ("status=running", *labels) for word in ("--filter", one)]
    return ["docker", "ps", *filters, "--format", RUNNING]


def first_of_each(printed: str) -> dict[str, str]:
    """Service → the id of its first container, which `docker compose exec` means, too."""
    lines = sorted((line.split() for line in printed.splitlines()), key=lambda words: -int(words[1]))
    return {service: container for service, _, container in lines}


def direct(argv: Sequence[str], running: Mapping[str, str]) -> list[str]:
    """What `exec_in` made for a program without a terminal, as a command of Docker itself, which reads no compose file;
    unchanged when the service is not running: then Compose says it."""
    words = [*argv]
    if words[:4] != [*COMPOSE, "exec", "--no-TTY"]:
        return words
    place = 4
    while words[place] == "--env":
        place += 2
    container = running.get(words[place])
    return ["docker", "exec", "--interactive", *words[4:place], container, *words[place + 1 :]] if container else words


def run_in(
    service: str,
    *command: str,
    entrypoint: str = "",
    environment: Mapping[str, str] | None = None,
    name: str = "",
    options: Sequence[str] = (),
    tty: bool = False,
    remove: bool = True,
) -> list[str]:
    """A one-shot container of a service, removed when it ends (`remove`); what it depends on is not started."""
    words = ["run", *(["--rm"] if remove else []), "--no-deps", *_tty(tty), *_environment(environment), *options]
    if name:
        words += ["--name", name]
    if entrypoint:
        words += ["--entrypoint", entrypoint]
    return compose(*words, service, *command)


def verb(name: str, parameters: Mapping[str, Any]) -> list[str]:
    """A verb of a container's program: its name, and its parameters as one JSON object."""
    return [name, json.dumps(parameters, sort_keys=True)] if parameters else [name]


def _tty(tty: bool) -> list[str]:
    return [] if tty else ["--no-TTY"]


def _environment(environment: Mapping[str, str] | None) -> list[str]:
    return [word for name, value in (environment or {}).items() for word in ("--env", f"{name}={value}")]
