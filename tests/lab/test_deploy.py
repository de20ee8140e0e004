"""deploy.yml and rollback.yml under load: no request fails, and a version that is not fit never serves."""

import json
from collections.abc import Callable, Iterator

import pytest

from images import BUILT
from lab.hosts import Lab
from players import Players
from testing.shell import eventually, run
from testing.stack import TAG

IMAGES = ("postgres", "pgbouncer", "app", "proxy", "ops")
SHIPPED_TO = "/var/tmp"  # noqa: S108 - of the lab's machine


def version(name: str, *lines: str) -> str:
    """Each image with another id under another tag, as of a newer checkout; in the app's, the `lines`, too. The options
    that deploy it."""
    for image in IMAGES:
        of_the_app = lines if image == "app" else ()
        dockerfile = "\n".join([f"FROM flaglearning/{image}:{TAG}", f"LABEL version={name}", *of_the_app])
        run("docker", "build", "--quiet", "--tag", f"flaglearning/{image}:{TAG}-{name}", "-", stdin=dockerfile)
    return json.dumps({"images_build": False, "images_tag": f"{TAG}-{name}"})


def serving(lab: Lab) -> str:
    """The image that serves."""
    return lab.exec("db1", "docker", "image", "inspect", "--format", "{{.Id}}", "flaglearning/app:serving").strip()


@pytest.fixture
def _the_first_version_again(lab: Lab) -> Iterator[None]:
    yield
    lab.play("deploy.yml", *BUILT)


@pytest.mark.usefixtures("_the_first_version_again")
@pytest.mark.parametrize("deploys", [2, pytest.param(10, marks=pytest.mark.long)])
def test_deploys_and_a_rollback_lose_no_request_and_no_answer(
    lab: Lab, players: Players, deploys: int, record_property: Callable[[str, object], None]
) -> None:
    first, before = serving(lab), players.answers()
    versions = [version("one"), version("two")] * (deploys // 2)
    served = []
    with players.load() as load:
        for options in versions:
            lab.play("deploy.yml", "-e", options)
            served.append(serving(lab))
        lab.play("rollback.yml")
        back = serving(lab)
        again = lab.play("rollback.yml")
    record_property("measured", str(load))
    assert first not in served
    assert served == served[:2] * (deploys // 2)
    assert serving(lab) == back == served[0]
    assert "serves its previous version already" in " ".join(again.stdout.split())
    assert load.failures == []
    assert players.answers() - before == load.answers > 0
    lab.exec("db1", "env", "--chdir=/opt/flaglearning", "./scripts/ops", "dump", "list")  # its image is still there


@pytest.mark.parametrize(
    ("lines", "sentences"),
    [
        (['CMD ["false"]'], ("is not fit to serve", "It keeps serving the previous version.")),
        (
            ["ENV DJANGO_SETTINGS_MODULE=config.nowhere"],
            ("the migrations failed", "no application host was changed", "No module named 'config.nowhere'"),
        ),
    ],
    ids=["ends-at-once", "migration"],
)
def test_a_version_that_is_not_fit_never_serves(
    lab: Lab, players: Players, lines: list[str], sentences: tuple[str, ...]
) -> None:
    first = serving(lab)
    with players.load() as load:
        done = lab.play("deploy.yml", "-e", version("broken", *lines), check=False)
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert [sentence for sentence in sentences if sentence not in said] == []
    assert serving(lab) == first
    assert load.failures == []


def test_there_is_nothing_to_return_to_before_the_first_deploy(lab: Lab) -> None:
    lab.exec("db1", "docker", "image", "rm", "--no-prune", "flaglearning/app:before", check=False)
    done = lab.play("rollback.yml", check=False)
    assert done.returncode != 0
    assert "has no previous version" in " ".join(done.stdout.split())


@pytest.mark.long
@pytest.mark.usefixtures("_the_first_version_again")
def test_a_full_disk_is_said_and_the_next_run_mends_it(lab: Lab) -> None:
    """The images don't fit where they are put before they are loaded."""
    first = serving(lab)
    options = version("large", "RUN head -c 3000000 /dev/urandom >/tmp/large")
    lab.exec("db1", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", SHIPPED_TO)
    try:
        done = lab.play("deploy.yml", "-e", options, check=False)
    finally:
        lab.exec("db1", "umount", SHIPPED_TO)
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "No space left on device" in said
    assert "HINT:" in said
    assert serving(lab) == first
    lab.play("deploy.yml", "-e", options)
    assert serving(lab) != first


@pytest.mark.long
def test_a_deploy_that_was_killed_is_simply_run_again(lab: Lab, players: Players) -> None:
    """And a rollback then returns to what it has replaced."""
    first, options = serving(lab), version("killed")
    with players.load() as load:
        lab.play_and_kill("deploy.yml", "-e", options, at="Roll out flaglearning/app")
        lab.play("deploy.yml", "-e", options)
    wanted = run("docker", "image", "inspect", "--format", "{{.Id}}", f"flaglearning/app:{TAG}-killed").stdout.strip()
    assert serving(lab) == wanted
    assert load.failures == []
    lab.play("rollback.yml")
    assert serving(lab) == first
    lab.play("deploy.yml", *BUILT)


@pytest.mark.last
def test_the_host_serves_again_after_a_reboot(rebooted: Lab, players: Players) -> None:
    eventually(lambda: players.ask("db1") == 200, within=120)
    eventually(lambda: unit(rebooted) == "active", within=60)


def unit(lab: Lab) -> str:
    return lab.exec("db1", "systemctl", "is-active", "flaglearning.service", check=False).strip()
