"""Stop the stack, or delete it with its data. `docker compose down` does neither for services of a profile that the
shell does not name, and exits with 0 when it leaves a volume that is in use."""

from __future__ import annotations

from typing import Any

from ops import containers, docker, monitoring
from ops.output import say
from ops.prompt import confirm_by_name
from user_errors import OperationError

# What is worth naming: the key of a volume of the compose files, or the path at which a service has a folder of the
# machine in its place → its content.
DATA = {
    "postgres-data": "the database",
    **{f"db{number}-data": f"the database of the cluster's member db{number}" for number in (1, 2, 3)},
    "repository": "all backups",
    "dumps": "all dumps",
    "reports": "drill reports",
    "prometheus-data": "Prometheus' metrics",
    "ca": "the CA of the certificates",
    "acme": "the certificate from the ACME server",
}
FOLDERS = {"/var/lib/pgbackrest": "all backups", "/dumps": "all dumps", "/reports": "drill reports"}


def down(volumes: bool, yes: bool, dry_run: bool) -> None:
    """Remove containers and networks; with `volumes` also the data in volumes, after a confirmation."""
    containers.require_same_deployment()
    if monitoring.is_there():
        monitoring.use()
    config = containers.config()
    project, existing = str(config["name"]), left(str(config["name"]))
    consequence = sentence(config, existing if volumes else [])
    if dry_run:
        say(f"{consequence} (Dry run: nothing was changed.)")
        return
    if volumes:
        confirm_by_name(consequence, project, yes)
    containers.run(docker.compose("--profile", "*", "down", "--remove-orphans", *(["--volumes"] if volumes else [])))
    if volumes and (still := left(project)):
        raise OperationError(
            f"{len(still)} volumes were not deleted: other containers use them",
            f"docker ps --all --filter volume={still[0]}; remove what it lists, then the same command again",
            ", ".join(still),
        )
    if not volumes:
        say(consequence)


def left(project: str) -> list[str]:
    """The names of the project's volumes."""
    words = ("docker", "volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={project}")
    return containers.run(list(words), quiet=True).split()


def sentence(config: dict[str, Any], deleted: list[str]) -> str:
    """What goes and what stays, of the rendered compose files and the volumes that are deleted. A pure function."""
    names = {str(volume["name"]): key for key, volume in config["volumes"].items()}
    gone = [f"{DATA[names[name]]} (volume {name})" for name in deleted if names.get(name) in DATA]
    kept = [f"{content} in {folder}" for folder, content in folders(config).items()]
    if deleted:
        return f"Deleted for good: {', '.join(gone)}. Kept: {', '.join([*kept, 'images, .env and secrets'])}."
    return (
        f"Containers and networks are removed. Kept: {', '.join(['all volumes', *kept, 'images, .env and secrets'])}."
    )


def folders(config: dict[str, Any]) -> dict[str, str]:
    """Folders of this machine that hold data, and what."""
    mounts = [mount for service in config["services"].values() for mount in service.get("volumes", [])]
    return {
        str(mount["source"]): FOLDERS[mount["target"]]
        for mount in mounts
        if mount["type"] == "bind" and mount["target"] in FOLDERS
    }
