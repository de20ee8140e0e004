"""Which compose files a deployment with monitoring has."""

from __future__ import annotations

import os

from ops import containers, dotenv
from ops.output import note

OVERLAY = "docker/compose/monitoring.yml"
PRODUCTION = "docker/compose/production.yml"
PRODUCTION_OVERLAY = "docker/compose/monitoring-production.yml"


def with_monitoring(files: list[str]) -> list[str]:
    """The compose files with monitoring's, each once."""
    wanted = [OVERLAY, PRODUCTION_OVERLAY] if PRODUCTION in files else [OVERLAY]
    return [*files, *(file for file in wanted if file not in files)]


def is_there() -> bool:
    """Whether this project has monitoring's containers, running or not, also when COMPOSE_FILE lacks them."""
    labels = (f"project={containers.config()['name']}", "service=prometheus")
    filters = [f"--filter=label=com.docker.compose.{label}" for label in labels]
    return bool(containers.run(["docker", "ps", "--all", "--quiet", *filters], quiet=True).strip())


def use() -> None:
    """From now on, docker compose of this process has monitoring's services."""
    os.environ["COMPOSE_FILE"] = dotenv.separator().join(with_monitoring(dotenv.named_files()))
    containers.config.cache_clear()


def choose() -> None:
    """The same, and record it in .env: this folder's stack has monitoring from now on."""
    use()
    text, files = dotenv.read(), os.environ["COMPOSE_FILE"]
    if dotenv.value(text, "COMPOSE_FILE") != files and dotenv.write(dotenv.with_variable(text, "COMPOSE_FILE", files)):
        note(f"{dotenv.path()}: COMPOSE_FILE={files} (take monitoring's files out of it to end monitoring)")
