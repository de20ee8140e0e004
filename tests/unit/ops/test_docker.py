"""docker command lines."""

import pytest

from ops import docker


def test_a_command_in_a_running_container() -> None:
    assert docker.exec_in("postgres", "psql", "-l", environment={"PGAPPNAME": "ops"}) == [
        "docker", "compose", "exec", "--no-TTY", "--env", "PGAPPNAME=ops", "postgres", "psql", "-l",
    ]  # fmt: skip


def test_a_one_shot() -> None:
    assert docker.run_in("ops", "/tls/ca.crt", entrypoint="cat", tty=True) == [
        "docker", "compose", "run", "--rm", "--no-deps", "--entrypoint", "cat", "ops", "/tls/ca.crt",
    ]  # fmt: skip


def test_a_container_whose_log_is_read_after_its_end() -> None:
    argv = docker.run_in("sandbox", "sandbox", name="x-sandbox", options=["--detach"], remove=False)
    assert argv == [
        "docker", "compose", "run", "--no-deps", "--no-TTY", "--detach", "--name", "x-sandbox", "sandbox", "sandbox",
    ]  # fmt: skip


def test_parameters_are_one_json_object() -> None:
    assert docker.verb("psql", {"role": "ops", "arguments": ["-c", 'x"']}) == [
        "psql", '{"arguments": ["-c", "x\\""], "role": "ops"}',
    ]  # fmt: skip
    assert docker.verb("diagnose", {}) == ["diagnose"]


def test_the_first_running_container_of_each_service() -> None:
    printed = "app 10 c\napp 2 b\npostgres 1 a\n"
    assert docker.first_of_each(printed) == {"app": "b", "postgres": "a"}


@pytest.mark.parametrize("environment", [{}, {"PGAPPNAME": "ops", "A": "b"}])
def test_a_running_container_is_entered_without_compose(environment: dict[str, str]) -> None:
    argv = docker.exec_in("postgres", "psql", "--env", "-l", environment=environment)
    variables = [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
    assert docker.direct(argv, {"postgres": "a1", "app": "b2"}) == [
        "docker", "exec", "--interactive", *variables, "a1", "psql", "--env", "-l",
    ]  # fmt: skip


@pytest.mark.parametrize("argv", [docker.exec_in("postgres", "psql"), docker.exec_in("app", "sh", tty=True),
                                  docker.run_in("app", "sh"), ["docker", "exec", "x", "sh"]])  # fmt: skip
def test_what_is_left_to_compose(argv: list[str]) -> None:
    assert docker.direct(argv, {"app": "b2"}) == argv
