"""Current packages in every image, without a failed request, and the way back.

Look what is pending → make the base image current, which no layer above survives → build → show what changed → restart
PostgreSQL with the pooler paused → exchange pooler, app and proxy → start the rest. The previous images keep a tag.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ops import containers, docker, dotenv, packages
from ops.flows import exchange, restart, rollout, up
from ops.output import note, say
from ops.packages import INSTALLED, SECURITY_AGE, Installed, Known, Update
from user_errors import OperationError, UserError

DEBIAN = "debian:trixie-slim"  # ./scripts/up gets it
PULL_WITHIN = "30"  # seconds
BEFORE = "-before-update"
VARIABLE = "BASE_IMAGE"  # of the compose files: what every Dockerfile starts from
# A base of another content: no layer that was built on the previous one is used again.
REFRESH = """FROM debian:trixie-slim
RUN apt-get update -qq && apt-get upgrade -y -qq && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \\
 && echo WHEN >/etc/packages-as-of
"""
REBOOT = Path("/run/reboot-required")
METRICS, FACTS = "flaglearning_updates.prom", "updates.json"
ADVISORIES = "ADVISORIES_DIR"  # in .env: the folder of advisories for every look-up
SUITE, PYTHON_ADVISORIES = "trixie", "osv-pypi.zip"
# $1: the release. Standard input is a pipe of another user's, which debsecan could not open again by its name.
DEBSECAN = """
cat >/tmp/status
exec debsecan --suite "$1" --source file:///data --status /tmp/status --format summary
"""
NO_PRIVILEGE = ("--rm", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


# ------------------------------------------------------------ which images


def images() -> dict[str, str]:
    """Name → image with its tag, of those that this deployment's services run and that are on this machine."""
    wanted = {str(one["image"]) for one in containers.config()["services"].values() if "image" in one}
    present = containers.run(["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]).split()
    return {image.rpartition("/")[2].partition(":")[0]: image for image in sorted(wanted & set(present))}


def base() -> str:
    """The base image of this deployment's next update; those of another TAG are built on another."""
    return f"flaglearning/base:{os.environ.get('TAG') or dotenv.value(dotenv.read(), 'TAG') or 'dev'}"


def installed(image: str) -> dict[str, Installed]:
    """Its Debian packages."""
    argv = ["docker", "run", *NO_PRIVILEGE, "--network", "none", "--entrypoint", "dpkg-query", image]
    return packages.installed(containers.run([*argv, *INSTALLED]))


def bill_of_materials(image: str) -> dict[str, Any]:
    """The image's SBOM. Python's own packages are in the app's image, in its venv."""
    python = ["docker", "run", *NO_PRIVILEGE, "--network", "none", "--entrypoint", "sh", image, "-c"]
    found = containers.run([*python, 'command -v python3 >/dev/null || exit 0; exec python3 -c "$0"', packages.PYTHON])
    digest = containers.run(["docker", "image", "inspect", "--format", "{{.Id}}", image]).strip()
    return packages.cyclonedx(image, digest, installed(image), found)


# ------------------------------------------------------------ what is pending


def check(advisories: Path | None = None) -> tuple[dict[str, list[Update]], dict[str, list[Known]]]:
    """What the archive has newer, by image, and by `host` in production on Debian; and what is known to be vulnerable,
    by the `advisories` in a folder. Recorded in REPORTS_DIR, for Prometheus and the checklist. Raises OperationError
    when the archive can't be reached, UserError when an advisory file is not there."""
    vulnerable = known(advisories) if advisories else {}
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(images(), pool.map(pending, images().values())))
    if production() and Path("/etc/debian_version").exists():
        found["host"] = host()
    now, reboot = time.time(), REBOOT.stat().st_mtime if REBOOT.exists() else None
    facts: dict[str, Any] = {
        "checked": now,
        "reboot_since": reboot,
        "pending": {k: [u._asdict() for u in v] for k, v in found.items()},
    }
    metrics = packages.metrics(found, now, reboot)
    if advisories:
        files = {file.name: file.stat().st_mtime for file in needed(advisories)}
        seen = packages.first_seen(vulnerable, recorded().get("vulnerabilities", {}), now)
        facts |= {"advisories": files, "vulnerabilities": seen}
        metrics += packages.vulnerability_metrics(seen, files)
    containers.client("report-write", stdin=json.dumps({METRICS: metrics, FACTS: json.dumps(facts, indent=1) + "\n"}))
    return found, vulnerable


def recorded() -> dict[str, Any]:
    """What the look-up before has recorded; {} at the first."""
    printed = containers.run(docker.run_in("ops", "-c", f"cat /reports/{FACTS} || true", entrypoint="sh"), quiet=True)
    found: dict[str, Any] = json.loads(printed or "{}")
    return found


def folder_of_advisories(given: Path | None) -> Path | None:
    """The folder that an option names, or else .env; None without one."""
    named = os.environ.get(ADVISORIES) or dotenv.value(dotenv.read(), ADVISORIES)
    return given or (Path(named) if named else None)


def production() -> bool:
    return containers.environment_of("ops")["DEPLOYMENT"] != "development"


def pending(image: str) -> list[Update]:
    """Of an image: its own apt looks, in a container of it."""
    temporary = ("--tmpfs", "/var/lib/apt/lists", "--tmpfs", "/var/cache/apt", "--tmpfs", "/tmp")  # noqa: S108
    argv = ["docker", "run", *NO_PRIVILEGE, *temporary, "--user", "root", "--entrypoint", "bash", image, "-c"]
    done = containers.completed([*argv, packages.PENDING], quiet=True)
    if done.returncode:
        raise OperationError(
            f"the Debian archive can't be asked about {image}",
            "check that containers reach the mirror of /etc/apt/sources.list",
            " ".join(done.stderr.split())[-600:],
        )  # fmt: skip
    updates = packages.pending(done.stdout)
    if not updates:
        return []
    names = [one.package for one in updates]
    script = packages.PENDING + packages.CHANGELOGS
    printed = containers.run([*argv, script, "changelogs", *names], quiet=True, check=False)
    return packages.with_changelogs(updates, printed)


def host() -> list[Update]:
    """Of this machine, by the package lists that apt-daily.timer keeps."""
    words = ["apt-get", "-s", "-o", "Debug::NoLocking=1", "--with-new-pkgs", "upgrade"]
    return packages.pending(containers.run(words, quiet=True, check=False))


# ------------------------------------------------------------ known vulnerabilities


def known(folder: Path) -> dict[str, list[Known]]:
    """By image, and by `host` as in check(), of advisories in a folder: what debsecan reads, by the name of Debian's
    release, and PYTHON_ADVISORIES. No feed is asked. Raises UserError when a file is not there."""
    for file in needed(folder):
        note(f"{file}: {age_of(file)}")
    found = {name: of_debian(folder, suite, name) for name, suite in suites().items()}
    if "app" in found:
        found["app"] += of_python(folder, images()["app"])
    return found


def suites() -> dict[str, str]:
    """Image, and `host` as in check() → its Debian release."""
    found = dict.fromkeys(images(), SUITE)
    system = Path("/etc/os-release")
    release = system.read_text(encoding="utf-8") if system.exists() else ""
    if production() and dotenv.value(release, "ID") == "debian":
        found["host"] = dotenv.value(release, "VERSION_CODENAME")
    return found


def needed(folder: Path) -> list[Path]:
    """The files of advisories that known() reads."""
    return [folder / name for name in sorted({*suites().values(), PYTHON_ADVISORIES})]


def age_of(file: Path) -> str:
    """How old it is. Raises UserError without it."""
    if not file.is_file():
        raise UserError(
            f"there are no advisories {file}", "docs/production.md, Known vulnerabilities, says where they come from"
        )
    modified = datetime.fromtimestamp(file.stat().st_mtime, timezone.utc)
    days = (datetime.now(timezone.utc) - modified).days
    return f"of {modified:%Y-%m-%d}, {days} days old{', too old to rely on' if days > SECURITY_AGE.days else ''}"


def with_advisories(folder: Path) -> list[str]:
    """A container without network that reads a folder of this machine with this user's privileges."""
    mount = ("--network", "none", "--tmpfs", "/tmp", "--volume", f"{folder.resolve()}:/data:ro")  # noqa: S108
    return ["docker", "run", *NO_PRIVILEGE, *mount, "--user", f"{os.getuid()}:{os.getgid()}", "--interactive"]


def of_debian(folder: Path, suite: str, name: str) -> list[Known]:
    """By debsecan, of the image's or the host's package records."""
    records = Path("/var/lib/dpkg/status")
    if name == "host":
        status = records.read_text(encoding="utf-8")
    else:
        argv = ["docker", "run", *NO_PRIVILEGE, "--network", "none", "--entrypoint", "cat", images()[name]]
        status = containers.run([*argv, str(records)])
    ops = str(containers.config()["services"]["ops"]["image"])
    argv = [*with_advisories(folder), "--entrypoint", "sh", ops, "-c", DEBSECAN, "debsecan", suite]
    return packages.known(containers.run(argv, stdin=status), status)


def of_python(folder: Path, image: str) -> list[Known]:
    """Of the app's environment."""
    argv = [*with_advisories(folder), "--entrypoint", "python", image, "-m", "core.vulnerabilities"]
    return [Known(**one) for one in json.loads(containers.run([*argv, f"/data/{PYTHON_ADVISORIES}"]))]


# ------------------------------------------------------------ the update


def build(services: list[str]) -> None:
    """What ./scripts/up builds, and then the images that only services of a profile that is off have."""
    up.build()
    found = {name: containers.config()["services"][name] for name in services}
    always = {one["image"] for one in found.values() if not one.get("profiles")}
    on_demand = {one["image"]: name for name, one in found.items() if one["image"] not in always}
    if on_demand:
        containers.run(docker.compose("build", *on_demand.values()))


def run(build_only: bool = False) -> list[dict[str, Any]]:
    """The whole update. What changed: rows with image, package, old and new version. Raises UserError and
    OperationError; when the build fails, everything is as it was."""
    containers.require_same_deployment()
    named = images()
    services = [name for name, one in containers.config()["services"].items() if one.get("image") in named.values()]
    builds = {name: containers.config()["services"][name].get("build") for name in services}
    services = [name for name, build in builds.items() if build and Path(build["context"]).is_dir()]
    if not services:
        raise UserError("this folder builds no image", "update on the machine that builds them (playbooks/update.yml)")
    before = {name: installed(image) for name, image in named.items()}
    with kept(list(named.values())):
        note("making the base image current")
        refresh_base()
        note(f"building the images of {', '.join(services)}")
        build(services)
    rows = [
        {"image": name, **change}
        for name, image in named.items()
        for change in packages.changes(before[name], installed(image))
    ]
    if not build_only:
        roll_out()
    return rows


@contextlib.contextmanager
def kept(tagged: list[str]) -> Iterator[None]:
    """Keep the previous images under another tag: those that containers run. (After an update that was killed, or
    built only, the tagged ones are others.) When the block fails, the tags are what they were."""
    running = serving()
    ids = {
        image: containers.run([*inspected(image), "--format", "{{.Id}}"]).strip()
        for image in [*tagged, *present(base())]
    }
    for image in tagged:
        containers.run(["docker", "tag", running.get(image, image), f"{image}{BEFORE}"])
    try:
        yield
    except BaseException:
        for image, id in ids.items():
            containers.run(["docker", "tag", id, image])
        if base() not in ids and present(f"{base()}{BEFORE}"):  # the first update
            containers.run(["docker", "tag", f"{base()}{BEFORE}", base()])
        raise


def serving() -> dict[str, str]:
    """Image with its tag → the id of the one that a container of a service with that image runs."""
    project = str(containers.config()["name"])
    filters = (f"label=com.docker.compose.project={project}", "label=com.docker.compose.oneoff=False")
    words = ["docker", "ps", "--quiet", *(word for one in filters for word in ("--filter", one))]
    found = {}
    for container in containers.run(words).split():
        facts = rollout.inspect(container)
        service = containers.config()["services"].get(facts["Config"]["Labels"]["com.docker.compose.service"], {})
        if "image" in service:
            found[str(service["image"])] = str(facts["Image"])
    return found


def refresh_base() -> None:
    """Debian's newest base image, if a registry can be reached, with everything that is newer in the archive. Recorded
    as BASE_IMAGE in .env, so that the next start builds on it too."""
    containers.run(["docker", "tag", next(iter(present(base(), DEBIAN))), f"{base()}{BEFORE}"])
    containers.completed(["timeout", PULL_WITHIN, "docker", "pull", "--quiet", DEBIAN], quiet=True)
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    containers.run(["docker", "build", "--quiet", "--tag", base(), "-"], stdin=REFRESH.replace("WHEN", when))
    os.environ[VARIABLE] = base()
    if dotenv.write(dotenv.with_variable(dotenv.read(), VARIABLE, base())):
        note(f"{dotenv.path()}: {VARIABLE}={base()}")


def present(*wanted: str) -> list[str]:
    """Those of these images that are on this machine."""
    return [image for image in wanted if not containers.completed(inspected(image), quiet=True).returncode]


def back() -> None:
    """The images that ran before the last update serve again. One step, and no further."""
    containers.require_same_deployment()
    tagged = [*images().values(), base()]
    missing = sorted({f"{image}{BEFORE}" for image in tagged} - set(present(*(f"{one}{BEFORE}" for one in tagged))))
    if missing:
        raise UserError(
            "there is no update to undo: the previous images are not here", "./scripts/ops update --check",
            ", ".join(missing),
        )  # fmt: skip
    for image in tagged:
        containers.run(["docker", "tag", f"{image}{BEFORE}", image])
    roll_out()
    containers.run(["docker", "image", "rm", "--no-prune", *(f"{image}{BEFORE}" for image in tagged)], quiet=True)


def inspected(image: str) -> list[str]:
    return ["docker", "image", "inspect", image]


def roll_out() -> None:
    """Every service runs its image, and no request fails meanwhile."""
    if containers.members():
        raise UserError(
            "the images are built; a cluster's servers are updated one by one", "./scripts/ops cluster update"
        )
    enabled = containers.run(docker.compose("config", "--services")).split()
    if restart.SERVICE in enabled:
        restart.run(if_changed=True)
    with rollout.lock():
        if "app" in enabled:
            restart.recreate_one_shots("app")
        if "pgbouncer" in enabled:
            exchange.pooler()  # to its end: creating the app's container, Compose would remove a second pooler
        if "app" in enabled:
            rollout.serve(app_only=False)
        if "proxy" in enabled:
            exchange.proxy()
    note("starting what else has changed")
    containers.run(docker.compose("up", "--detach", "--no-build", "--wait"))
    say("every service runs its current image")


def write_bills(folder: str) -> list[str]:
    """An SBOM of each image, as FOLDER/NAME.cdx.json; the files."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    made = []
    for name, image in images().items():
        file = Path(folder) / f"{name}.cdx.json"
        file.write_text(json.dumps(bill_of_materials(image), indent=1) + "\n", encoding="utf-8")
        made.append(str(file))
    return made
