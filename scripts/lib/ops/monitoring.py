"""Which compose files a deployment with monitoring has."""

from __future__ import annotations

import os

from ops import containers, dotenv
from ops.output import note
from user_errors import UserError

OVERLAY = "docker/compose/monitoring.yml"
PRODUCTION = "docker/compose/production.yml"
PRODUCTION_OVERLAY = "docker/compose/monitoring-production.yml"
CLUSTER = "docker/compose/cluster.yml"
CLUSTER_OVERLAY = "docker/compose/cluster-monitoring.yml"
HOST = "docker/compose/host-monitoring.yml"  # of an inventory's monitoring host
MONITORED = "docker/compose/host-exporters.yml"  # of its other hosts


def with_monitoring(files: list[str]) -> list[str]:
    """The compose files with monitoring's, each once."""
    if HOST in files:
        return files
    wanted = [
        OVERLAY,
        *([PRODUCTION_OVERLAY] if PRODUCTION in files else []),
        *([CLUSTER_OVERLAY] if CLUSTER in files else []),
    ]
    return [*files, *(file for file in wanted if file not in files)]


def is_there() -> bool:
    """Whether this project has monitoring's containers, running or not, also when COMPOSE_FILE lacks them."""
    labels = (f"project={containers.config()['name']}", "service=prometheus")
    filters = [f"--filter=label=com.docker.compose.{label}" for label in labels]
    return bool(containers.run(["docker", "ps", "--all", "--quiet", *filters], quiet=True).strip())


def require_here() -> None:
    """Raises UserError on a host whose alerts are another host's work."""
    if MONITORED in dotenv.named_files():
        host = dotenv.value(dotenv.read(), "MONITORING_HOST") or "the monitoring host"
        raise UserError(
            f"Alertmanager runs on {host}",
            f"on {host}: cd /opt/flaglearning-monitoring && sudo ./scripts/ops alert list",
        )


def use() -> None:
    """From now on, docker compose of this process has monitoring's services."""
    wanted = with_monitoring(dotenv.named_files())
    if (
        wanted != dotenv.named_files()
    ):  # else .env may stay the one that names them: Compose reads it from another folder then
        os.environ["COMPOSE_FILE"] = dotenv.separator().join(wanted)
        containers.config.cache_clear()


def choose() -> None:
    """The same, and record it in .env: this folder's stack has monitoring from now on."""
    use()
    text, files = dotenv.read(), dotenv.separator().join(dotenv.named_files())
    if dotenv.value(text, "COMPOSE_FILE") != files and dotenv.write(dotenv.with_variable(text, "COMPOSE_FILE", files)):
        note(f"{dotenv.path()}: COMPOSE_FILE={files} (take monitoring's files out of it to end monitoring)")
