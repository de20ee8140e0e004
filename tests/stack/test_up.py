"""./scripts/up: twice is the same as once, and what is wrong it says in one sentence before it starts anything."""

import socket
from collections.abc import Iterator
from subprocess import CompletedProcess

import pytest

from testing.stack import DEVELOPMENT, ERASE_LINE, PROJECT, TAG, Stack

# It builds, and Compose's labels name the project: with the run's tag, layers beside this one would get other images.
OWN_TAG = f"TAG={TAG}-up"
pytestmark = pytest.mark.last  # for its containers are of that tag, then
NEVER_STARTED = f"{PROJECT}-up"  # a project that never starts


def up(stack: Stack, *arguments: str, **variables: str) -> CompletedProcess[str]:
    assignments = [f"{name}={value}" for name, value in variables.items()]
    done: CompletedProcess[str] = stack.command("env", OWN_TAG, *assignments, "./scripts/up", *arguments, check=False)
    return done


@pytest.fixture(autouse=True)
def nothing_left_over() -> Iterator[None]:
    yield
    Stack(NEVER_STARTED).remove()


def refused(done: CompletedProcess[str], *words: str) -> bool:
    """A sentence about what is wrong and one about what to do, with these words, from scripts/up or a service."""
    print(done.stdout, done.stderr)
    said = [line for line in done.stderr.replace(ERASE_LINE, "").splitlines() if line.startswith(("ERROR:", "HINT:"))]
    return done.returncode in (1, 2) and len(said) >= 2 and all(word in " ".join(said) for word in words)


@pytest.fixture(scope="module")
def first_run(stack: Stack) -> CompletedProcess[str]:
    return up(stack)


def test_a_second_run_changes_nothing(stack: Stack, first_run: CompletedProcess[str]) -> None:
    before = stack.containers(), stack.inspect("postgres")["State"]["StartedAt"]
    done = up(stack)
    assert (done.returncode, done.stderr[-500:] if done.returncode else "") == (0, "")
    assert (stack.containers(), stack.inspect("postgres")["State"]["StartedAt"]) == before


def test_it_says_where_to_click_and_how_to_connect(stack: Stack, first_run: CompletedProcess[str]) -> None:
    printed = first_run.stdout
    assert f"https://localhost:{stack.port('proxy', 8443)}" in printed
    assert f"psql -U flaglearning_user -d flaglearning_dev -h localhost -p {stack.port('postgres', 5432)}" in printed


def test_an_unknown_option_is_refused_before_anything_is_built() -> None:
    done = up(Stack(NEVER_STARTED, DEVELOPMENT, port=21040), "--wiat")
    assert refused(done, "--wiat", "./scripts/up --help")
    assert "build" not in done.stderr.lower()


@pytest.mark.parametrize("variable", ["PROXY_HTTPS_PORT", "POSTGRES_PORT"])
def test_a_taken_port(variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        stack = Stack(NEVER_STARTED, DEVELOPMENT, port=21040, **{variable: port})
        assert refused(up(stack), port, variable)
        assert stack.containers() == {}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("POSTGRES_PORT", "many"),
        ("PROXY_HTTP_PORT", "99999"),
        ("POSTGRES_MEMORY", "lots"),
        ("POSTGRES_MEMORY", "64m"),
        ("DEPLOYMENT", "staging"),
        ("APP_DATABASE", "Other-DB"),
        ("SECRETS_DIR", "/missing"),
    ],
)
def test_a_bad_value(variable: str, value: str) -> None:
    assert refused(up(Stack(NEVER_STARTED, DEVELOPMENT, port=21040, **{variable: value})), variable)


def test_a_value_that_the_app_refuses_stops_the_migrations_before_it(stack: Stack) -> None:
    other = Stack(NEVER_STARTED, DEVELOPMENT, port=21040, WEB_CONCURRENCY="0")
    done = up(other)
    assert done.returncode == 1
    said = done.stderr.replace(ERASE_LINE, "")
    assert "--- last log lines of migrate:\nWEB_CONCURRENCY is '0'" in said
    assert "HINT:  correct what the log lines above say" in said
    assert other.compose("ps", "--quiet", "app") == "", "it did not start"


def test_no_engine(stack: Stack) -> None:
    assert refused(up(stack, DOCKER_HOST="tcp://127.0.0.1:1"), "no Docker engine answers")


def test_an_unreadable_ca_bundle(stack: Stack) -> None:
    assert refused(up(stack, "--prepare", PIP_CERT="/missing/ca.pem"), "/missing/ca.pem")
