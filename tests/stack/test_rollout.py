"""./scripts/ops rollout: a new version of the app takes over without a failed request; an unfit one never serves."""

from collections.abc import Callable, Iterator
from subprocess import CompletedProcess

import pytest

from support.load import COUNT_ANSWERS, Load, make_players
from support.postgres import Postgres
from support.proxy import Proxy
from testing.shell import eventually, run
from testing.stack import TAG, Stack

pytestmark = pytest.mark.last

Rollout = Callable[..., CompletedProcess[str]]


def image(stack: Stack, version: str, *lines: str) -> str:
    """The app's image under another tag, with something changed."""
    tag = f"{TAG}-{version}"
    dockerfile = "\n".join([f"FROM flaglearning/app:{TAG}", f"LABEL version={version}", *lines])
    run("docker", "build", "--quiet", "--tag", f"flaglearning/app:{tag}", "-", stdin=dockerfile)
    return tag


@pytest.fixture(scope="module")
def rollout(stack: Stack) -> Iterator[Rollout]:
    """Runs it for a tag, on the source in the image: a developer's mount would be every version's. A test begins with
    the version that the one before has left."""
    rolling = Stack(stack.project, ("docker-compose.yml", "tests/docker-compose.rollout.yml"))

    def rollout(tag: str, *arguments: str) -> CompletedProcess[str]:
        rolling.variables = {**stack.variables, "TAG": tag}
        rolling.__dict__.pop("environment", None)
        done: CompletedProcess[str] = rolling.command("./scripts/ops", "rollout", *arguments, check=False)
        return done

    first = rollout(TAG, "--app-only")
    assert first.returncode == 0, first.stderr
    yield rollout
    stack.compose("up", "--detach", "--no-deps", "--force-recreate", "--wait", "app")


def serving(stack: Stack) -> str:
    """The short id of the container that the proxy asks."""
    return stack.exec("proxy", "readlink", "/run/app/gunicorn.sock").strip().removesuffix(".sock")


def test_four_in_a_row_lose_no_request_and_no_answer(
    stack: Stack,
    rollout: Rollout,
    proxy: Proxy,
    postgres: Postgres,
    record_property: Callable[[str, object], None],
) -> None:
    versions = [image(stack, "one"), image(stack, "two")] * 2
    players = make_players(
        lambda *arguments: run("docker", "exec", serving(stack), "python", "manage.py", *arguments).stdout
    )
    before = postgres.value("ops", COUNT_ANSWERS)
    with Load(
        proxy.https, stack.ca, players, rate=20
    ) as load:  # another layer runs beside this one; tests/lab has more
        served = [(rollout(version, "--app-only").returncode, serving(stack)) for version in versions]
    record_property("measured", str(load))
    assert [status for status, _ in served] == [0] * 4
    assert len({container for _, container in served}) == 4
    assert load.failures == []
    assert load.answers > 0
    assert postgres.value("ops", COUNT_ANSWERS) - before == load.answers


def test_twice_is_the_same_as_once(stack: Stack, rollout: Rollout) -> None:
    assert rollout(TAG, "--app-only").returncode == 0
    before = stack.containers()
    done = rollout(TAG, "--app-only")
    assert (done.returncode, "is serving already" in done.stderr) == (0, True)
    assert stack.containers() == before


UNFIT = {
    "it ends": ('CMD ["sh", "-c", "echo I am broken; exit 3"]', "I am broken"),
    "it can't reach its database": (
        """RUN echo 'DATABASES["default"]["HOST"] = "127.0.0.1"' >>/code/config/settings.py""",
        "/readyz returned 503",
    ),
    "it makes no page": ("RUN rm /code/templates/users/login.html", "/accounts/login/ returned 500"),
}


@pytest.mark.parametrize(("line", "why"), UNFIT.values(), ids=UNFIT)
def test_an_unfit_version_never_serves(stack: Stack, rollout: Rollout, proxy: Proxy, line: str, why: str) -> None:
    before = serving(stack)
    done = rollout(image(stack, "unfit", "USER root", line, "USER app"), "--app-only")
    assert done.returncode == 1
    assert why in done.stderr
    assert "the previous version is serving" in done.stderr
    assert serving(stack) == before
    assert len(stack.compose("ps", "--all", "--quiet", "app").split()) == 1
    assert proxy.get("/readyz").status_code == 200


def test_a_version_by_name_is_served(stack: Stack, rollout: Rollout) -> None:
    done = rollout(TAG, image(stack, "one"), "--app-only")
    assert done.returncode == 0, done.stderr
    assert stack.inspect("app")["Config"]["Image"] == f"flaglearning/app:{TAG}-one"


def test_an_image_that_is_not_here(stack: Stack, rollout: Rollout) -> None:
    before = serving(stack)
    done = rollout("nowhere")
    assert (done.returncode, "there is no image" in done.stderr, serving(stack)) == (1, True, before)


def test_a_rollout_removes_what_a_killed_one_left(stack: Stack, rollout: Rollout) -> None:
    """It was killed when the new container had just been started."""
    before = serving(stack)
    stack.compose("create", "--no-build", "--no-recreate", "--scale", "app=2", "app")
    (left,) = set(stack.compose("ps", "--all", "--quiet", "app").split()) - {before_id(stack, before)}
    run("docker", "start", left)
    assert rollout(image(stack, "two"), "--app-only").returncode == 0
    assert len(stack.compose("ps", "--all", "--quiet", "app").split()) == 1


def before_id(stack: Stack, short: str) -> str:
    return next(found for found in stack.compose("ps", "--all", "--quiet", "app").split() if found.startswith(short))


def test_a_killed_container_comes_back_by_itself(stack: Stack, rollout: Rollout, proxy: Proxy) -> None:
    run("docker", "exec", stack.container("app"), "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)", check=False)
    eventually(lambda: proxy.get("/readyz").status_code == 200, within=20)
