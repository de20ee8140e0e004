"""./scripts/ops update on production: every service gets its new image and no request fails; and the way back."""

import json
import os
import platform
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from support.load import COUNT_ANSWERS, Load, make_players
from support.postgres import Postgres
from testing.shell import run
from testing.stack import TAG, Stack

pytestmark = pytest.mark.last

Update = Callable[..., CompletedProcess[str]]
NEXT = f"{TAG}-next"
SERVICES = ("postgres", "pgbouncer", "app", "proxy")
STALE = "1.26.3-3+deb13u10"  # nginx of Debian 13's main archive; its security archive has a newer one


@pytest.fixture
def update(stack: Stack) -> Iterator[Update]:
    """Runs it, on the images of another tag."""

    def update(*arguments: str) -> CompletedProcess[str]:
        words = ("env", f"TAG={NEXT}", "./scripts/ops", "update", *arguments)
        done: CompletedProcess[str] = stack.command(*words, check=False, timeout=900)
        return done

    for name in ("app", "ops", "pgbouncer", "postgres", "proxy"):
        build(name, f"LABEL next={name}")
    yield update
    stack.up()


def build(name: str, *lines: str) -> None:
    """The next image of a name: today's, changed by some lines of a Dockerfile."""
    dockerfile = "\n".join([f"FROM flaglearning/{name}:{TAG}", *lines])
    run("docker", "build", "--quiet", "--tag", f"flaglearning/{name}:{NEXT}", "-", stdin=dockerfile, timeout=600)


def versions(stack: Stack) -> dict[str, str]:
    """Service → the id of the image that it runs."""
    return {service: str(stack.inspect(service)["Image"]) for service in SERVICES}


def wanted() -> dict[str, str]:
    """Service → the id of the next image."""
    names = [f"flaglearning/{service}:{NEXT}" for service in SERVICES]
    ids = run("docker", "image", "inspect", "--format", "{{.Id}}", *names).stdout.split()
    return dict(zip(SERVICES, ids, strict=True))


def as_of(name: str) -> str:
    """When the packages of a next image were the archive's newest."""
    words = ("docker", "run", "--rm", "--network", "none", "--entrypoint", "cat", f"flaglearning/{name}:{NEXT}")
    return run(*words, "/etc/packages-as-of").stdout


@pytest.mark.long
def test_new_images_of_every_service_fail_no_request(
    stack: Stack, update: Update, postgres: Postgres, record_property: Callable[[str, object], None]
) -> None:
    players = make_players(lambda *words: stack.exec("app", "python", "manage.py", *words))
    before = postgres.value("ops", COUNT_ANSWERS)
    port = stack.config["services"]["proxy"]["ports"][1]["published"]
    with Load(f"https://localhost:{port}", stack.ca, players, rate=10) as load:  # another layer runs beside this one
        done = update("--no-build", "--yes")
    record_property("measured", f"{load}; {' / '.join(line for line in done.stderr.splitlines() if ' s' in line)}")
    assert done.returncode == 0, done.stderr
    assert load.failures == []
    assert postgres.value("ops", COUNT_ANSWERS) - before == load.answers > 0
    assert versions(stack) == wanted()


# As Debian's security tracker writes it for debsecan: what there is, what it affects, which packages a source makes.
# Flags: of the source; urgency; remote; fixed. Then unstable's fixed version, and those of other branches.
OF_DEBIAN = f"""VERSION 1
CVE-2026-11111,,a fault of this version
CVE-2026-22222,,a fault that this version has fixed
CVE-2026-33333,,a fault without a fix

nginx,0,SHRF,99.0-1,{STALE}1
nginx,1,SHRF,99.0-1,{STALE}
nginx,2,S ? ,,

nginx,nginx nginx-common

"""


@pytest.fixture
def advisories(tmp_path: Path) -> Path:
    """A folder with advisories of Debian and of PyPI, the latter a year old."""
    for suite in {"trixie", platform.freedesktop_os_release()["VERSION_CODENAME"]}:  # of images, of this machine
        (tmp_path / suite).write_bytes(zlib.compress(OF_DEBIAN.encode()))
    django = {"package": {"name": "Django", "ecosystem": "PyPI"}}
    ranges = {
        "1": [{"introduced": "0"}, {"fixed": "99.0"}],
        "2": [{"introduced": "0"}, {"fixed": "1.0"}],
    }
    with zipfile.ZipFile(tmp_path / "osv-pypi.zip", "w") as file:
        for number, events in ranges.items():
            affected = [{**django, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]
            name = f"CVE-2026-{number * 5}"
            file.writestr(f"{name}.json", json.dumps({"id": name, "affected": affected}))
    long_ago = time.time() - 365 * 86400
    os.utime(tmp_path / "osv-pypi.zip", (long_ago, long_ago))
    return tmp_path


def test_a_pending_security_update_is_found(stack: Stack, update: Update, advisories: Path) -> None:
    """An image with an older nginx: the archive has a newer one, and its changelog names what that fixes."""
    words = " ".join(f"{name}={STALE}" for name in ("nginx", "nginx-common"))
    install = f"apt-get update -qq && apt-get install -y -qq --allow-downgrades {words}"
    build("proxy", "USER root", f"RUN {install}", "USER proxy-user")
    done = update("--check", "--json", "--advisories", str(advisories))
    assert done.returncode == 1, done.stderr
    assert "security updates are pending" in done.stderr
    assert "trixie: of" in done.stderr
    assert "365 days old, too old" in done.stderr
    printed = json.loads(done.stdout)
    of = {(one["image"], one["package"], one["id"]): one["fix"] for one in printed["vulnerabilities"]}
    nginx = {("proxy", "nginx", "CVE-2026-11111"): "archive", ("proxy", "nginx", "CVE-2026-33333"): ""}
    assert nginx.items() <= of.items()
    assert of["app", "django", "CVE-2026-11111"] == "99.0"
    assert not {id for _, _, id in of} & {"CVE-2026-22222"}
    found = {(row["image"], row["package"]): row for row in printed["updates"]}
    row = found["proxy", "nginx"]
    assert (row["old"], row["security"]) == (STALE, True)
    assert "CVE-" in row["fixes"]
    metrics = stack.compose("run", "--rm", "--entrypoint", "cat", "ops", "/reports/flaglearning_updates.prom")
    assert 'flaglearning_updates_pending{image="proxy",security="yes"}' in metrics
    checklist = ("./scripts/checklist", "--target", f"docker://{stack.project}", "-k", "MON-20")
    checked = stack.command(*checklist, check=False)
    assert checked.returncode == 1
    assert "security updates are not installed: proxy" in " ".join(checked.stdout.split())


@pytest.mark.long
def test_an_update_builds_current_packages_and_can_be_undone(stack: Stack, update: Update) -> None:
    """Without any earlier layer; minutes."""
    old, running = wanted(), versions(stack)
    only = update("--base-only")
    assert (only.returncode, wanted(), versions(stack)) == (0, old, running), only.stderr
    base = as_of("base")
    done = update("--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert not {image for image in wanted().values() if image in old.values()}
    assert versions(stack) == wanted()
    assert {as_of(service) for service in SERVICES} == {as_of("base")} != {base}
    undone = update("--back", "--yes")
    assert undone.returncode == 0, undone.stderr
    assert versions(stack) == wanted() == running  # the next images were built before, but ran nowhere
    assert update("--back", "--yes").returncode == 2
