"""deploy.yml and rollback.yml under the eyes of players: nobody notices, and a version that isn't fit never serves."""

import json
import ssl
from collections.abc import Iterator

import httpx
import pytest

from lab.conftest import BUILT
from support.lab import Lab
from support.load import COUNT_ANSWERS, Load, Player, make_players
from support.shell import eventually, run
from support.stack import TAG

IMAGES = ("postgres", "pgbouncer", "app", "proxy", "ops")
HERE = ("env", "--chdir=/opt/flaglearning", "docker", "compose")


def version(name: str, *lines: str) -> str:
    """The images under another tag, with something changed in the app's. The options that deploy it."""
    for image in IMAGES:
        run("docker", "tag", f"flaglearning/{image}:{TAG}", f"flaglearning/{image}:{TAG}-{name}")
    dockerfile = "\n".join([f"FROM flaglearning/app:{TAG}", f"LABEL version={name}", *lines])
    run("docker", "build", "--quiet", "--tag", f"flaglearning/app:{TAG}-{name}", "-", stdin=dockerfile)
    return json.dumps({"images_build": False, "images_tag": f"{TAG}-{name}"})


def serving(lab: Lab) -> str:
    """The image that serves."""
    return lab.exec("solo", "docker", "image", "inspect", "--format", "{{.Id}}", "flaglearning/app:serving").strip()


def answers(lab: Lab) -> int:
    psql = ("psql", "-X", "-A", "-t", "-h", "/run/postgresql", "-U", "postgres", "-d", "flaglearning_prod")
    return int(lab.exec("solo", *HERE, "exec", "-T", "postgres", *psql, "-c", COUNT_ANSWERS))


@pytest.fixture(scope="module")
def players(lab: Lab) -> list[Player]:
    return make_players(lambda *words: lab.exec("solo", *HERE, "exec", "-T", "app", "python", "manage.py", *words))


@pytest.fixture
def load(lab: Lab, players: list[Player]) -> Load:
    for player in players:
        player.answers, player.busy = 0, False
    return Load(f"https://{lab.address('solo')}", str(lab.inventory / "pki/ca.crt"), players)


@pytest.fixture(autouse=True)
def _the_first_version_again(lab: Lab) -> Iterator[None]:
    yield
    lab.play("deploy.yml", *BUILT)


def test_deploys_and_a_rollback_lose_no_request_and_no_answer(lab: Lab, load: Load) -> None:
    first, before = serving(lab), answers(lab)
    with load:
        lab.play("deploy.yml", "-e", version("next"))
        second = serving(lab)
        lab.play("rollback.yml")
        third = serving(lab)
        lab.play("deploy.yml", "-e", version("next"))
    print(load)
    assert (first == third, first == second) == (True, False)
    assert load.failures == []
    assert answers(lab) - before == load.answers > 0


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (['CMD ["false"]'], "is not fit to serve"),
        (["ENV DJANGO_SETTINGS_MODULE=config.nowhere"], "the migrations failed"),
    ],
    ids=["ends-at-once", "migration"],
)
def test_a_version_that_is_not_fit_never_serves(lab: Lab, load: Load, lines: list[str], sentence: str) -> None:
    first = serving(lab)
    with load:
        done = lab.play("deploy.yml", "-e", version("broken", *lines), check=False)
    assert done.returncode != 0
    assert sentence in done.stdout
    assert "It goes on with the one before." in done.stdout
    assert serving(lab) == first
    assert load.failures == []


def test_there_is_nothing_to_return_to_before_the_first_deploy(lab: Lab) -> None:
    lab.exec("solo", "docker", "image", "rm", "--no-prune", "flaglearning/app:before")
    done = lab.play("rollback.yml", check=False)
    assert done.returncode != 0
    assert "there is nothing to return to" in done.stdout


def test_the_host_serves_again_after_a_reboot(lab: Lab) -> None:
    lab.restart("solo")
    eventually(lambda: ready(lab), within=120)
    assert lab.exec("solo", "systemctl", "is-failed", "flaglearning.service", check=False).strip() == "active"


def ready(lab: Lab) -> bool:
    tls = ssl.create_default_context(cafile=str(lab.inventory / "pki/ca.crt"))
    try:
        return httpx.get(f"https://{lab.address('solo')}/readyz", verify=tls, trust_env=False).is_success
    except httpx.HTTPError:
        return False
