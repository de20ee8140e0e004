"""A new major version of PostgreSQL, in place, with the old data directory kept.

Build an image with both versions → stop PostgreSQL → pg_upgrade --check, then pg_upgrade, which copies → start →
roles → statistics → a full backup. Until pg_upgrade has ended nothing has changed. The way back is the old directory.
On hosts ansible/playbooks/upgrade.yml calls it, and brings the image.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ops import containers, docker
from ops.containers import Failed
from ops.flows import restart, rollout, sandbox, update
from ops.output import note, say, size
from ops.prompt import confirm
from user_errors import OperationError, UserError

SUITES = {"13": "bullseye", "15": "bookworm", "17": "trixie"}  # Debian's release with each major version
CONTEXT = Path("docker/upgrade")  # where images are built; hosts have no such folder
SCHEMA = "the backup has the schema of the application"  # a check of the rehearsal
# What reads the data directory, beside the server itself.
BESIDE = ("backup", "pgbackrest-server")
ANALYZE = ("vacuumdb", "--host=/run/postgresql", "--username=postgres", "--all", "--quiet", "--analyze-in-stages")


def image(major: str, suite: str) -> str:
    """The tag of an image with the server of `major` beside this version's. Raises UserError."""
    server = str(containers.config()["services"][restart.SERVICE]["image"])
    tag = f"{server.rpartition(':')[2]}-from-{major}"
    name = f"{server.rpartition(':')[0]}:{tag}"
    if not CONTEXT.is_dir():
        if update.present(name):
            return tag
        raise UserError(f"this folder builds no image, and {name} is not here", "ansible/playbooks/upgrade.yml")
    arguments = {"POSTGRES_IMAGE": server, "OLD_MAJOR": major, "OLD_SUITE": suite or SUITES.get(major, "")}
    if not arguments["OLD_SUITE"]:
        raise UserError(f"no Debian release is known that has PostgreSQL {major}", "--suite names one")
    words = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    note(f"building an image with PostgreSQL {major}")
    containers.run(["docker", "build", "--quiet", *words, "--tag", name, str(CONTEXT)])
    return tag


def verb(name: str, tag: str = "", service: str = "restore", stdin: str | None = None, **parameters: Any) -> Any:
    """A verb of pgupgrade, with the volumes of a service (`restore`: the stack's), in the image of this tag."""
    words, environment = docker.verb(name, parameters), containers.repository()
    with image_tag("POSTGRES_TAG", tag):
        argv = docker.run_in(service, *words, entrypoint="pgupgrade", environment=environment)
        return containers.answer(argv, stdin)


@contextlib.contextmanager
def image_tag(variable: str, tag: str) -> Iterator[None]:
    """Let Compose run the image of this tag; with "" that of its own settings."""
    before = os.environ.get(variable)
    if tag:
        os.environ[variable] = tag
    try:
        yield
    finally:
        if tag:
            os.environ.pop(variable) if before is None else os.environ.update({variable: before})


def prepare(suite: str) -> tuple[dict[str, Any], str]:
    """What there is to upgrade, and the tag of the image that can. Raises UserError."""
    if containers.members():
        raise UserError("a cluster has no upgrade in place", "docs/runbooks/upgrade.md#a-cluster")
    containers.require_same_deployment()
    found = verb("facts")
    if found["old"] is None or found["has_new"]:
        raise UserError(
            f"there is nothing to upgrade: the data directory is of PostgreSQL {found['new']}"
            if found["has_new"]
            else "there is no data directory of an older version",
            "docs/runbooks/upgrade.md",
        )
    return found, image(found["old"], suite)


def run(suite: str, check_only: bool, yes: bool, full_backup: bool = True) -> None:
    """The upgrade, or its check; `full_backup`: make one at the end, where backups are made. Raises UserError and
    OperationError."""
    found, tag = prepare(suite)
    what = f"PostgreSQL {found['old']} → {found['new']}, {size(found['bytes'])}"
    if not check_only:
        confirm(
            f"{what}: PostgreSQL stops, and its data directory is copied ({size(found['free_bytes'])} are free). "
            "Requests fail meanwhile with 503. The old directory is kept.",
            yes,
        )
    with rollout.lock():
        began = time.monotonic()
        beside = readers()
        containers.run(docker.compose("stop", restart.SERVICE, *beside), quiet=True)
        done = verb("run", tag, check_only=check_only)
        if check_only:
            say(f"{what}: pg_upgrade --check has passed")
            note("PostgreSQL is stopped: ./scripts/ops upgrade goes on; or start the older version, with its images")
            return
        start(beside)
        down = time.monotonic() - began
        note(f"PostgreSQL {done['new']} serves after {down:.1f} s, {done['seconds']:.1f} s of them pg_upgrade")
        containers.run(docker.exec_in(restart.SERVICE, *analyze(done["new"])))
    if full_backup:
        backup()
    say(json.dumps({**done, "down_seconds": round(down, 1)}))
    note("when all is well: ./scripts/ops retained list; the way back, which loses what is written from now on: --back")


def rehearse(suite: str, file: Path | None) -> dict[str, Any]:
    """The upgrade of the newest backup in the sandbox's volume, what differs then, and what the application's requests
    get there; nothing of it stays. `file`: what `./scripts/ops slow-queries --json` printed. Raises UserError and
    OperationError."""
    containers.require_same_deployment()
    statements = read_statements(file) if file else []
    found = verb("newest", service="sandbox")
    current = verb("facts", service="sandbox")["new"]
    if int(found["major"]) >= int(current):
        raise UserError(
            f"the newest backup is of PostgreSQL {found['major']}, and the images have {current}",
            "docs/runbooks/upgrade.md",
        )
    note(f"rehearsing PostgreSQL {found['major']} → {current} with the backup {found['label']}, {size(found['bytes'])}")
    sandbox.drop()
    try:
        tag = image(found["major"], suite)
        report: dict[str, Any] = verb("rehearse", tag, "sandbox", json.dumps(statements))
        began = time.monotonic()
        requested = request()
        report["seconds"]["requests"] = round(time.monotonic() - began, 1)
    finally:
        sandbox.drop()
    return with_requests(report, requested)


def request() -> dict[str, Any]:
    """What the application that serves gets from the upgraded server: the report of its `manage.py try_requests`
    (app/core/visitor.py), and "image". Its container has no network, and the server's socket. Raises OperationError."""
    serve = docker.run_in(
        "sandbox", "serve", entrypoint="pgupgrade", environment=containers.repository(), name=sandbox.container_name()
    )
    repository, _, tag = str(containers.config()["services"]["rehearsal"]["image"]).rpartition(":")
    tag = serving(repository) or tag
    used = f"{repository}:{tag}"
    note(f"trying the requests of a visitor with {used}")
    with containers.held(serve), image_tag("APP_TAG", tag):
        try:
            report: dict[str, Any] = containers.answer(docker.run_in("rehearsal"))
        except Failed:
            raise OperationError(
                f"{used} did not try its requests",
                "correct the error above; an image without `manage.py try_requests` is of an older checkout: "
                "./scripts/ops rollout TAG, ./scripts/ops backup create, and rehearse again",
            ) from None
    return {**report, "image": used}


def serving(repository: str) -> str:
    """The tag of the application's image that serves: the running container's; where the application runs on other
    hosts, that of the version whose migrations are applied (ansible/roles/stack/tasks/version.yml).

    "" on another machine, and with an APP_TAG before the command: Compose's is meant.
    """
    if "APP_TAG" in os.environ:
        return ""
    container = containers.running().get("app")
    if container:
        shown = containers.run(["docker", "inspect", "--format", "{{.Config.Image}}", container], quiet=True)
        return shown.strip().rpartition(":")[2]
    return "serving" if update.present(f"{repository}:serving") else ""


def with_requests(report: dict[str, Any], requested: dict[str, Any]) -> dict[str, Any]:
    """The rehearsal's report with the requests, and with a check of the schema that they need."""
    lacking = [*requested["pending"], *requested["missing"]]
    schema = {
        "check": SCHEMA,
        "ok": not lacking,
        "saw": f"it lacks: {', '.join(lacking)}" if lacking else "every migration, table and column",
    }
    parts = {name: requested[name] for name in ("image", "requests", "untried")}
    return {**report, "checks": [*report["checks"], schema], **parts}


def read_statements(file: Path) -> list[str]:
    """Of the listing of slow statements. Raises UserError."""
    try:
        return [str(one["query"]) for one in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{file} is not a listing of statements", f"./scripts/ops slow-queries --json >{file}", str(error)
        ) from None


def readers() -> list[str]:
    """The services that read the data directory, where they run or a start of everything would start them."""
    enabled = containers.run(docker.compose("config", "--services")).split()
    return [name for name in BESIDE if name in enabled or containers.is_running(name)]


def start(beside: list[str]) -> None:
    """The server, today's roles and privileges, and what reads the data directory. The pooler connects by itself."""
    containers.run(docker.compose("up", "--detach", "--no-build", "--wait", restart.SERVICE))
    containers.pgadmin("apply")
    if beside:
        containers.run(docker.compose("up", "--detach", "--no-build", "--wait", *beside))


def analyze(major: str) -> tuple[str, ...]:
    """What makes the statistics that pg_upgrade has not brought along: since 18 it brings most (PostgreSQL 18 docs,
    pg_upgrade, "Statistics"). The first of the three stages takes seconds, and is enough for sensible plans."""
    return (*ANALYZE, "--missing-stats-only") if int(major) >= 18 else ANALYZE


def backup() -> None:
    """A full one, where backups are made: earlier ones are of the old version."""
    if containers.is_running("backup"):
        made = containers.pgbackup("create", type="full", mark=False)
        note(f"full backup {made['label']}")
    else:
        note("no service `backup` is running here: no backup of the new version was made")


def back(yes: bool) -> None:
    """Set the new data directory aside; the old one is as it was when the upgrade began."""
    containers.require_same_deployment()
    confirm(
        "The data directory of the new version is set aside. What was written since the upgrade is in that one only.",
        yes,
    )
    with rollout.lock():
        containers.run(docker.compose("stop", restart.SERVICE, *readers()), quiet=True)
        done = verb("back")
    if not done["retained"]:
        raise OperationError("there is no data directory of the new version", "./scripts/ops upgrade")
    say(f"the data directory of PostgreSQL {done['old']} is the newest again; the other is {done['retained']}")
    note(f"start PostgreSQL {done['old']} on it with the image of that version (POSTGRES_TAG), or upgrade again")
