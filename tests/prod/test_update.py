"""./scripts/ops update on production: every service gets its new image and no request fails; and the way back."""

import json
from collections.abc import Callable, Iterator
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


def test_a_pending_security_update_is_found(stack: Stack, update: Update) -> None:
    """An image with an older nginx: the archive has a newer one, and its changelog names what that fixes."""
    words = " ".join(f"{name}={STALE}" for name in ("nginx", "nginx-common"))
    install = f"apt-get update -qq && apt-get install -y -qq --allow-downgrades {words}"
    build("proxy", "USER root", f"RUN {install}", "USER proxy-user")
    done = update("--check", "--json")
    assert done.returncode == 1, done.stderr
    assert "security updates are pending" in done.stderr
    found = {(row["image"], row["package"]): row for row in json.loads(done.stdout)}
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
    """Without any layer of before; minutes."""
    old = wanted()
    done = update("--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert not {image for image in wanted().values() if image in old.values()}
    assert versions(stack) == wanted()
    undone = update("--back", "--yes")
    assert undone.returncode == 0, undone.stderr
    assert versions(stack) == wanted() == old
    assert update("--back", "--yes").returncode == 2
