"""A new version of the app without a failed request.

Migrate → start a second container beside the one that is serving → wait until it is healthy → switch: it proves that it
reaches the database and renders a page, and takes over the proxy's socket → drain and stop the previous container.

A version that is not fit is removed, and the previous one keeps serving. Run twice it changes nothing the second time;
killed at any point, it is run again.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from typing import Any, NoReturn

from ops import containers, docker, dotenv, locks
from ops.output import note
from user_errors import OperationError, UserError

HEALTHY_WITHIN = 90.0  # seconds until a new container has to be healthy
POLL = 0.2
LOG_LINES = "15"
# The proxy connects to this link; it names the socket of the container that is serving (app/core/serving.py).
LINK = "/run/app/gunicorn.sock"
SWITCH = ("python", "-m", "core.serving", "switch")
CONFIG_HASH = "com.docker.compose.config-hash"


def rollout(app_only: bool, version: str = "") -> None:
    """The whole flow, on the deployment that `docker compose` means here. `version` is the image's tag; it is recorded
    in .env, so that the next start of the stack runs it too."""
    if version:
        os.environ["APP_TAG"] = version
    with lock():
        serve(app_only)
        if version:
            record(version)


def serve(app_only: bool) -> None:
    """Make the image serve that Compose names."""
    containers.require_same_deployment()
    image = app_image()
    previous = serving()
    if previous:
        remove([left for left in app_containers() if left != previous])  # of a rollout that was killed
        if is_current(inspect(previous), image):
            note(f"{image} is serving already")
            return
    if not app_only:
        migrate()
    if not previous:
        start_alone(image)
        return
    new = start_beside(previous, image)
    wait_until_healthy(new, image)
    switch(new, image)
    remove([previous])
    restore_names()
    note(f"{image} is serving")


# ------------------------------------------------------------ which container, which image


def app_image() -> str:
    """The wanted image, which has to be on this host."""
    image = str(containers.config()["services"]["app"]["image"])
    tag, wanted = image.rpartition(":")[2], os.environ.get("TAG", "")
    if wanted and "APP_TAG" not in os.environ and tag != wanted:
        raise UserError(f"TAG is {wanted}, and {dotenv.path()} sets APP_TAG={tag}", f"./scripts/ops rollout {wanted}")
    if containers.completed(["docker", "image", "inspect", image], quiet=True).returncode:
        containers.require_engine()
        raise OperationError(
            f"there is no image {image} on this host",
            f"build it: APP_TAG={tag} docker compose build app; or send it: docker save {image} | ssh HOST docker load",
        )
    return image


def record(version: str) -> None:
    """Write APP_TAG into .env."""
    if dotenv.write(dotenv.with_variable(dotenv.read(), "APP_TAG", version)):
        note(f"{dotenv.path()}: APP_TAG={version}")


def app_containers(*options: str) -> list[str]:
    """The ids of the app's containers."""
    return containers_of("app", *options)


def containers_of(service: str, *options: str) -> list[str]:
    """The ids of a service's containers."""
    return containers.run(docker.compose("ps", "--no-trunc", "--quiet", *(options or ("--all",)), service)).split()


def serving() -> str:
    """The id of the container that the link leads to; "" when no container is serving."""
    running = app_containers("--status", "running")
    for container in running:
        done = containers.completed(["docker", "exec", container, "readlink", LINK], quiet=True)
        if done.returncode == 0:
            return linked(running, done.stdout.strip())
    return ""


def linked(running: list[str], link: str) -> str:
    """The container whose socket a link names: ID.sock, with the 12 characters that are its host name."""
    return next((container for container in running if link == f"{container[:12]}.sock"), "")


def inspect(container: str) -> dict[str, Any]:
    """What Docker knows of a container; {} when it does not exist."""
    done = containers.completed(["docker", "inspect", "--type", "container", container], quiet=True)
    found: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
    return found[0] if found else {}


def is_current(container: dict[str, Any], image: str) -> bool:
    """Whether the container is the one that `docker compose up` would create now."""
    wanted_hash = containers.run(docker.compose("config", "--hash", "app")).split()[-1]
    wanted_image = json.loads(containers.run(["docker", "image", "inspect", image]))[0]["Id"]
    labels: dict[str, str] = container["Config"]["Labels"]
    return bool(container["Image"] == wanted_image and labels.get(CONFIG_HASH) == wanted_hash)


# ------------------------------------------------------------ the steps


def lock() -> contextlib.AbstractContextManager[None]:
    """One rollout or restart of this stack at a time."""
    return locks.held("rollout", "wait until it has finished")


def migrate() -> None:
    """The new version's migrations; the previous version has to work with the schema that they leave."""
    note("applying migrations")
    if containers.attach(docker.run_in("migrate")):
        raise OperationError(
            "the migrations failed; the app was not changed, and the previous version is serving",
            "correct the migration, then ./scripts/ops rollout; ./scripts/ops migrations state shows what was applied",
        )


def start_alone(image: str) -> None:
    """A plain start."""
    note(f"no container is serving: starting {image}")
    try:
        containers.run(docker.compose("up", "--detach", "--no-build", "--wait", "app"))
    except containers.Failed as failed:
        raise OperationError(
            f"{image} did not start", "docker compose logs --tail 20 app", status=failed.status
        ) from None


def start_beside(previous: str, image: str, service: str = "app", start: bool = True) -> str:
    """A second container, started unless not `start`; its id."""
    if start:
        note(f"starting {image}")
    # `up` would run the one-shots again; with --no-deps it makes a container that a later `up` replaces.
    words = ("create", "--no-build", "--no-recreate", "--scale", f"{service}=2", service)
    containers.run(docker.compose(*words), check=False)
    new = next((container for container in containers_of(service) if container != previous), "")
    if not new:
        raise OperationError(
            f"Docker Compose created no second container for {service}", f"docker compose ps --all {service}"
        )
    if start and containers.completed(["docker", "start", new]).returncode:
        give_up(new, image)
    return new


def wait_until_healthy(new: str, image: str) -> None:
    """Removes the new container and raises OperationError when it ends, restarts, is unhealthy, or takes too long."""
    deadline = time.monotonic() + HEALTHY_WITHIN
    while time.monotonic() < deadline:
        state = verdict(inspect(new))
        if state == "healthy":
            return
        if state == "failed":
            break
        time.sleep(POLL)
    give_up(new, image)


def verdict(container: dict[str, Any]) -> str:
    """healthy, starting or failed. A container that Docker has restarted has failed."""
    state = container.get("State", {})
    health = (state.get("Health") or {}).get("Status")
    if container.get("RestartCount") or state.get("Status") not in ("created", "running"):
        return "failed"
    if state["Status"] == "created" or health == "starting":
        return "starting"
    return "healthy" if health == "healthy" else "failed"


def switch(new: str, image: str) -> None:
    """The new container takes over the link; it refuses, with the reason on standard error, when it is not fit."""
    if containers.completed(["docker", "exec", new, *SWITCH]).returncode:
        give_up(new, image)


def remove(unneeded: list[str]) -> None:
    """Drain and stop: gunicorn finishes the requests that it has accepted."""
    if unneeded:
        containers.run(["docker", "stop", *unneeded])
        containers.run(["docker", "rm", "--volumes", *unneeded])


def restore_names() -> None:
    """PROJECT-SERVICE-1 again for containers that are alone in their service. Compose gives a second container the
    number 2, and a later one in its place that number once more."""
    project = str(containers.config()["name"])
    of_services = (f"label=com.docker.compose.project={project}", "label=com.docker.compose.oneoff=False")
    filters = [word for one in of_services for word in ("--filter", one)]
    columns = '{{.ID}}\t{{.Label "com.docker.compose.service"}}\t{{.Names}}'
    listed = containers.run(["docker", "ps", "--all", *filters, "--format", columns], quiet=True)
    for container, name in first_names([line.split("\t") for line in listed.splitlines()], project).items():
        containers.completed(["docker", "rename", container, name], quiet=True)


def first_names(rows: list[list[str]], project: str) -> dict[str, str]:
    """Container → the name it is to get. `rows`: container, service and name of each container of the project."""
    services = [service for _, service, _ in rows]
    return {
        container: f"{project}-{service}-1"
        for container, service, name in rows
        if services.count(service) == 1 and re.fullmatch(rf"{re.escape(f'{project}-{service}')}-(?!1$)\d+", name)
    }


def give_up(new: str, image: str) -> NoReturn:
    """Show why, remove the new container, raise OperationError."""
    show_log(new)
    containers.completed(["docker", "rm", "--force", "--volumes", new], quiet=True)
    raise OperationError(
        f"{image} is not fit to serve; its container was removed, and the previous version is serving",
        "correct what its log above says, build it under another TAG, then ./scripts/ops rollout",
    )


def show_log(new: str) -> None:
    """The end of a new container's log."""
    log = containers.completed(["docker", "logs", "--tail", LOG_LINES, new], quiet=True)
    note(f"--- last log lines of the new container:\n{(log.stdout + log.stderr).rstrip()}")
