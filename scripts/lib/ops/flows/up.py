"""Build, start and wait until the stack is healthy. What can be checked beforehand is checked first."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import secret_files
from ops import cluster as cluster_facts
from ops import containers, docker, dotenv, monitoring
from ops.flows import restart, rollout
from ops.output import note, say
from user_errors import OperationError, UserError

CLUSTER_FILES = ("docker-compose.yml", "docker-compose.override.yml", "docker/compose/cluster.yml")
CLUSTER_VARIABLES = ("CLUSTER_STRICT", "CLUSTER_SYNC_STANDBYS")
NEEDED_MB, STARTED_MB = 3000, 300  # of disk: images and data; with the images there already
LOG_LINES = "8"
ERASE_LINE = "\x1b[2K"  # Compose writes it before log lines
ASSIGNMENT = re.compile(r"^\s*([A-Z0-9_]+)=", re.MULTILINE)


class Port(NamedTuple):
    """A port of this machine that a service publishes."""

    service: str
    target: int
    published: int


def run(arguments: list[str], cluster: bool = False, with_monitoring: bool = False) -> None:
    """The whole start. `arguments` go to `docker compose up`. Raises UserError or OperationError."""
    check_arguments(arguments)
    if cluster:
        choose_cluster()
    if with_monitoring:
        monitoring.choose()
    check_settings()
    containers.require_same_deployment()
    if containers.members():
        # an earlier one-server stack: the same ports, and data that stay in their volume
        containers.run(docker.compose("rm", "--stop", "--force", "postgres"), quiet=True, check=False)
    ports = published_ports(containers.config())
    check_ports(ports)
    check_disk()
    build()
    restart_if_changed()
    run_compose("up", "--wait", "--remove-orphans", *arguments)
    rollout.restore_names()
    build_on_demand()
    if containers.members():
        configure_cluster()
    hosts = containers.environment_of("app").get("ALLOWED_HOSTS", "").split(",")
    say(addresses(ports, containers.environment_of("roles"), hosts, public_password()))
    profiles = os.environ.get("COMPOSE_PROFILES", "")
    if profiles and not sets_profiles(dotenv.read()):
        note(
            f"COMPOSE_PROFILES={profiles} is set in this shell only: put it into {dotenv.path()}, or `docker compose "
            "down` in another shell leaves those services running"
        )


def sets_profiles(text: str) -> bool:
    """Whether an .env file sets COMPOSE_PROFILES."""
    return "COMPOSE_PROFILES" in ASSIGNMENT.findall(text)


# ------------------------------------------------------------ a cluster of database servers


def choose_cluster() -> None:
    """Record in .env that this folder's stack is a cluster. Raises UserError when it is another deployment."""
    text = dotenv.read()
    files = os.environ.get("COMPOSE_FILE") or dotenv.value(text, "COMPOSE_FILE")
    named = files.split(":") if files else []
    beside = [file for file in named if file not in CLUSTER_FILES]
    wanted = named if set(CLUSTER_FILES) <= set(named) else [*CLUSTER_FILES, *beside]
    if monitoring.OVERLAY in wanted:
        wanted = monitoring.with_monitoring(wanted)
    if wanted == named:
        return
    if not {*named} <= {*CLUSTER_FILES, monitoring.OVERLAY, monitoring.CLUSTER_OVERLAY}:
        raise UserError(
            "a cluster on one machine is for development, and COMPOSE_FILE names another deployment",
            "unset COMPOSE_FILE (in .env or in the environment), or use another checkout",
            files,
        )
    os.environ["COMPOSE_FILE"] = ":".join(wanted)
    containers.config.cache_clear()
    containers.members.cache_clear()
    if dotenv.write(dotenv.with_variable(text, "COMPOSE_FILE", os.environ["COMPOSE_FILE"])):
        note(f"{dotenv.path()}: COMPOSE_FILE={os.environ['COMPOSE_FILE']} (delete the line to return to one server)")


def configure_cluster() -> None:
    """Bring the cluster's settings to pg/cluster/patroni.yml's and .env's."""
    variables = {name: containers.environment_of("roles")[name] for name in CLUSTER_VARIABLES}
    argv = docker.exec_in(cluster_facts.ask_a_member()["asked"], "pgcluster", "configure", environment=variables)
    changed = containers.answer(argv)["changed"]
    if changed:
        note(f"changed settings of the cluster: {json.dumps(changed)}")


# ------------------------------------------------------------ before anything is started


def check_arguments(arguments: list[str]) -> None:
    """Raises OperationError for an option that `docker compose up` does not have: with --help it does no more."""
    if arguments:
        done = containers.completed(docker.compose("up", *arguments, "--help"), quiet=True)
        if done.returncode:
            raise why_it_failed(done.stderr)


def check_settings() -> None:
    """Raises UserError for a value that Compose refuses; the variable without which the files are valid has it."""
    refused = compose_error({})
    if not refused:
        return
    files = "".join(path.read_text(encoding="utf-8") for path in compose_files())
    for variable in suspects([*ASSIGNMENT.findall(dotenv.read()), *os.environ], files):
        if not compose_error({variable: ""}):
            raise UserError(
                f"{variable} has a value that Docker Compose refuses",
                f"correct {variable} (in .env or in the environment); .env.example says what it takes",
                refused,
            )
    raise UserError("the compose files are not valid", "docker compose config", refused)


def suspects(variables: Iterable[str], files: str) -> list[str]:
    """Each variable once, first those that the compose files name: each costs a call of Compose. A pure function."""
    return sorted(dict.fromkeys(variables), key=lambda name: name not in files)


def compose_error(variables: dict[str, str]) -> str:
    """The last line of Compose's error with these variables changed; nothing when the files are valid."""
    done = subprocess.run(
        docker.compose("config", "--quiet"),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )
    return (done.stderr.strip().splitlines() or ["it printed nothing"])[-1] if done.returncode else ""


def published_ports(config: dict[str, Any]) -> list[Port]:
    """From the rendered compose files; services of a profile that is off are left out."""
    profiles = set(filter(None, os.environ.get("COMPOSE_PROFILES", "").split(",")))
    return [
        Port(name, int(port["target"]), int(port["published"]))
        for name, service in config["services"].items()
        if not service.get("profiles") or profiles & set(service["profiles"])
        for port in service.get("ports", [])
        if port.get("published")
    ]


def check_ports(ports: list[Port]) -> None:
    """Raises UserError for a port that two services want, or that another program has."""
    wanted = [port.published for port in ports]
    for port in ports:
        if wanted.count(port.published) > 1:
            raise UserError(
                f"port {port.published} is given to two services",
                "choose different values for the *_PORT variables (in .env or in the environment)",
            )
    for port in ports:
        if is_taken(port.published) and not publishes(port):
            name = variable_of(port)
            raise UserError(
                f"port {port.published} on this machine is taken, and {port.service} needs it",
                f"stop what listens there, or choose another port: {name}={port.published + 10000} ./scripts/up",
            )


def is_taken(port: int) -> bool:
    """Whether a program listens there on this machine's loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def publishes(port: Port) -> bool:
    """Whether it is this stack's own container, from an earlier start."""
    done = containers.completed(docker.compose("port", port.service, str(port.target)), quiet=True)
    return done.returncode == 0 and done.stdout.strip().endswith(f":{port.published}")


def variable_of(port: Port) -> str:
    """The variable that sets a published port, as the compose files in use name it."""
    for file in compose_files():
        found = re.search(rf"([A-Z_]+):-\d+\}}:{port.target}\b", file.read_text(encoding="utf-8"))
        if found:
            return found[1]
    return f"the port of {port.service}"


def compose_files() -> Iterable[Path]:
    """Those that Compose reads here."""
    return [path for path in map(Path, dotenv.named_files()) if path.exists()]


def check_disk() -> None:
    """Raises OperationError unless Docker's disk has room. A remote engine's can't be seen, and is not checked."""
    root = containers.run(["docker", "info", "--format", "{{.DockerRootDir}}"], quiet=True).strip()
    if not Path(root).exists():
        return
    free = shutil.disk_usage(root).free >> 20
    started = containers.run(docker.compose("ps", "--all", "--quiet"), quiet=True).strip()
    if free < (STARTED_MB if started else NEEDED_MB):
        raise OperationError(
            f"the disk of {root} has {free} MB left; images and data need about {NEEDED_MB} MB",
            "docker system prune removes what Docker no longer uses; data-root in /etc/docker/daemon.json moves it",
        )


# ------------------------------------------------------------ the start


def build() -> None:
    """Every image, always in this way, so that what has not changed is the same image. Compose labels an image with the
    service that it was built for last (`up --build` with another than `build`), and takes another label for a change.
    The members of a cluster share two images, and finish in any order: the first of them is built once more."""
    run_compose("build")
    if members := containers.members():
        run_compose("build", members[0], cluster_facts.etcd_services()[0])


def restart_if_changed() -> None:
    """A running server that the start would replace is replaced beforehand, while the pooler's clients wait."""
    if not containers.members() and containers.is_running(restart.SERVICE):
        restart.run(if_changed=True)


def run_compose(*words: str) -> None:
    """A command of `docker compose`, its messages as they come. When it fails: the reason and the next command."""
    printed = []
    with subprocess.Popen(docker.compose(*words), stderr=subprocess.PIPE, text=True, errors="replace") as process:
        assert process.stderr
        for text in process.stderr:
            printed.append(text)
            print(text, end="", file=sys.stderr, flush=True)
    if process.returncode:
        raise why_it_failed("".join(printed))


def build_on_demand() -> None:
    """The image of `ops`. Compose builds no service of a profile that is off, and `run` only a missing image, so after
    a change of the checkout ./scripts/ops would talk to the previous image."""
    containers.run(docker.compose("build", "ops"))


def why_it_failed(printed: str) -> OperationError:
    """The reason, after the last log lines of every service that failed."""
    if "no space left on device" in printed:
        return OperationError(
            "the disk is full", "docker system df shows what takes it, docker system prune removes what is unused"
        )
    if failed := re.search(r"failed to (?:solve|build): .*", printed):
        return OperationError("an image was not built", "correct what it says, then the same command again", failed[0])
    if unknown := re.search(r"unknown (?:shorthand )?flag: .*", printed):
        return OperationError("docker compose up does not accept the arguments", "./scripts/up --help", unknown[0])
    missing = re.search(r"bind source path does not exist: (.*)", printed)
    if missing:
        return OperationError(
            f"{missing[1]} does not exist, and the stack needs it",
            "correct SECRETS_DIR (in .env or in the environment); ./scripts/secrets new creates such a folder",
        )
    listing = containers.run(docker.compose("ps", "--all", "--format", "json"), quiet=True, check=False)
    for service in failed_services([json.loads(one) for one in listing.splitlines()], printed):
        note(f"\n--- last log lines of {service}:")
        logs = docker.compose("logs", "--no-color", "--no-log-prefix", "--tail", LOG_LINES, service)
        note(containers.run(logs, quiet=True, check=False).replace(ERASE_LINE, "").rstrip())
    return OperationError(
        "the stack did not become healthy",
        "correct what the log lines above say, then ./scripts/up (the whole log: docker compose logs)",
    )


def failed_services(rows: list[dict[str, Any]], printed: str) -> list[str]:
    """Of the rows of `docker compose ps --format json`: those that `up` named as it gave up (one that Docker restarts
    may look well), or else those that have exited with an error, restart, or are unhealthy."""
    named = re.findall(r"container (\S+) (?:is unhealthy|exited)", printed)
    return [row["Service"] for row in rows if row["Name"] in named] or [
        row["Service"]
        for row in rows
        if (row["State"] == "exited" and row["ExitCode"])
        or row["State"] == "restarting"
        or row["Health"] == "unhealthy"
    ]


def public_password() -> str:
    """The application's, as development's secret file has it; "" in production, or when the file can't be read."""
    if containers.environment_of("roles")["DEPLOYMENT"] == "production":
        return ""
    try:
        text = Path(containers.config()["secrets"]["app_password"]["file"]).read_text(encoding="utf-8")
    except OSError:
        return ""
    return secret_files.value("app_password", text)


def addresses(ports: list[Port], environment: dict[str, str], hosts: list[str], password: str) -> str:
    """Where the stack can be reached: development's from this machine, production's by the names in ALLOWED_HOSTS.
    `password`: the application's; "" to print none. A pure function."""
    at = {port.target: port.published for port in ports}
    production = environment["DEPLOYMENT"] == "production"
    lines = ["", "The stack is up.", ""]
    if production and 8443 in at:
        name = next((host.lstrip(".") for host in hosts if host not in ("", "*")), "localhost")
        lines.append(f"  the site     https://{name}{'' if at[8443] == 443 else f':{at[8443]}'}")
    elif 8000 in at:
        lines.append(f"  play         http://localhost:{at[8000]}")
        if 8443 in at:
            lines.append(f"               https://localhost:{at[8443]}   (private CA: the browser asks once)")
        lines.append(f"  API          http://localhost:{at[8000]}/api/docs")
    login = f"-U {environment['APP_ROLE']} -d {environment['APP_DATABASE']} -h localhost -p"
    if 5432 in at:
        lines.append(f"  PostgreSQL   psql {login} {at[5432]}")
        lines += [f"               password: {password}"] if password else []
    if 6432 in at:
        lines.append(f"  PgBouncer    psql {login} {at[6432]}")
    if 9090 in at:
        lines.append(
            f"  alerts       http://localhost:{at[9090]}/alerts   (prove the delivery: ./scripts/ops alert test)"
        )
    return "\n".join([
        *lines,
        "  no psql?     ./scripts/ops psql          (every command: ./scripts/ops --help)",
        "",
        f"  prove it     {'./scripts/checklist' if production else './scripts/test'}",
        "  stop it      ./scripts/ops down          (with --volumes it deletes the data, after asking)",
    ])  # fmt: skip
